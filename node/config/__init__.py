"""The configuration of a node: its sections, how a TOML file is read, and the file that `comanda init` writes."""
