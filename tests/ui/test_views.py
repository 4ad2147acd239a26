"""Every view at three widths, light and dark, in both languages: axe finds nothing, and nothing scrolls sideways.

COMANDA_VIEWS=all walks all twelve pages and not three; COMANDA_SCREENSHOTS=FOLDER keeps a picture of each view.
"""

from __future__ import annotations

import os
import re
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.faults.rig import until
from tests.ui.axe import violations
from tests.ui.browser import ALL, WIDTHS
from tests.ui.evening import FIRST, play
from tests.ui.people import Terminal, asked

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.processes import NodeProcess
    from tests.ui.browser import Pages

EVERY = [*product(WIDTHS, ("pt-BR", "en-GB"), ("light", "dark"))]
FEW = [(390, "pt-BR", "dark"), (800, "en-GB", "light"), (1280, "pt-BR", "light")]
WALKED = EVERY if ALL else FEW
PICTURES = os.environ.get("COMANDA_SCREENSHOTS")

VIEWS = {
    "conflitos": ".case",
    "conflitos/{conflict}": ".compare",
    "pedidos": ".card",
    f"pedidos/pedido-{FIRST + 3}": ".paper",
    "terminais": ".table-terminals",
    f"historico/orders/pedido-{FIRST + 3}": ".line",
    "auditoria": ".table-audit",
    "auditoria?refused=1": ".table-audit .outcome-refused",
    "desempenho": ".metrics, .empty",
    "no": ".checks",
}
"""The route of each view, and what is in it once it is there."""


@pytest.fixture(scope="module")
def restaurant(nodes: Callable[..., NodeProcess]) -> NodeProcess:
    """With a node that is linked, and one that went, for which one order waits."""
    node = nodes("central")
    nodes("no-bar", "--upstream", node.url)
    gone = nodes("no-entrega", "--upstream", node.url)
    play(node)

    def lags() -> set[tuple[str, object]]:
        report = asked(node, "/api/v1/links")
        return {(one["peer"], one["lag"]) for one in [*report["links"], *report["away"]]}

    until(lambda: lags() == {("no-bar", 0), ("no-entrega", 0)}, "both have all")
    gone.kill()
    with Terminal(node, "garcom-2", "Bruno", "waiter") as bruno:
        bruno.write("orders", f"pedido-{FIRST + 8}", {"note": "Para viagem"})
    until(lambda: lags() == {("no-bar", 0), ("no-entrega", 1)}, "one waits")
    return node


def shown(page: Page, route: str, sign: str) -> None:
    """Go to a view, and wait until it is whole."""
    page.evaluate("route => { location.hash = route }", f"#/{route}")
    page.locator(f"#view :is({sign})").first.wait_for()
    page.locator(".overall .pill-synced, .overall .pill-queue").first.wait_for()
    page.locator("#view [aria-busy=true]").first.wait_for(state="detached")


def open_conflict(page: Page) -> str:
    """The id of the first conflict in the inbox."""
    page.locator(".case a").first.wait_for()
    address = page.locator(".case a").first.get_attribute("href") or ""
    return address.rpartition("/")[2]


def found_wrong(page: Page, *, axe: bool = True) -> list[str]:
    """axe: whether it looks too, which costs a second."""
    found = violations(page) if axe else []
    if (over := page.evaluate("document.documentElement.scrollWidth - innerWidth")) > 0:
        found.append(f"scrolls sideways by {over} px")
    return found


def picture(page: Page, name: str, width: int, language: str, theme: str) -> None:
    """Keep what a view looks like, if somebody wants pictures."""
    if PICTURES:
        path = Path(PICTURES) / f"{name}-{width}-{language[:2]}-{theme}.png"
        page.screenshot(path=path, full_page=width > 390)


@pytest.mark.walk(1 if ALL else 3)
@pytest.mark.parametrize(("width", "language", "theme"), WALKED)
def test_every_view_can_be_used_by_everybody(
    restaurant: NodeProcess, pages: Pages, width: int, language: str, theme: str
) -> None:
    page = pages(restaurant, width=width, language=language, theme=theme, user="Marina", name=f"painel-{width}")
    conflict = open_conflict(page)
    found: list[str] = []
    for pattern, sign in VIEWS.items():
        route = pattern.format(conflict=conflict)
        shown(page, route, sign)
        picture(page, route.replace(conflict, "um").replace("/", "-").replace("?", "-"), width, language, theme)
        found += [f"#/{route}: {one}" for one in found_wrong(page)]
        if raw := re.findall(r"\d{4}-\d\d-\d\dT\S*", page.locator("#view").inner_text()):
            found.append(f"#/{route}: a time as programs write it: {raw}")
        if route == "terminais" and page.locator(".table-links tbody tr").count() != 2:
            found.append(f"#/{route}: has not both links")
        if page.locator("h1").count() != 1:
            found.append(f"#/{route}: has not one heading")
        if str(FIRST + 3) in route and str(FIRST + 3) not in page.locator("h1").inner_text():
            found.append(f"#/{route}: does not say which order it is")
    assert found == []


TYPED = "#view :is(input[type=text], input[type=search], textarea)"

DRAWN_AGAIN = """async () => {
    const { prefs } = await import("/ui/words.js");
    for (const lang of ["en", "pt"]) {
        prefs.set("lang", lang);
        await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    }
}"""
"""Everything is drawn in another language, and in the person's again."""


def test_what_one_types_stays_while_the_page_is_drawn_again(restaurant: NodeProcess, pages: Pages) -> None:
    """What happens in the restaurant meanwhile takes away nothing, in whichever field of whichever view."""
    page = pages(restaurant, user="Marina")
    conflict, typed, lost = open_conflict(page), set(), []
    for pattern, sign in VIEWS.items():
        shown(page, pattern.format(conflict=conflict), sign)
        for number in range(page.locator(TYPED).count()):
            field = page.locator(TYPED).nth(number)
            field.focus()
            page.keyboard.type("su")
            page.evaluate(DRAWN_AGAIN)
            page.keyboard.type("co")
            if field.input_value() != "suco":
                lost.append(f"#/{pattern}: {field.get_attribute('id')} has {field.input_value()!r}")
            typed.add(field.get_attribute("id"))
            field.fill("")
    assert lost == []
    assert {"find", "a-id", "a-user", "reason"} <= typed


def test_a_terminal_names_the_most_urgent_of_its_conflicts_as_people_call_it(
    restaurant: NodeProcess, pages: Pages
) -> None:
    page = pages(restaurant, "#/terminais")
    for place in (".table-terminals [data-terminal=caixa-1] .state", ".atts li:has-text('caixa-1')"):
        expect(page.locator(place)).to_contain_text("Sangria · gaveta-1 espera uma decisão")


def test_the_audit_calls_everything_by_its_name(restaurant: NodeProcess, pages: Pages) -> None:
    page = pages(restaurant, "#/auditoria?id=prod-3&type=products")
    expect(page.locator(".table-audit tbody a[href*=prod-3]")).to_have_text(["Chopp 300 ml"] * 2)
    shown(page, f"auditoria?terminal=caixa-1&type=orders&id=pedido-{FIRST + 3}", ".table-audit")
    expect(page.locator(".table-audit tbody a[href*=pedido]")).to_have_text(f"Pedido {FIRST + 3} · Mesa 2")
    shown(page, "auditoria?refused=1", ".outcome-refused")
    refused = page.locator(".table-audit tbody tr")
    expect(refused).to_contain_text("Estava congelada, à espera de uma decisão (4010).")
    expect(refused.get_by_role("link", name="Decidir")).to_be_visible()
