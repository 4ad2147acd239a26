"""The past: rebuilding, explaining and verifying entities from the log."""
