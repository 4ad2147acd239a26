"""`python -m node` is the same as `comanda`."""

from __future__ import annotations

from node.cli import main

if __name__ == "__main__":
    main()
