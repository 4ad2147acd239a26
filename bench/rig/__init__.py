"""What the benchmarks share: loads, nodes as processes, networks that can be cut."""
