"""Field kinds: one file a kind, one interface (kind.py), one table of them (kinds.py). Pure."""
