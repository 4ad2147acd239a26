"""What a terminal is sent of the log, and how far it has confirmed it."""
