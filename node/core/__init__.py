"""What decides: sessions, locks, cursors and the replica. Pure: time and randomness arrive as arguments."""
