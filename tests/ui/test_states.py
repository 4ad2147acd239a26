"""What stands in the place of views or changes them: nothing there yet, no right, no token, no contact, a decision.

Like the views: axe finds nothing, nothing scrolls sideways, at every width, light and dark, in both languages; by
default axe looks at each in one of three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.processes import comanda
from tests.ui.browser import ALL
from tests.ui.people import conflict
from tests.ui.test_shell import second_token
from tests.ui.test_views import WALKED, found_wrong, picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.processes import NodeProcess
    from tests.ui.browser import Pages

ROUTES = ("conflitos", "pedidos", "terminais", "historico/orders/x", "auditoria", "desempenho", "no", "conflitos/x")
MAKES = {"name": "Dona Lourdes", "phone": "1"}
"""A customer before two tills changed its phone."""


@pytest.fixture(scope="module")
def guarded(nodes: Callable[..., NodeProcess]) -> NodeProcess:
    node = nodes("guardado")
    assert comanda("token", "add", "caixa-1", "--type", "pos", "--data", node.data).returncode == 0
    return node


def in_turn(page: Page, place: int, way: tuple[int, str, str]) -> list[str]:
    """What is wrong in a state. place: of the state in its test; axe looks at it in one of the ways, or in `all`."""
    return found_wrong(page, axe=ALL or place % len(WALKED) == WALKED.index(way))


def walked(page: Page, routes: tuple[str, ...], way: tuple[int, str, str]) -> list[str]:
    """What is wrong in the views at these addresses."""
    found = []
    for place, route in enumerate(routes):
        page.evaluate("route => { location.hash = '#/' + route }", route)
        page.locator("#view h1").first.wait_for()
        page.locator("#view [aria-busy=true]").first.wait_for(state="detached")
        found += [f"#/{route}: {one}" for one in in_turn(page, place, way)]
    return found


@pytest.mark.walk(1 if ALL else 3)
@pytest.mark.parametrize(("width", "language", "theme"), WALKED)
def test_nothing_there_yet_and_no_contact(
    nodes: Callable[..., NodeProcess], pages: Pages, width: int, language: str, theme: str
) -> None:
    node = nodes(f"vazio-{width}-{language[:2]}-{theme}")
    page = pages(node, width=width, language=language, theme=theme, name="painel-1")
    way = width, language, theme
    found = walked(page, ROUTES, way)
    node.kill()
    page.locator("#off-title").wait_for()
    picture(page, "sem-contato", width, language, theme)
    assert found + walked(page, (*ROUTES[1:], ROUTES[0]), way) == []  # axe looks at others than before


@pytest.mark.walk(1 if ALL else 3)
@pytest.mark.parametrize(("width", "language", "theme"), WALKED)
def test_no_token_a_wrong_one_and_one_with_few_rights(
    guarded: NodeProcess, pages: Pages, width: int, language: str, theme: str
) -> None:
    page = pages(guarded, width=width, language=language, theme=theme)
    way = width, language, theme
    page.locator(".gate").wait_for()
    found = in_turn(page, 0, way)
    page.locator("#token").fill("cmd_wrong")
    page.keyboard.press("Enter")
    page.locator("#token-error:not([hidden])").wait_for()
    picture(page, "porta", width, language, theme)
    found += in_turn(page, 1, way)
    name = f"painel-{width}-{language[:2]}-{theme}"
    token = second_token(guarded, name, "monitor", "--read", "customers")
    few = pages(guarded, width=width, language=language, theme=theme, name=name, token=token)
    assert found + walked(few, ROUTES[1:], way) == []


@pytest.mark.walk(1 if ALL else 3)
@pytest.mark.parametrize(("width", "language", "theme"), WALKED)
def test_a_decision_while_it_is_made_and_once_it_is(
    nodes: Callable[..., NodeProcess], pages: Pages, width: int, language: str, theme: str
) -> None:
    node = nodes(f"decide-{width}-{language[:2]}-{theme}")
    before = {"type": "withdrawal", "amount": 200, "drawer_id": "gaveta-1"}
    conflict(node, "cashier_operations", "gaveta-1", before=before, first={"amount": 300}, second={"amount": 350})
    conflict(node, "customers", "c-1", before=MAKES, first={"phone": "2"}, second={"phone": "3"})
    page = pages(node, width=width, language=language, theme=theme, name="painel-1", user="Marina")
    way = width, language, theme
    page.locator(".case a").first.click()
    page.locator("#whole-1").click()
    page.locator("#send").click()
    page.locator("#send-missing").wait_for()  # the reason
    picture(page, "falta", width, language, theme)
    found = in_turn(page, 0, way)
    page.locator("#reason").fill("Contei a gaveta")
    page.locator("#send").click()
    page.locator("#done-title").wait_for()
    picture(page, "decidido", width, language, theme)
    found += in_turn(page, 1, way)
    page.evaluate("location.hash = '#/historico/customers/c-1'")
    page.locator("#slider").focus()
    page.keyboard.press("Home")
    page.locator(".op-current").wait_for()
    picture(page, "passado", width, language, theme)
    assert found + in_turn(page, 2, way) == []
