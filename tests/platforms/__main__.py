"""The README's commands in a folder that holds another Debian, with its own Python: `python -m tests.platforms`.

The folder is made by debootstrap, which wants root, some minutes and half a gigabyte. Debian 13 comes with Python
3.13, for which there is no y-py: the node that runs in it runs on pycrdt.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import click

from tests.processes import ROOT

MIRROR = "http://deb.debian.org/debian"
PACKAGES = "python3,python3-venv,ca-certificates,strace"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
CHECKOUT = "/comanda"


def commands() -> list[str]:
    """The README's two commands, word for word: the first runs the main job, the second all tests."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(python3 -m venv .+?)\n```$", readme, re.MULTILINE)


def make(folder: Path, release: str) -> None:
    """A Debian in the folder, unless there is one. Raises CalledProcessError."""
    if not (folder / "usr/bin/python3").exists():
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", release, folder, MIRROR], check=True
        )
    shutil.copy("/etc/resolv.conf", folder / "etc/resolv.conf")
    shutil.copy(CERTIFICATES, folder / CERTIFICATES.relative_to("/"))


def put_checkout(folder: Path) -> None:
    """The last commit, as somebody has it who has just cloned it."""
    target = folder / CHECKOUT.lstrip("/")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", target], input=archive, check=True)


def run(folder: Path, command: str) -> int:
    """A command in the folder, at the checkout. Returns its exit status."""
    words = f"cd {CHECKOUT} && {command}"
    environment = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    environment |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "COMANDA_"))}
    return subprocess.run(["chroot", folder, "/bin/sh", "-c", words], env=environment, check=False).returncode


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--release", default="trixie", show_default=True, help="Debian's release.")
@click.option("--tests", "arguments", help="Also the tests, with these arguments of pytest.")
def main(folder: Path, release: str, arguments: str | None) -> None:
    """Install into FOLDER and run the README's first command there."""
    make(folder, release)
    put_checkout(folder)
    first, second = commands()
    asked = [first]
    if arguments is not None:
        asked.append(second.replace("-m tests", f"-m pytest {arguments}"))
    with ExitStack() as mounts:
        for name in ("proc", "dev"):
            subprocess.run(["mount", "--rbind", f"/{name}", folder / name], check=True)
            mounts.callback(subprocess.run, ["umount", "-l", folder / name], check=False)
        for command in asked:
            click.echo(f"== {command}")
            if status := run(folder, command):
                sys.exit(status)


if __name__ == "__main__":
    main()
