"""What answers in the node's place, or nobody does: it is said, the other parts go on, and it passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.browser import ALL
from tests.ui.evening import play
from tests.ui.people import Terminal, asked, conflict
from tests.ui.test_views import VIEWS, open_conflict, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import APIResponse, Page, Route, WebSocketRoute

    from tests.processes import NodeProcess
    from tests.ui.browser import Pages


@pytest.fixture(scope="module")
def node(nodes: Callable[..., NodeProcess]) -> NodeProcess:
    node = nodes("central")
    play(node)
    return node


LISTS = [
    *("conflicts", "entities", "steps", "entries", "links", "away", "terminals", "locks", "policies"),
    *("points", "outages", "settings", "addresses", "findings", "backups", "archives", "quarantine", "realms"),
]
LATER: dict[str, object] = {"json": {key: [{}] for key in LISTS}, "status": 200}
ANSWERS: dict[str, dict[str, object]] = {
    "the page of a network that wants a password": {"body": "<!doctype html><title>Wi-Fi</title>", "status": 200},
    "nothing in particular": {"json": {}, "status": 200},
    "no object": {"json": None, "status": 200},
    "another list": {"json": [1, {"a": 1}], "status": 200},
    "lists of nothing": {"json": {key: [None] for key in LISTS}, "status": 200},
    "lists of a later version": LATER,
    "a proxy's fault": {"body": "<h1>502</h1>", "status": 502},
    "too much": {"json": {"error": "slow down"}, "status": 429},
}


EVERY = 1 if ALL else 5
"""A view meets one of so many answers, and every answer a few views."""


@pytest.mark.walk(1 if ALL else 2)
@pytest.mark.parametrize("name", ANSWERS)
def test_an_odd_answer_is_said_and_passes(pages: Pages, node: NodeProcess, name: str) -> None:
    answer, turn = ANSWERS[name], [*ANSWERS].index(name)
    views = dict([*VIEWS.items()][turn % EVERY :: EVERY])
    page = pages(node, width=800)
    case = open_conflict(page)
    shown(page, "no", ".checks")
    pages.expected += ("a part of the page failed:",)
    page.route("**/api/v1/**", lambda route: route.fulfill(**answer))  # type: ignore[arg-type]
    page.reload()
    for pattern in views:
        route = pattern.format(conflict=case)
        page.evaluate("route => { location.hash = route }", f"#/{route}")
        expect(page.locator("h1")).to_have_count(1)
        expect(page.locator("nav a[href='#/pedidos']").first).to_be_visible()
        if answer is not LATER:
            expect(page.locator("#view").get_by_role("button", name="Tentar agora")).to_be_visible()
    page.unroute("**/api/v1/**")
    if answer is LATER:  # what there was to show was shown
        page.reload()
    for pattern, sign in views.items():
        route = pattern.format(conflict=case)
        page.evaluate("route => { location.hash = route }", f"#/{route}")
        again, there = (
            page.locator("#view").get_by_role("button", name="Tentar agora"),
            page.locator(f"#view :is({sign})"),
        )
        again.or_(there).first.wait_for()
        again.evaluate_all("found => found.forEach((one) => one.click())")  # it may be gone by itself
        there.first.wait_for()


class Wifi:
    """The network of one tablet, which goes and comes back while the node works on."""

    _sockets: list[WebSocketRoute]

    def __init__(self, page: Page) -> None:
        self._page, self._there, self._sockets = page, True, []
        page.route_web_socket("**/ws/**", self._dial)
        page.route("**/api/v1/**", lambda route: route.continue_() if self._there else route.abort())
        page.reload()

    def _dial(self, socket: WebSocketRoute) -> None:
        if self._there:
            self._sockets.append(socket)
            socket.connect_to_server()
        else:
            socket.close()

    def leave(self) -> None:
        self._there = False
        for socket in self._sockets:
            socket.close()
        self._sockets.clear()
        expect(self._page.locator("#off-title")).to_be_visible()

    def come_back(self) -> None:
        self._there = True
        self._page.evaluate("document.getElementById('off-retry')?.click()")
        expect(self._page.locator("#off-title")).to_have_count(0)


def test_what_happened_while_a_tablet_was_away_is_there_when_it_is_back(pages: Pages, node: NodeProcess) -> None:
    with Terminal(node, "caixa-1", "Ana") as ana:
        ana.write("products", "suco", {"name": "Suco de caju", "price": 9}, "CREATE")
        page = pages(node, "#/historico/products/suco")
        wifi = Wifi(page)
        expect(page.locator(".line > .op")).to_have_count(1)
        wifi.leave()
        ana.write("products", "suco", {"price": 11})
        ana.write("orders", "fora", {"table": "Mesa 99", "status": "ready", "total": 5}, "CREATE")
        wifi.come_back()
        expect(page.locator(".line > .op").first).to_contain_text("R$ 9,00 → R$ 11,00")
        wifi.leave()
        for route, sign in {"auditoria": ".table-audit", "desempenho": ".metrics, .empty", "no": ".checks"}.items():
            page.evaluate("route => { location.hash = route }", f"#/{route}")
            expect(page.locator("#view")).to_contain_text("O nó não respondeu")
            wifi.come_back()
            page.locator(f"#view :is({sign})").first.wait_for()  # by itself
            wifi.leave()
        wifi.come_back()
        page.evaluate("location.hash = '#/pedidos'")
        expect(page.get_by_role("link", name="Mesa 99")).to_be_visible()


def test_a_decision_half_typed_stays_while_the_tablet_is_away_and_somebody_else_decides(
    pages: Pages, node: NodeProcess
) -> None:
    before = {"type": "withdrawal", "amount": 200, "drawer_id": "gaveta-9"}
    conflict(node, "cashier_operations", "fora", before=before, first={"amount": 300}, second={"amount": 350})
    page = pages(node, user="Marina")
    wifi = Wifi(page)
    page.locator(".case").get_by_role("link", name="gaveta-9").click()
    page.get_by_role("radio", name="Outro valor").check()
    page.locator("#f-amount-text").press_sequentially("32")
    wifi.leave()
    page.locator("#f-amount-text").press_sequentially("5,5")
    page.locator("#reason").fill("Contei")
    expect(page.locator("#send")).to_be_disabled()
    wifi.come_back()
    expect(page.locator("#f-amount-text")).to_have_value("325,5")
    expect(page.locator(".slip-lines")).to_contain_text("R$ 325,50")
    expect(page.locator("#send")).to_be_enabled()
    wifi.leave()
    with Terminal(node, "caixa-3", "Tiago") as tiago:
        opened = asked(node, "/api/v1/conflicts?state=open")["conflicts"]
        tiago.resolve(
            next(one["id"] for one in opened if one["entity_id"] == "fora"), "accept_local", reason="Recibo"
        )
    wifi.come_back()
    expect(page.locator("#other-title")).to_contain_text("Tiago decidiu primeiro")
    expect(page.locator("#view")).to_contain_text("325,5")
    expect(page.locator("#send")).to_have_count(0)


class Overtaken:
    """The first answer to a question: the node has said it, and it comes when everything else has come."""

    def __init__(self, page: Page, path: str) -> None:
        self._held: list[tuple[Route, APIResponse]] = []
        page.route(path, lambda route: self._held.append((route, route.fetch())), times=1)

    def is_said(self, page: Page) -> None:
        while not self._held:
            page.wait_for_event("response")

    def come(self) -> None:
        ((route, answer),) = self._held
        with route.request.frame.page.expect_event("requestfinished", lambda request: request == route.request):
            route.fulfill(response=answer)


def test_a_message_that_overtakes_an_answer_stays(pages: Pages, node: NodeProcess) -> None:
    before = {"name": "Nina", "phone": "(11) 90000-0001"}
    changes = ({"phone": "(11) 90000-0002"}, {"phone": "(11) 90000-0003"})
    conflict(node, "customers", "nina", before=before, first=changes[0], second=changes[1])
    page = pages(node, "#/terminais")
    expect(page.locator(".overall .pill")).to_be_visible()
    late = Overtaken(page, "**/api/v1/entities/customers?*entity_id=nina*")
    page.evaluate("location.hash = '#/conflitos'")
    late.is_said(page)
    with Terminal(node, "caixa-1", "Ana") as ana:
        ana.write("customers", "nina", {"name": "Nina Prado"})
        case = page.locator(".case-title").filter(has_text="Nina Prado")
        case.wait_for()
        late.come()
        page.evaluate("location.hash = '#/terminais'")
        page.evaluate("location.hash = '#/conflitos'")
        case.wait_for()


def test_of_two_answers_to_one_question_the_later_question_counts(
    pages: Pages, nodes: Callable[..., NodeProcess]
) -> None:
    node = nodes("copias")
    page = pages(node, "#/terminais")
    expect(page.locator(".overall .pill")).to_be_visible()
    late = Overtaken(page, "**/api/v1/backups*")
    page.evaluate("location.hash = '#/no'")
    page.get_by_role("button", name="Fazer backup agora").click()
    copies = page.locator(".table-files").filter(has_text="comanda")
    copies.wait_for()
    late.come()
    page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")
    expect(copies).to_be_visible()
