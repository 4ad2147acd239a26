"""Durability: the log, entities, cursors, locks and conflicts in one SQLite database through sqlite-utils.

Synchronous code, called from one writer thread (`Store`) and one reader thread (`Reader`); no threads here.
"""
