"""What machine a figure was measured on, as far as it matters."""

from __future__ import annotations

import os
import platform
import sqlite3


def describe() -> str:
    return (
        f"{os.cpu_count()} cores shared with the load, {platform.machine()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )
