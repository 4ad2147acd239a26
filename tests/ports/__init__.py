"""One acceptance suite a port of the core, run over everything that stands in for it."""
