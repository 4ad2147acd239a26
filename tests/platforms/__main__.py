"""The README's commands in a folder that holds another Debian, with its own Python: `python -m tests.platforms`.

The folder is made by debootstrap, which wants root, some minutes and half a gigabyte. Debian 13 comes with Python
3.13, for which there is no y-py: the node that runs in it runs on pycrdt. So a data directory that is written here
and taken there and back has changed its Python, and its engine where this one has y-py.
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

from tests.platforms.goes_on import goes_on
from tests.processes import ROOT

MIRROR = "http://deb.debian.org/debian"
PACKAGES = "python3,python3-venv,ca-certificates"
PASSED_ON = ("PIP_", "COMANDA_", "PYTEST_", "SSL_CERT_", "NODE_EXTRA_")
"""Variables whose names begin so: how registries are reached here, how much the tests do, and what they tell."""

OF_TESTS = "git strace redis-server systemd nodejs npm chromium-headless-shell"
"""What the README says that the tests use where it is there."""

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
CHECKOUT = "/comanda"
CARRIED = "/carried"
"""A data directory that this Python wrote."""

INSTALLED = (
    "cd / && export DEBIAN_FRONTEND=noninteractive && apt-get update -qq"
    f" && apt-get install -y -qq --no-install-recommends {OF_TESTS}"
)

CONFORMANCE = ".venv/bin/comanda conformance --quiet --start '.venv/bin/comanda serve --port {port} --data {data}'"


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
    subprocess.run(["git", "clone", "-q", ROOT, target], check=True)


def run(folder: Path, command: str) -> int:
    """A command in the folder, at the checkout. Returns its exit status."""
    words = f"cd {CHECKOUT} && {command}"
    environment = {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    environment |= {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    return subprocess.run(["chroot", folder, "/bin/sh", "-c", words], env=environment, check=False).returncode


def carry(folder: Path) -> list[str]:
    """Write an order here, into a data directory in the folder. Returns what goes on with it there."""
    data = folder / CARRIED.lstrip("/")
    shutil.rmtree(data, ignore_errors=True)
    goes_on(data)
    here = f".venv/bin/python -m tests.platforms.goes_on {CARRIED}"
    return [here, f".venv/bin/comanda verify --data {CARRIED}"]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--release", default="trixie", show_default=True, help="Debian's release.")
@click.option("--tests", "all_tests", is_flag=True, help="Conformance, the second command, a directory from here.")
@click.option("--only", multiple=True, help="With --tests: in turn, pytest with these arguments, not all checks.")
def main(folder: Path, release: str, all_tests: bool, only: tuple[str, ...]) -> None:
    """Install into FOLDER and run the README's first command there; with --tests all that is asked of it."""
    make(folder, release)
    put_checkout(folder)
    first, second = commands()
    asked, failed = [first], []
    if all_tests:
        asked.append(CONFORMANCE)
        asked += [second.replace("-m tests", f"-m pytest {arguments}") for arguments in only] or [second]
        asked += carry(folder)
    with ExitStack() as mounts:
        for name in ("proc", "dev"):
            # A slave: where mounts are shared, as systemd has them, this machine's own would go with it at the end.
            subprocess.run(["mount", "--rbind", "--make-rslave", f"/{name}", folder / name], check=True)
            mounts.callback(subprocess.run, ["umount", "-l", folder / name], check=False)
        if all_tests and run(folder, INSTALLED):
            sys.exit("what the tests use cannot be installed")
        for command in asked:
            click.echo(f"== {command}")
            if run(folder, command):
                failed.append(command)
    if all_tests:
        goes_on(folder / CARRIED.lstrip("/"))
        click.echo("== what was written here, there and here again is whole")
    if failed:
        sys.exit("\n== ".join(("== failed:", *failed)))


if __name__ == "__main__":
    main()
