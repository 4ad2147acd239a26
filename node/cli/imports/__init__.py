"""`comanda import`: a file of another system becomes operations of a terminal.

options, asking -> node/lists (a plan against what the node shows) -> node/runtime/publishing (operations) -> report
"""
