"""2,000 open orders and 500 conflicts: the page draws what is seen, and no step of it holds a finger up.

What is compared does not hang on the machine: how many elements are drawn, and the page's longest task beside how
long the same browser takes to lay out a plain list. Of several tries the least counts, as other work only adds.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.ui.people import Terminal
from tests.ui.test_views import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Route

    from tests.processes import NodeProcess
    from tests.ui.browser import Pages

ORDERS, CONFLICTS = 2_000, 500
BULK = 500
TRIES = int(os.environ.get("COMANDA_TRIES", "2"))

MOST_ELEMENTS = 4_000
"""Elements of a view that shows a part: some hundred cards and rows, each with its lines."""

MOST_TASK = 12.0
"""The longest task, in times that the browser lays out 1,000 plain rows. Measured are 5 and less."""

MANY_MS = 240_000
"""How long a busy machine may take until all of it is there."""

CALIBRATE = """() => {
    const box = document.body.appendChild(document.createElement('div')), begun = performance.now();
    for (let i = 0; i < 1000; i++) {
        const row = box.appendChild(document.createElement('p'));
        row.append(`linha ${i} `, document.createElement('span'), document.createElement('b'));
        row.lastChild.textContent = 'Mesa';
    }
    box.getBoundingClientRect();
    const took = performance.now() - begun;
    box.remove();
    return took;
}"""

WATCH = """() => {
    window.tasks = [];
    new PerformanceObserver((list) => window.tasks.push(...list.getEntries().map((one) => one.duration)))
        .observe({entryTypes: ['longtask']});
}"""


@pytest.fixture(scope="module")
def restaurant(nodes: Callable[..., NodeProcess]) -> NodeProcess:
    node = nodes("central")
    with Terminal(node, "garcom-1", "Bruno", "waiter") as waiter:
        for part in range(0, ORDERS, BULK):
            bulk(waiter, "orders", {f"p-{n}": order(n) for n in range(part, part + BULK)})
    with Terminal(node, "caixa-1", "Ana") as ana, Terminal(node, "caixa-2", "Rogério") as rogerio:
        guests = [f"c-{n}" for n in range(CONFLICTS)]
        bulk(ana, "customers", {name: {"name": f"Cliente {name}", "phone": "1"} for name in guests})
        rush(ana, {name: {"phone": "2"} for name in guests})
        rush(rogerio, {name: {"phone": "3"} for name in guests})
    return node


def order(number: int) -> dict[str, Any]:
    status = ("pending", "preparing", "ready", "served")[number % 4]
    items = [{"id": "i1", "name": "Feijoada completa", "quantity": 1 + number % 3, "price": 68.9}]
    return {"number": str(number), "table": f"Mesa {number % 60}", "status": status, "items": items, "total": 68.9}


def bulk(terminal: Terminal, entity_type: str, entities: dict[str, dict[str, Any]]) -> None:
    updates = [{"entity_id": name, "data": data} for name, data in entities.items()]
    name = f"{terminal.terminal_id}.bulk-{next(iter(entities))}-{len(str(entities))}"
    said = {"id": name, "entity_type": entity_type, "operation": "BULK_UPDATE", "data": {"updates": updates}}
    terminal.say("data_sync", operation=said)
    answer = terminal.hear("sync_confirmation", operation_id=name)
    assert answer["status"] in ("applied", "merged", "conflict"), answer


def rush(terminal: Terminal, guests: dict[str, dict[str, Any]]) -> None:
    """Change guests whom one saw as they were made, without waiting for each answer."""
    for name, data in guests.items():
        said = {"id": name, "entity_type": "customers", "entity_id": name, "operation": "UPDATE"}
        terminal.say("data_sync", operation={**said, "data": {**data, "version": 2}})
    terminal.hear("sync_confirmation", operation_id=[*guests][-1])


def counted(page: Page) -> int:
    found: int = page.evaluate("document.querySelectorAll('#shell *').length")
    return found


def longest(page: Page, act: Callable[[int], object]) -> float:
    """The longest task of what is done, in times of the plain list; of several tries the least."""
    found = []
    for turn in range(TRIES):
        plain = min(page.evaluate(CALIBRATE) for _ in range(3))
        page.evaluate("window.tasks.length = 0")
        act(turn)
        page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        found.append(max(page.evaluate("window.tasks"), default=0.0) / plain)
    return min(found)


def test_a_board_of_many_orders_draws_what_is_seen_and_stays_quick(restaurant: NodeProcess, pages: Pages) -> None:
    page = pages(restaurant, "#/pedidos")
    page.locator("h1", has_text="2.000").wait_for(timeout=MANY_MS)
    assert counted(page) < MOST_ELEMENTS
    page.evaluate(WATCH)
    with Terminal(restaurant, "garcom-2", "Luísa", "waiter") as waiter:

        def search(turn: int) -> None:
            page.locator("#find").fill(f"mesa {20 + turn}")
            page.locator(".card-table", has_text=f"Mesa {20 + turn}").first.wait_for()
            page.locator("#find").fill("")

        def live(turn: int) -> None:
            seen = page.locator(".card").first.get_attribute("id") or ""
            name = seen.removeprefix("order-")
            others = [f"p-{number}" for number in range(turn, ORDERS, ORDERS // 50)]
            bulk(waiter, "orders", {one: {"customer": f"Cliente {turn}"} for one in {name, *others}})
            page.locator(f"[id='{seen}']", has_text=f"Cliente {turn}").wait_for()

        def scroll(turn: int) -> None:
            page.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)")
            page.evaluate("new Promise(requestAnimationFrame)")
            page.evaluate("scrollTo(0, 0)")
            page.locator(".card").first.wait_for()

        found = {act.__name__: longest(page, act) for act in (search, live, scroll)}
    assert counted(page) < MOST_ELEMENTS
    assert {name: tasks for name, tasks in found.items() if tasks > MOST_TASK} == {}


def test_an_inbox_of_many_conflicts_draws_what_is_seen_and_stays_quick(restaurant: NodeProcess, pages: Pages) -> None:
    page = pages(restaurant, "#/conflitos")
    page.locator("h1", has_text="500").wait_for(timeout=MANY_MS)
    assert counted(page) < MOST_ELEMENTS
    page.evaluate(WATCH)
    with Terminal(restaurant, "caixa-1", "Ana") as ana:

        def come_and_go(turn: int) -> None:
            shown(page, "auditoria", ".table-audit")
            shown(page, "conflitos", ".case")

        def decided(turn: int) -> None:
            address = page.locator(".case a").first.get_attribute("href") or ""
            name = address.rpartition("/")[2]
            ana.resolve(name, "accept_local")
            page.locator(f".case a[href='{address}']").wait_for(state="detached")

        found = {act.__name__: longest(page, act) for act in (come_and_go, decided)}
    assert {name: tasks for name, tasks in found.items() if tasks > MOST_TASK} == {}


def test_the_first_conflicts_are_seen_while_the_others_come(restaurant: NodeProcess, pages: Pages) -> None:
    page = pages(restaurant)
    held: list[Route] = []
    page.route(lambda url: "/conflicts?" in url and "after=" in url, lambda route: held.append(route))
    with page.expect_request(lambda request: "after=" in request.url):
        page.reload()
    page.locator(".case").first.wait_for()
    page.locator("h1", has_text=re.compile(r"\b4\d\d\b|500")).wait_for()  # counted by the node
    coming = page.get_by_text("As outras ainda estão chegando")
    coming.wait_for()
    (waits,) = held
    waits.continue_()
    coming.wait_for(state="detached")
    assert re.search(r"\b4\d\d\b|500", page.locator("h1").inner_text())
