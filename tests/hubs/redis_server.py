"""A Redis or Valkey of the tests' own. It can be killed, and started again with what it has kept."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import coredis
import trio
from coredis.exceptions import RedisError

from tests.patience import PATIENCE_S
from tests.processes import kept_port, missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.authority import Authority

PROGRAMS = ("valkey-server", "redis-server")
PASSWORD = "s3gredo/?#@"
"""With every letter that has a meaning in an address."""

QUOTED = "s3gredo%2F%3F%23%40"
KEPT = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
"""What node/hubs/README.md asks for."""


class RedisServer:
    """Listens with a password, and on a second port with TLS where there is a certificate.

    mode: "standalone", "cluster" or "sentinel".
    """

    def __init__(self, authority: Authority | None = None, mode: str = "standalone") -> None:
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        self.program = program or missing("redis-server or valkey-server is needed: apt-get install redis-server")
        self.authority = authority
        self.folder = Path(tempfile.mkdtemp(prefix="comanda-redis-"))
        self.port = kept_port(self)
        self._words = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", ""]
        self._words += ["--requirepass", PASSWORD, "--databases", "1024", *KEPT]
        if mode == "cluster":
            self._words += ["--cluster-enabled", "yes", "--cluster-port", str(kept_port(self))]
        if mode == "sentinel":
            (self.folder / "sentinel.conf").touch()
            self._words = [str(self.folder / "sentinel.conf"), "--sentinel", "--port", str(self.port)]
            self._words += ["--bind", "127.0.0.1", "--requirepass", PASSWORD]
        if authority is not None:
            self.tls_port = kept_port(self)
            self._words += ["--tls-port", str(self.tls_port), "--tls-auth-clients", "no"]
            self._words += ["--tls-cert-file", authority.certificate, "--tls-key-file", authority.key]
        self.start()

    def uri(self, number: int = 0) -> str:
        return f"redis://:{QUOTED}@127.0.0.1:{self.port}/{number}"

    def start(self) -> None:
        """Until it answers."""
        until = time.monotonic() + PATIENCE_S
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self.program, *self._words], stdout=log, stderr=log)
        while True:
            try:
                self.do(lambda client: client.ping())
                return
            except (RedisError, ExceptionGroup):
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.05)

    def do(self, what: Callable[[coredis.Redis[str]], Any], number: int = 0) -> Any:
        """What a client is told, in one database."""

        async def done() -> Any:
            async with coredis.Redis(
                "127.0.0.1", self.port, number, password=PASSWORD, decode_responses=True
            ) as client:
                return await what(client)

        return trio.run(done)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def stand_still(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
