"""Any address that somebody sends or types: it leads to a view that says what there is."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.patience import PATIENCE_S
from tests.slices import part
from tests.ui.browser import ALL
from tests.ui.evening import FIRST, play
from tests.ui.test_views import VIEWS, open_conflict, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.processes import NodeProcess
    from tests.ui.browser import Pages


@pytest.fixture(scope="module")
def node(nodes: Callable[..., NodeProcess]) -> NodeProcess:
    node = nodes("central")
    play(node)
    return node


PLACES = ("", "conflitos", "pedidos", "historico/orders", "historico/..", "auditoria")
TAILS = (
    *(
        "",
        "/",
        "//",
        "/..",
        "/../..",
        "/.",
        "/%2e%2e",
        "/%2F",
        "/%",
        "/%E0%A4%A",
        "/%00",
        "/a%20b%0A",
        "/?",
        "/a/b/c",
    ),
    *(
        "/" + "x" * 5_000,
        "/__proto__",
        "/constructor",
        "/%F0%9F%8D%B2%E2%80%AE",
        "?op=x&type=y&from=z&to=1&id=%&refused",
    ),
)


EVERY = 1 if ALL else 5
"""Every place meets one of so many tails, and every tail a few places."""


def whole(page: Page) -> str:
    """The heading of a view, once it is whole."""
    page.locator("#view [aria-busy=true]").first.wait_for(state="detached")
    expect(page.locator("#view h1")).to_have_count(1)
    return page.locator("#view h1").inner_text()


def test_no_address_leads_nowhere(pages: Pages, node: NodeProcess) -> None:
    page = pages(node, width=390)
    whole(page)
    for turn, place in enumerate(PLACES):
        for tail in TAILS[turn % EVERY :: EVERY]:
            page.evaluate("address => { location.hash = address }", f"#/{place}{tail}")
            assert whole(page), (place, tail)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (place, tail)


def test_a_view_opens_by_its_address_alone(pages: Pages, node: NodeProcess) -> None:
    page = pages(node)
    case = open_conflict(page)
    for pattern, sign in [*VIEWS.items()][:: 1 if ALL else 3]:
        page.goto("about:blank")
        page.goto(f"{node.url.replace('ws', 'http', 1)}/#/{pattern.format(conflict=case)}")
        page.locator(f"#view :is({sign})").first.wait_for()
        whole(page)


def test_a_change_of_language_changes_every_word(pages: Pages, node: NodeProcess) -> None:
    """As if the view had been opened in it. Ages stand still meanwhile."""
    page = pages(node)
    case = open_conflict(page)
    page.clock.set_fixed_time(page.evaluate("Date.now() / 1000"))
    for pattern, sign in VIEWS.items() if ALL else part(VIEWS.items(), 2, "language"):
        route, deadline = pattern.format(conflict=case), time.monotonic() + PATIENCE_S
        while found := stale(page, route, sign):  # until all of it came
            assert time.monotonic() < deadline, (route, found)


def stale(page: Page, route: str, sign: str) -> set[str]:
    """What a view says otherwise than one that is drawn in the language from the first; and what stays Portuguese."""
    shown(page, route, sign)
    for language in ("English", "Português"):
        page.get_by_role("radio", name=language).check()
    changed = words(page)
    page.evaluate("location.hash = '#/historico'")
    expect(page.locator(f"#view :is({sign})")).to_have_count(0)
    shown(page, route, sign)
    found = changed ^ words(page)
    page.get_by_role("radio", name="English").check()
    return found | (words(page) & changed & PORTUGUESE)


PORTUGUESE = {
    "Sangria · gaveta-#",
    "Pedido # · Mesa #",
    "Valor",
    "Observação",
    "Situação",
    "Caixa",
    "Cliente",
    "Pendentes",
}


def words(page: Page) -> set[str]:
    return {re.sub(r"[\d.,:]+", "#", line) for line in page.locator("#view").inner_text().split("\n")}


def test_a_filter_in_an_address_is_the_one_in_force(pages: Pages, node: NodeProcess) -> None:
    page = pages(
        node, f"#/auditoria?user=Bruno&type=orders&id=pedido-{FIRST}&from=2020-01-01T00:00&to=2100-01-01T00:00"
    )
    rows = page.locator(".table-audit tbody tr")
    expect(rows).to_have_count(1)
    expect(page.locator("#a-user")).to_have_value("Bruno")
    page.locator("#a-to").fill("2020-01-02T00:00")
    expect(page.get_by_text("Nenhuma entrada com estes filtros")).to_be_visible()
    assert "to=2020-01-02" in page.url
    page.get_by_role("button", name="Limpar filtros").first.click()
    expect(rows.nth(20)).to_be_visible()
    page.locator("#a-user").fill("Rogério")
    page.keyboard.press("Enter")
    expect(rows.first).to_contain_text("caixa-2")
    assert {text.split("\n")[0] for text in page.locator(".table-audit td:nth-child(2)").all_inner_texts()} == {
        "Rogério"
    }
    page.goto("about:blank")
    page.goto(f"{node.url.replace('ws', 'http', 1)}/#/auditoria?from=ontem&to=%00&type=outra")
    expect(page.locator("#a-from")).to_have_value("")
    expect(page.locator("#a-type")).to_have_value("outra")
