"""The node: wire formats and decisions (pure), and the trio shell that gives them sockets, a disk and a clock."""
