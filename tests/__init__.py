"""Tests mirror the tree; `python -m tests` runs everything that must pass (linters, types, layers, tests)."""
