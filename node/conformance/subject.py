"""The node under test: where it is, who may connect, and, with --start, the process it runs in."""

from __future__ import annotations

import secrets
import shlex
import signal
import socket
import ssl
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn
from urllib.parse import quote, urlencode

import httpx
import psutil
import trio
from attrs import frozen

from node.addresses import node_address
from node.conformance.broken import NotTried
from node.conformance.wire import Refused, Socket, open_socket

if TYPE_CHECKING:
    from collections.abc import Iterable

STATS = "/api/v1/websocket/stats"
READY_S = 30.0
END_S = 15.0


@frozen
class Seat:
    """Who may connect: a terminal's id, its type, and its token where the node wants one."""

    name: str
    kind: str
    token: str | None = None


def read_token(text: str) -> Seat:
    """`TOKEN`, which opens every terminal, or `TYPE:TERMINAL_ID=TOKEN`. Raises ValueError."""
    kind, colon, rest = text.partition(":")
    if not colon:
        return Seat("", "", text)
    name, _, token = rest.partition("=")
    if kind not in ("pos", "kds", "waiter", "monitor") or not name or not token:
        raise ValueError(f"{text!r} is neither TOKEN nor TYPE:TERMINAL_ID=TOKEN")
    return Seat(name, kind, token)


class Process:
    """A node started from a template with {port} and {data}, on a free port and in a directory of its own."""

    def __init__(self, template: str, folder: Path, cwd: Path | None = None) -> None:
        self._template, self._folder, self._cwd = template, folder, cwd
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.log = folder / "node.log"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Raises Refused when the port does not open."""
        command = self._template.replace("{port}", str(self.port)).replace("{data}", str(self._folder / "data"))
        with self.log.open("ab") as log:
            self._process = self._begin(shlex.split(command), log)
        with trio.move_on_after(READY_S):
            while self._process.poll() is None:
                try:
                    stream = await trio.open_tcp_stream("127.0.0.1", self.port)
                except OSError:
                    await trio.sleep(0.02)
                    continue
                await trio.aclose_forcefully(stream)
                return
        tail = self.log.read_text(errors="replace")[-600:]
        self.end()
        raise Refused(f"{command}: port {self.port} does not open; {tail}")

    def _begin(self, words: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """The process, in a session of its own."""
        return subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._cwd, start_new_session=True
        )

    async def kill(self) -> None:
        """SIGKILL, as a power cut to the process."""
        await trio.to_thread.run_sync(self.end)

    async def stop(self) -> None:
        """SIGTERM, until it is gone. Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        await trio.to_thread.run_sync(self._process.wait, END_S)

    def end(self) -> None:
        if self._process is not None:
            with suppress(psutil.NoSuchProcess):
                began = psutil.Process(self._process.pid)
                for process in (*began.children(recursive=True), began):
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
            self._process.wait(END_S)


class Subject:
    """A node by its address.

    url: ws://, wss://, http:// or https://, a path in front included. patience: seconds to wait for an answer. slow:
    seconds to wait for what a node sends at intervals. run: a word that no other run has, part of every id.
    bound_tokens: whether each token opens one terminal only. tls: how a node that speaks it is recognised; None for
    the system's authorities.
    """

    def __init__(
        self,
        url: str,
        *,
        tokens: Iterable[Seat] = (),
        patience: float = 5.0,
        slow: float = 35.0,
        process: Process | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        there = node_address(url, behind=True)
        self.url, self.patience, self.slow, self.process = url, patience, slow, process
        self.run = secrets.token_hex(3)
        self._secure = there.secure
        self._tls = tls or ssl.create_default_context()
        self._host, self._port, self._base = there.host, there.port, there.path
        seats = list(tokens)
        self.token = next((seat.token for seat in seats), None)
        self._open_token = next((seat.token for seat in seats if not seat.name), None)
        self.bound_tokens = bool(seats) and self._open_token is None
        self._free = [seat for seat in seats if seat.name]
        self._numbers = 0

    # ------------------------------------------------------------------ who

    def take(self, kind: str, *, fresh: bool = False) -> Seat:
        """A terminal that is not connected. fresh: one that never was. Raises NotTried without a token left."""
        found = next((seat for seat in self._free if seat.kind == kind), None)
        if found is not None and not (fresh and not self.bound_tokens):
            self._free.remove(found)
            return found
        if self.bound_tokens:
            raise NotTried(f"needs one more --token {kind}:TERMINAL_ID=TOKEN")
        self._numbers += 1
        return Seat(f"{kind}-{self.run}-{self._numbers}", kind, self._open_token)

    def give_back(self, seat: Seat) -> None:
        """Free for the next rule; on a full node that saves a first synchronisation. Who left first is taken first:
        a node may take a moment to notice."""
        if seat not in self._free:
            self._free.append(seat)

    # ------------------------------------------------------------------ how

    def path(self, name: str, kind: str, user: str | None) -> str:
        """The documented path of a terminal."""
        query = {"type": kind} if user is None else {"type": kind, "user_id": user}
        return f"/ws/{quote(name, safe='')}?{urlencode(query)}"

    async def stream(self) -> trio.abc.Stream:
        """A TCP connection, TLS where the address says so. Raises Refused."""
        try:
            with trio.fail_after(self.patience):
                if self._secure:
                    return await trio.open_ssl_over_tcp_stream(self._host, self._port, ssl_context=self._tls)
                return await trio.open_tcp_stream(self._host, self._port)
        except (OSError, trio.TooSlowError, trio.BrokenResourceError) as error:
            raise Refused(f"{self.url}: {error or 'no answer'}") from error

    async def connect(
        self, path: str, token: str | None = None, *, subprotocol: str | None = None, deflate: bool = False
    ) -> Socket:
        """A WebSocket on this path. Raises Refused."""
        stream = await self.stream()
        headers = [("Authorization", f"Bearer {token}")] if token else []
        host = f"[{self._host}]" if ":" in self._host else self._host
        try:
            with trio.fail_after(self.patience):
                return await open_socket(
                    stream,
                    f"{host}:{self._port}",
                    self._base + path,
                    headers=headers,
                    subprotocol=subprotocol,
                    deflate=deflate,
                )
        except BaseException as error:
            await trio.aclose_forcefully(stream)
            if isinstance(error, trio.TooSlowError):
                raise Refused("no answer to the handshake") from error
            raise

    async def get(self, path: str) -> httpx.Response:
        """An HTTP GET. Raises Refused."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        url = f"{'https' if self._secure else 'http'}://{host}:{self._port}{self._base}{path}"
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=self.patience, verify=self._tls) as client:
                return await client.get(url, headers=headers)
        except httpx.HTTPError as error:
            raise Refused(f"GET {path}: {error}") from error

    def started(self) -> Process:
        """The process it runs in. Raises NotTried."""
        if self.process is None:
            self._not_started()
        return self.process

    def _not_started(self) -> NoReturn:
        raise NotTried("needs --start")


def new_folder() -> Path:
    """Where a started node keeps its data and its log."""
    return Path(tempfile.mkdtemp(prefix="comanda-conformance-"))
