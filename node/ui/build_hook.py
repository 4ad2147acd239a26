"""Puts what the page is made with into `vendor/`: published ES modules of the packages that `package-lock.json` pins.

Hatchling runs it for wheel, sdist and editable install. Only building from a checkout needs npm: an sdist carries
`vendor/`. Where npm or its registry is missing the node is installed all the same, and its page says what is missing.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

HERE = Path(__file__).resolve().parent
LOCK = "package-lock.json"

MODULES = {
    "preact.js": "preact/dist/preact.module.js",
    "hooks.js": "preact/hooks/dist/hooks.module.js",
    "htm.js": "htm/dist/htm.module.js",
    "uplot.js": "uplot/dist/uPlot.esm.js",
    "uplot.css": "uplot/dist/uPlot.min.css",
    "preact.LICENSE": "preact/LICENSE",
    "htm.LICENSE": "htm/LICENSE",
    "uplot.LICENSE": "uplot/LICENSE",
}
"""The file in `vendor/`, and where its package has it."""

NAMED = {b'"preact"': b'"./preact.js"'}
"""A module imports another package by its name. A browser would need an import map, which is inline script."""

MISSING = "The page needs preact, htm and uPlot: install Node with npm, then Comanda again ({why})."


class PageModules(BuildHookInterface):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build_data["artifacts"].append("/node/ui/vendor")
        try:
            fill(HERE / "vendor")
        except (OSError, subprocess.CalledProcessError) as error:
            why = getattr(error, "stderr", None) or error
            self.app.display_warning(MISSING.format(why=str(why).strip()[-300:]))


def fill(vendor: Path) -> None:
    """Install what the lock pins, outside of the sources, and take the modules; nothing where they are already.

    Raises OSError, CalledProcessError.
    """
    lock = (HERE / LOCK).read_bytes()
    if all((vendor / name).is_file() for name in (*MODULES, LOCK)) and (vendor / LOCK).read_bytes() == lock:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("there is no npm")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", LOCK):
            shutil.copy(HERE / name, folder)
        command = [npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        shutil.rmtree(vendor, ignore_errors=True)
        vendor.mkdir()
        for name, published in MODULES.items():
            module = (Path(folder) / "node_modules" / published).read_bytes()
            for package, address in NAMED.items():
                module = module.replace(b"from" + package, b"from" + address)
            (vendor / name).write_bytes(module)
        (vendor / LOCK).write_bytes(lock)  # last: it says that the others are there
