"""Asking a running node: address, token, and what is said where it does not answer."""

from __future__ import annotations

import gc
import socket
from typing import TYPE_CHECKING, Any

import click
import httpx
import pytest

from node.cli.asking import CONTROL, TOKEN, NoNode, ask
from node.control import NAME
from storage.system import LINUX, unix_socket

if TYPE_CHECKING:
    from pathlib import Path


class Web:
    """Answers every request with one response, or raises; remembers the last request."""

    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.answer = answer
        self.called: tuple[str, str] = ("", "")
        self.headers: dict[str, str] = {}

    def request(
        self, method: str, url: str, *, headers: dict[str, str], timeout: float, verify: object
    ) -> httpx.Response:
        self.called, self.headers = (method, url), headers
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def answering(monkeypatch: pytest.MonkeyPatch, answer: httpx.Response | Exception) -> Web:
    web = Web(answer)
    monkeypatch.setattr(httpx, "request", web.request)
    return web


def test_the_answer_is_the_nodes_json(monkeypatch: pytest.MonkeyPatch) -> None:
    web = answering(monkeypatch, httpx.Response(200, json={"a": 1}))
    monkeypatch.delenv(TOKEN, raising=False)
    assert ask("http://localhost:8001/", "/api/v1/links", "POST") == {"a": 1}
    assert web.called == ("POST", "http://localhost:8001/api/v1/links")
    assert web.headers == {}


def test_the_token_of_the_environment_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    web = answering(monkeypatch, httpx.Response(200, json={}))
    monkeypatch.setenv(TOKEN, "secret")
    ask("http://localhost:8001", "/healthz")
    assert web.headers == {"Authorization": "Bearer secret"}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (httpx.Response(401, json={"error": "no token"}), "http://n: 401 no token"),
        (httpx.Response(200, text="<html>"), "http://n: "),
        (httpx.ConnectError("refused"), "http://n: refused"),
        (httpx.ReadTimeout("too slow"), "http://n: too slow"),
    ],
)
def test_a_node_that_gives_no_good_answer_is_named(
    monkeypatch: pytest.MonkeyPatch, answer: Any, message: str
) -> None:
    answering(monkeypatch, answer)
    with pytest.raises(click.ClickException) as caught:
        ask("http://n", "/")
    assert caught.value.message.startswith(message)


@pytest.mark.skipif(not LINUX, reason="no UNIX sockets")
def test_nothing_stays_open_where_a_killed_nodes_socket_answers_nobody(tmp_path: Path) -> None:
    with unix_socket(socket.SOCK_STREAM) as left:
        left.bind(str(tmp_path / NAME))
    gc.collect()  # what others left is not asked about here
    before = open_sockets()
    with pytest.raises(NoNode, match="refused"):
        ask(f"{CONTROL}{tmp_path}", "/healthz")
    assert open_sockets() == before


def open_sockets() -> int:
    return sum(isinstance(each, socket.socket) and each.fileno() >= 0 for each in gc.get_objects())
