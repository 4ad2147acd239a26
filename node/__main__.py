"""`python -m node` is the same as `comanda`."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from typing import NoReturn

from node import cli


def main() -> NoReturn:
    """Run a command, and leave as soon as it is done.

    Otherwise the interpreter takes apart every object that is left, one by one: seconds of CPU for a node that stops.
    Everything is stored by then.
    """
    status: object = 0
    try:
        cli.main()
    except SystemExit as ended:
        status = ended.code
    if status is not None and not isinstance(status, int):
        sys.exit(str(status))
    with suppress(OSError, ValueError):  # whoever read the output is gone
        sys.stdout.flush()
        sys.stderr.flush()
    logging.shutdown()
    os._exit(status or 0)


if __name__ == "__main__":
    main()
