"""What merges: entity documents on Yjs, the strict decoder of their updates, and the hybrid logical clock. Pure."""
