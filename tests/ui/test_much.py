"""A thousand open orders and hundreds of conflicts: the page draws what is seen, and no step of it holds a finger up.

What is compared does not hang on the machine: how many elements are drawn, and the page's longest task beside how
long the same browser takes to lay out a plain list. Of several tries the least counts, as other work only adds.
"""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

from tests.ui.browser import ALL
from tests.ui.people import NUMBERS, Terminal
from tests.ui.people import asked as told
from tests.ui.test_views import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page, Route

    from tests.processes import NodeProcess
    from tests.ui.browser import Pages

ORDERS, CONFLICTS, DECIDED = (2_000, 500, 410) if ALL else (1_000, 300, 410)
STEPS, ENTRIES = (5_000, 2_000) if ALL else (1_000, 600)
BULK = 500
TRIES = int(os.environ.get("COMANDA_TRIES", "2"))

OPEN = re.compile("|".join(map(str, range(CONFLICTS - TRIES, CONFLICTS + 2))))
"""How many conflicts are open, whichever tests were first: one decides some, another makes one."""

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
    name = f"{terminal.terminal_id}.bulk-{next(NUMBERS)}"
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


def said(number: int) -> str:
    """As the page writes it, in Portuguese."""
    return f"{number:,}".replace(",", ".")


def counted(page: Page) -> int:
    found: int = page.evaluate("document.querySelectorAll('#shell *').length")
    return found


def longest(page: Page, act: Callable[[int], object]) -> float:
    """The longest task of what is done, in times of the plain list: the least of tries, up to one that is quick."""
    found = []
    for turn in range(TRIES):
        plain = min(page.evaluate(CALIBRATE) for _ in range(3))
        page.evaluate("window.tasks.length = 0")
        act(turn)
        page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
        found.append(max(page.evaluate("window.tasks"), default=0.0) / plain)
        if found[-1] <= MOST_TASK:
            break
    return min(found)


def test_a_board_of_many_orders_draws_what_is_seen_and_stays_quick(restaurant: NodeProcess, pages: Pages) -> None:
    page = pages(restaurant, "#/pedidos")
    page.locator("h1", has_text=said(ORDERS)).wait_for(timeout=MANY_MS)
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
    page.locator("h1", has_text=OPEN).wait_for(timeout=MANY_MS)
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


PART = 120
"""Conflicts of a page, where the node is asked for small ones: it has 1,000 itself."""


def test_the_first_conflicts_are_seen_while_the_others_come_page_by_page(
    restaurant: NodeProcess, pages: Pages
) -> None:
    page = pages(restaurant)
    held: list[Route] = []
    free, asked = False, 0

    def pass_on(route: Route) -> None:
        route.continue_(url=f"{route.request.url}&limit={PART}")

    def meet(route: Route) -> None:
        nonlocal asked
        asked += 1
        if free:
            pass_on(route)
        else:
            held.append(route)

    page.route(lambda url: "/conflicts?" in url and "after=" in url, meet)
    with page.expect_request(lambda request: "after=" in request.url, timeout=MANY_MS):
        page.reload()
    page.locator(".case").first.wait_for()
    page.locator("h1", has_text=OPEN).wait_for()  # counted by the node
    coming = page.get_by_text("As outras ainda estão chegando")
    coming.wait_for()
    free = True
    for route in held:  # the settled ones have pages, too, once many are
        pass_on(route)
    coming.wait_for(state="detached")
    assert asked > (CONFLICTS - TRIES - PART) / PART
    left = str(len(told(restaurant, "/api/v1/conflicts?state=open")["conflicts"]))
    assert page.locator("h1").inner_text().startswith(f"{left} ")
    page.locator(".nav .count", has_text=left).wait_for()


