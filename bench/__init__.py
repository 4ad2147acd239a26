"""Benchmarks: every published figure has a command here, which prints the machine it ran on (see README.md)."""
