"""Tabs of one terminal where a browser has no Web Locks, as for a page over plain HTTP of another machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.patience import PATIENCE_S, http_get

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.processes import NodeProcess
    from tests.ui.browser import Pages

WITHOUT_LOCKS = "Object.defineProperty(Navigator.prototype, 'locks', { get: () => undefined })"

OPEN = """async () => {
    const [{ connect }, { LEASE }] = await Promise.all([import('/client/client.js'), import('/client/lease.js')]);
    Object.assign(LEASE, { beat: 200, silence: 800, answer: 400 });
    const WebSocket = class extends window.WebSocket {
        constructor(url) { super(url); window.socket = this; }
    };
    window.terminal = connect({ url: location.origin, terminalId: 'tablet-1', type: 'pos', WebSocket });
}"""
UP = "() => terminal.contact.up"


def until(page: Page, condition: str) -> None:
    """Asked from here: the page's policy lets no text be evaluated in it."""
    deadline = time.monotonic() + PATIENCE_S
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(20)


def leads(page: Page) -> bool:
    return bool(page.evaluate("() => window.socket?.readyState === 1"))


def write(page: Page, order: str) -> None:
    """Until it is confirmed."""
    page.evaluate("async id => { window.answered = (await terminal.create('orders', id, { a: 1 })).answered }", order)
    assert page.evaluate("async () => (await answered).state") == "confirmed"


def test_one_tab_leads_and_another_when_it_freezes_or_dies(nodes: Callable[..., NodeProcess], pages: Pages) -> None:
    node = nodes("hub")
    first = pages(node, "#/no")
    first.context.add_init_script(WITHOUT_LOCKS)
    address = first.url
    tabs = [first.context.new_page() for _ in range(3)]
    for tab in tabs:
        tab.goto(address)
    for tab in tabs:
        tab.evaluate(OPEN)
    for tab in tabs:
        until(tab, UP)
    (leader,) = [tab for tab in tabs if leads(tab)]
    second, third = [tab for tab in tabs if tab is not leader]
    write(second, "o-1")

    frozen = first.context.new_cdp_session(leader)
    frozen.send("Debugger.enable")
    leader.evaluate("() => { setTimeout(() => { debugger }); document.dispatchEvent(new Event('freeze')) }")
    write(second, "o-2")
    frozen.send("Debugger.resume")
    frozen.send("Debugger.disable")
    until(leader, "() => terminal.contact.up && terminal.entity('orders', 'o-2')")
    assert not leads(leader)
    write(leader, "o-3")

    (leader,) = [tab for tab in tabs if leads(tab)]
    crash(leader)
    second, third = [tab for tab in tabs if tab is not leader]
    write(third, "o-4")
    until(second, "() => ['o-1', 'o-2', 'o-3', 'o-4'].every((id) => terminal.entity('orders', id))")
    assert sorted([leads(second), leads(third)]) == [False, True]
    http = f"http://127.0.0.1:{node.port}/api/v1"
    assert http_get(f"{http}/websocket/stats").json()["connections_by_type"]["pos"] == 1
    entries: list[dict[str, Any]] = http_get(f"{http}/audit?limit=100").json()["entries"]
    assert sorted(entry["entity_id"] for entry in entries) == ["o-1", "o-2", "o-3", "o-4"]


def crash(page: Page) -> None:
    """Its process dies."""
    with page.expect_event("crash"):
        try:
            page.goto("chrome://crash")
        except Exception as error:  # what a page says that dies while it is loaded
            assert "crash" in str(error)  # noqa: PT017
