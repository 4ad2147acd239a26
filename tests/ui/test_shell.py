"""What stands around every view: the address, the token, the languages, the parts of the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.processes import NodeProcess, comanda
from tests.ui.browser import WIDTHS, Pages

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

ROUTES = ("pedidos", "terminais", "auditoria", "desempenho", "no", "conflitos")


@pytest.fixture(scope="module")
def node(nodes: Callable[..., NodeProcess]) -> NodeProcess:
    return nodes("central")


def connected(page: Page) -> Page:
    expect(page.locator(".overall .pill-none")).to_have_count(0)
    expect(page.locator(".overall .pill")).to_be_visible()
    return page


@pytest.mark.parametrize("width", WIDTHS)
def test_every_part_is_reached_and_nothing_scrolls_sideways(pages: Pages, node: NodeProcess, width: int) -> None:
    page = connected(pages(node, width=width))
    for route in ROUTES:
        page.evaluate("route => { location.hash = '#/' + route }", route)
        expect(page.locator(f'[aria-current="page"][href="#/{route}"]')).to_have_count(1)
        expect(page.locator("h1")).to_be_focused()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), route


def test_the_language_is_the_browsers_and_can_be_changed(pages: Pages, node: NodeProcess) -> None:
    page = connected(pages(node, language="en-GB"))
    expect(page.get_by_role("link", name="Orders", exact=True)).to_be_visible()
    page.get_by_role("radio", name="Português").check()
    expect(page.get_by_role("link", name="Pedidos", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.lang") == "pt-BR"
    page.reload()
    expect(page.get_by_role("link", name="Pedidos", exact=True)).to_be_visible()


def test_a_token_is_asked_for_once_and_stands_in_no_address(pages: Pages, nodes: Callable[..., NodeProcess]) -> None:
    guarded = nodes("guardado")
    made = comanda("token", "add", "painel-1", "--type", "monitor", "--data", guarded.data)
    token = next(word for word in made.stdout.split() if word.startswith("cmd_"))
    page = pages(guarded)
    page.locator("#token").fill("cmd_wrong")
    page.locator("#token-name").fill("painel-1")
    page.keyboard.press("Enter")
    expect(page.locator("#token-error")).to_contain_text("4003")
    page.locator("#token").fill(token)
    page.keyboard.press("Enter")
    connected(page)
    page.reload()
    connected(page)
    other = connected(pages(guarded, name="painel-2", token=second_token(guarded)))
    assert "token" not in other.url
    assert other.evaluate("history.length") == page.evaluate("history.length"), (
        "the address with the token is in none"
    )
    # An address with a token that is opened where the page stands already.
    third = second_token(guarded, "painel-3")
    other.evaluate("words => { location.hash = words }", f"#token={third}&name=painel-3")
    other.wait_for_url("**/#/conflitos")
    expect(other.locator(".me small")).to_have_text("painel-3")
    connected(other)
    assert other.evaluate("sessionStorage['comanda.token']") == third


def second_token(node: NodeProcess, name: str = "painel-2") -> str:
    made = comanda("token", "add", name, "--type", "monitor", "--data", node.data)
    return next(word for word in made.stdout.split() if word.startswith("cmd_"))


def test_lost_contact_is_said_and_passes(pages: Pages, nodes: Callable[..., NodeProcess]) -> None:
    node = nodes("instavel")
    page = connected(pages(node))
    node.kill()
    expect(page.locator("#off-title")).to_be_visible()
    expect(page.locator("#urgent")).to_contain_text("Sem contato")
    node.start()
    page.evaluate("document.getElementById('off-retry')?.click()")  # it may have come back by itself already
    expect(page.locator("#off-title")).to_have_count(0)
    connected(page)
