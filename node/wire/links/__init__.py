"""The messages between nodes."""