def test_settled_conflicts_beyond_the_first_page_are_shown(restaurant: NodeProcess, pages: Pages) -> None:
    """The node has few decided ones; the page is given one of them many times, in pages as small as it asks for."""
    with Terminal(restaurant, "caixa-1", "Ana") as ana, Terminal(restaurant, "caixa-2", "Rogério") as rogerio:
        ana.write("products", "chopp", {"name": "Chopp", "price": 11}, "CREATE")
        ana.write("products", "chopp", {"price": 12}, version=2)
        rogerio.write("products", "chopp", {"price": 13}, version=2)
    (one, *_) = (
        conflict
        for conflict in told(restaurant, "/api/v1/conflicts?state=decided")["conflicts"]
        if conflict["entity_id"] == "chopp"
    )
    asked: list[int] = []

    def answer(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        begin, limit = int(query.get("after", ["0"])[0]), int(query["limit"][0])
        asked.append(begin)
        upto = min(begin + limit, DECIDED)
        found = [{**one, "id": f"d-{number}"} for number in range(begin, upto)]
        route.fulfill(json={"conflicts": found, "next": str(upto) if upto < DECIDED else None})

    page = pages(restaurant, "#/no")
    page.route(lambda url: "/conflicts?" in url and "state=decided" in url, answer)
    shown(page, "conflitos", ".settled")
    rows, more = page.locator(".settled"), page.locator("#settled-more")
    seen = rows.count()
    while more.count():
        more.click()
        page.wait_for_function(
            "seen => document.querySelectorAll('.settled').length > seen || !document.querySelector('#settled-more')",
            arg=seen,
        )
        seen = rows.count()
    assert seen == DECIDED
    assert sorted(set(asked)) == [*range(0, DECIDED, 200)]


def test_a_history_of_thousands_of_steps_draws_a_part_and_stays_quick(restaurant: NodeProcess, pages: Pages) -> None:
    """The node has few steps; the page is given each of them many times, as if it were another."""
    (first, *_) = told(restaurant, "/api/v1/history/orders/p-7")["steps"]
    begun = datetime.fromisoformat(first["arrived_at"])

    def step(number: int) -> dict[str, Any]:
        at = (begun + timedelta(seconds=number)).isoformat()
        changed = {"total": {"from": number, "to": number + 1}}
        return {**first, "seq": number + 1, "operation_id": f"o-{number}", "arrived_at": at, "changed": changed}

    def answer(route: Route) -> None:
        after = int(re.search(r"after=(\d+)", route.request.url)[1])  # type: ignore[index]
        upto = min(after + 200, STEPS)
        following = upto if upto < STEPS else None
        steps = [step(number) for number in range(after, upto)]
        route.fulfill(json={"steps": steps, "next": following, "archived": None, "unread": []})

    page = pages(restaurant, "#/no")
    page.route(lambda url: "/api/v1/history/" in url, answer)
    page.evaluate(WATCH)

    def come(turn: int) -> None:
        shown(page, "no", ".checks")
        shown(page, "historico/orders/p-7", ".line")

    def walk(turn: int) -> None:
        for key in ("Home", "ArrowRight", "End"):
            page.locator("#slider").press(key)
        page.locator("#slider").press("Home")
        page.locator(".op-current").wait_for()

    found = {act.__name__: longest(page, act) for act in (come, walk)}
    assert counted(page) < MOST_ELEMENTS
    assert page.locator(".line > .op").count() < 200
    assert {name: tasks for name, tasks in found.items() if tasks > MOST_TASK} == {}


MOST_ENTRIES = 200
MOST_OF_ENTRY = 25
"""Elements of an entry, on the average."""
BULK_EVERY = 50
"""Of so many entries one is a BULK_UPDATE of many orders."""


def test_an_audit_of_thousands_of_entries_draws_a_part_and_goes_both_ways(
    restaurant: NodeProcess, pages: Pages
) -> None:
    """The page is given two of the node's entries many times, as if each were another."""
    with Terminal(restaurant, "caixa-1", "Ana") as ana:
        ana.write("products", "agua", {"name": "Água com gás", "price": 7}, "CREATE")
    (single,) = told(restaurant, "/api/v1/audit?entity_id=agua")["entries"]
    many = told(restaurant, "/api/v1/audit?entity_id=p-7&limit=1")["entries"][0]
    assert len(many["changes"]["after"]) == BULK

    def answer(route: Route) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        end, limit = int(query.get("before", [str(ENTRIES + 1)])[0]), int(query["limit"][0])
        seqs = range(end - 1, max(0, end - 1 - limit), -1)
        kinds = [(seq, single if seq % BULK_EVERY else many) for seq in seqs]
        entries = [{**one, "seq": seq, "user_id": f"Pessoa {seq}", "operation_id": f"o-{seq}"} for seq, one in kinds]
        route.fulfill(json={"entries": entries, "next": seqs[-1] if seqs[-1] > 1 else None})

    page = pages(restaurant, "#/no")
    page.route(lambda url: "/api/v1/audit?" in url, answer)
    page.evaluate(WATCH)
    shown(page, "auditoria", ".table-audit")
    rows = page.locator(".table-audit tbody tr")

    def stand(newest: int, oldest: int) -> None:
        expect(rows.first).to_contain_text(f"Pessoa {newest}")
        expect(rows.last).to_contain_text(f"Pessoa {oldest}")
        assert rows.count() <= MOST_ENTRIES
        assert counted(page) < MOST_ENTRIES * MOST_OF_ENTRY

    oldest = ENTRIES - 99

    def back_in_time(turn: int) -> None:
        nonlocal oldest
        page.locator("#older").click()
        oldest -= 100
        stand(min(ENTRIES, oldest + MOST_ENTRIES - 1), oldest)

    def forward(turn: int) -> None:
        page.locator("#newer").click()
        stand(MOST_ENTRIES + 100 * (turn + 1), 100 * (turn + 1) + 1)

    found = {"back_in_time": longest(page, back_in_time)}
    while oldest > 1:
        back_in_time(0)
    expect(page.locator("#older")).to_have_count(0)
    expect(page.locator(".table-audit caption")).to_contain_text(said(ENTRIES))
    found["forward"] = longest(page, forward)
    assert {name: tasks for name, tasks in found.items() if tasks > MOST_TASK} == {}
    with page.expect_download() as taken:
        page.locator("#jsonl").click()
    assert len(taken.value.path().read_text().splitlines()) == ENTRIES  # all that came, not what is drawn
