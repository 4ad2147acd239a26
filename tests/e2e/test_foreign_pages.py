"""A browser beside the node: only the node's own page and those in the configuration may connect, read or ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from node.runtime.api.origins import Origins
from node.runtime.net.http import Request
from tests.e2e.rude import Rude, head
from tests.patience import http_get, http_post
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIGURED = '[http]\norigins = ["https://loja.example"]\n'


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    process = NodeProcess(tmp_path_factory.mktemp("pages") / "data", config=CONFIGURED).start()
    yield process
    process.end()


def upgraded(node: NodeProcess, host: str, origin: str | None) -> int:
    """The status of an upgrade. {port} stands for the node's."""
    said = [f"Host: {host}", *([f"Origin: {origin}"] if origin else [])]
    with Rude(node) as client:
        client.put(head(*[line.format(port=node.port) for line in said], without="Host"))
        return client.status()


PAGES = {
    "no page": (101, "evil.example:{port}", None),
    "the node's own": (101, "127.0.0.1:{port}", "http://127.0.0.1:{port}"),
    "the node's own by name": (101, "localhost:{port}", "http://localhost:{port}"),
    "a configured one": (101, "127.0.0.1:{port}", "https://loja.example"),
    "a configured one behind a proxy": (101, "loja.example", "https://loja.example"),
    "a foreign one": (403, "127.0.0.1:{port}", "http://evil.example"),
    "a local file": (403, "127.0.0.1:{port}", "null"),
    "a name made to mean this machine": (403, "evil.example:{port}", "http://evil.example:{port}"),
    "localhost as part of a name": (403, "localhost.evil.example", "http://localhost.evil.example"),
    "no host at all": (403, "", "http://"),
}


@pytest.mark.parametrize("page", PAGES)
def test_only_a_page_of_the_nodes_own_or_a_configured_one_may_connect(node: NodeProcess, page: str) -> None:
    status, host, origin = PAGES[page]
    assert upgraded(node, host, origin) == status


@pytest.mark.parametrize(
    ("host", "status"),
    [("evil.example", 403), ("localhost", 200), ("[::1]:{port}", 200), ("10.0.0.7", 200), ("loja.example", 200)],
)
def test_a_node_without_tokens_is_read_by_its_own_names_only(node: NodeProcess, host: str, status: int) -> None:
    url = f"http://127.0.0.1:{node.port}"
    asked = {"Host": host.format(port=node.port)}
    assert http_get(f"{url}/api/v1/websocket/stats", headers=asked).status_code == status
    assert http_get(f"{url}/healthz", headers=asked).status_code == 200  # which says nothing


@pytest.mark.parametrize(("origin", "status"), [("http://evil.example", 403), ("https://loja.example", 200)])
def test_a_foreign_page_may_not_ask_the_node_for_anything(node: NodeProcess, origin: str, status: int) -> None:
    answer = http_post(f"http://127.0.0.1:{node.port}/api/v1/quarantine/retry", headers={"Origin": origin})
    assert answer.status_code == status


LOADED = {
    "a picture in a foreign page": (403, "cross-site", "no-cors", "image", None),
    "a script in a page of a neighbouring port": (403, "same-site", "no-cors", "script", None),
    "a frame in a foreign page": (403, "cross-site", "navigate", "iframe", None),
    "a fetch whose answer nobody may read": (403, "cross-site", "no-cors", "empty", None),
    "a link that a person follows": (200, "cross-site", "navigate", "document", None),
    "an address that a person types": (200, "none", "navigate", "document", None),
    "the node's own page": (200, "same-origin", "cors", "empty", None),
    "a configured page": (200, "cross-site", "cors", "empty", "https://loja.example"),
}


@pytest.mark.parametrize("case", LOADED)
def test_a_foreign_page_loads_nothing_without_saying_whose_it_is(node: NodeProcess, case: str) -> None:
    status, site, mode, dest, origin = LOADED[case]
    said = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
    said |= {} if origin is None else {"Origin": origin}
    for path in ("/", "/api/v1/entities/customers"):
        assert http_get(f"http://127.0.0.1:{node.port}{path}", headers=said).status_code == status


def test_a_node_that_asks_for_tokens_goes_by_any_name() -> None:
    named = {"host": "hub.example:8001", "origin": "http://hub.example:8001"}
    request = Request("GET", "/", "/", {}, named, "peer")
    assert Origins(frozenset(), open_to_this_machine=False).objection(request) is None
    assert Origins(frozenset(), open_to_this_machine=True).objection(request) is not None


PATHS = ("/api/v1/websocket/stats", "/api/v1/entities/orders/mesa-1", "/api/v1/nothing", "/metrics", "/healthz")


@pytest.mark.parametrize("path", PATHS)
def test_a_configured_page_may_read_what_the_node_answers_and_no_other_page(node: NodeProcess, path: str) -> None:
    url = f"http://127.0.0.1:{node.port}{path}"
    answer = http_get(url, headers={"Origin": "https://loja.example"})
    assert answer.headers["access-control-allow-origin"] == "https://loja.example"
    assert answer.headers["vary"] == "Origin"
    for origin in ("https://evil.example", "null", "https://loja.example.evil.example"):
        assert "access-control-allow-origin" not in http_get(url, headers={"Origin": origin}).headers


def test_a_configured_page_may_show_a_token_and_no_page_may_write(node: NodeProcess) -> None:
    url = f"http://127.0.0.1:{node.port}/api/v1/entities/orders"
    asked = {"Origin": "https://loja.example", "Access-Control-Request-Headers": "authorization"}
    answer = httpx.options(url, headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-headers"] == "Authorization"
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
    foreign = httpx.options(url, headers={**asked, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in foreign.headers
    action = f"http://127.0.0.1:{node.port}/api/v1/quarantine/retry"
    assert httpx.options(action, headers=asked).status_code == 405


def test_a_page_that_is_refused_is_logged_once(node: NodeProcess) -> None:
    url = f"http://127.0.0.1:{node.port}/api/v1/websocket/stats"
    for _ in range(3):
        http_get(url, headers={"Origin": "https://read.example"})
        assert upgraded(node, "127.0.0.1:{port}", "https://write.example") == 403
        http_get(url, headers={"Host": "name.example"})
    logged = node.said()
    assert logged.count("a page of https://read.example may not connect or read; name it under [http] origins") == 1
    assert logged.count("a page of https://write.example may not connect or read; name it under [http] origins") == 1
    assert logged.count("name http://name.example under [http] origins") == 1
