"""Lists of other systems: a file becomes a plan against what a node or a store shows. No node is asked here.

file -> reading (rows, and what was recognised) -> columns (which field, which kind) -> notation (values)
     -> planning (against what is shown: created, changed, unchanged, refused)
"""
