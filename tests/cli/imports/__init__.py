"""`comanda import`, from a file's bytes to what a real node shows."""
