"""The conformance suite against our own node, and against nodes that are deliberately wrong."""
