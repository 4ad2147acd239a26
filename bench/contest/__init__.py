"""Comanda and what a user would pick instead, on one workload, in one run: `comanda bench`."""
