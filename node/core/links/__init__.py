"""Other nodes that are connected, and what the two hold of each other's log."""
