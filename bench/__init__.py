"""Benchmarks: every figure of the README has a command here. They print ratios and percentiles, and the machine."""
