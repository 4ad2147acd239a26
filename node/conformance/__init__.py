"""A black-box suite of the protocol's rules, for any node that speaks it. It imports nothing of the node itself."""
