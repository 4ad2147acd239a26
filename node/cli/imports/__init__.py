"""`comanda import`: a file of another system becomes operations of a terminal.

file -> reading (rows, and what was recognised) -> columns (which field, which kind) -> notation (values)
     -> planning (against what the node shows) -> sending (operations) -> report
"""
