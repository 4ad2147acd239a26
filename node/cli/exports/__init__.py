"""`comanda export`: what a node holds, as a file.

node -> rows (of entities, operations, conflicts) -> formats (CSV, JSON Lines, SQLite, Parquet) -> a whole file
"""
