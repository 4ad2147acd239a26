"""What becomes of an operation: decided here, or taken from another node."""
