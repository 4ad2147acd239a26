"""What a machine that joins writes: only for itself to read, and of the hub's only what a store has in common."""

from __future__ import annotations

import stat
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import click
import pytest
import tomlkit

from node.cli import join
from node.cli.join import _document, _Hub, _write
from node.cli.secure import Secured
from node.config.reading import parse
from node.config.remembered import shared
from node.config.sections import Config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _pytest.monkeypatch import MonkeyPatch

URL = "wss://hub:8001"
ANSWER = {"token": "cmd_secret", "node_key": "ab"}


def test_no_file_that_somebody_laid_ready_gets_the_token(tmp_path: Path) -> None:
    """The current directory may be one that others write to."""
    theirs = tmp_path / "theirs"
    theirs.touch()
    path, ready = tmp_path / "comanda.toml", tmp_path / ".comanda.toml.partial"
    for lay in (lambda: ready.symlink_to(theirs), lambda: ready.hardlink_to(theirs)):
        lay()
        _write(path, _document(path, URL), URL, ANSWER, {}, tmp_path)
        assert theirs.read_text() == ""
        assert "cmd_secret" in path.read_text()
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        path.unlink()


def test_a_hub_says_nothing_of_how_another_machine_is_reached(tmp_path: Path) -> None:
    said = {name: {"made": "up"} for name in tomlkit.parse("[node]\n[http]\n[tls]\n[limits]\n[links]\n")}
    path = tmp_path / "comanda.toml"
    answer = {**ANSWER, "configuration": {**said, "time": {"zone": "America/Sao_Paulo"}}}
    _write(path, _document(path, URL), URL, answer, {}, tmp_path)
    written = tomlkit.parse(path.read_text())
    assert written["time"] == {"zone": "America/Sao_Paulo"}
    assert set(written) <= {"node", "links", *shared(Config())}
    assert "made" not in path.read_text()
    assert not parse(path.read_text(), str(path)).node.insecure


class Answering(BaseHTTPRequestHandler):
    """Gives the answers of its server one after the other, the last one for ever."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answers: list[int] = self.server.answers  # type: ignore[attr-defined]
        status = answers.pop(0) if len(answers) > 1 else answers[0]
        body = b'{"error": "it says %d"}' % status
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said: object) -> None:
        """Nothing."""


@pytest.fixture
def hub() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("answers", [[403], [503, 503, 403], [503] * 30])
def test_a_hub_that_cannot_answer_at_the_moment_is_asked_again_for_a_while(
    hub: HTTPServer, monkeypatch: MonkeyPatch, answers: list[int]
) -> None:
    """A store of head office may be changing hands."""
    clock = [0.0]
    monkeypatch.setattr(join.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(join.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    hub.answers = list(answers)  # type: ignore[attr-defined]
    asking = _Hub(f"ws://127.0.0.1:{hub.server_port}", "ABCDEFGHJKMN", Secured(None, None, None))
    with pytest.raises(click.ClickException, match=f"it says {answers[-1]}"):
        asking.ask("till")
    waited = min(answers.count(503), join.PATIENCE_S + 1)
    assert clock[0] == waited * join.AGAIN_S
