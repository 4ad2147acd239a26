"""Head office's page: its stores, how each is, and the page of one of them, which has tokens of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.e2e.office import STORES, Chain, said, write
from tests.processes import comanda
from tests.ui.axe import violations
from tests.ui.browser import ALL
from tests.ui.test_views import WALKED, picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator, Page

    from tests.ui.browser import Pages


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Two stores in which the same table ordered, and one that was never linked."""
    made = Chain(tmp_path_factory.mktemp("chain"))
    for realm, (dish, total) in STORES.items():
        items = [{"id": "1", "name": dish, "quantity": 1, "price": total}]
        write(made.hubs[realm], "mesa-12", {"table": "12", "status": "open", "items": items, "total": total})
    said("realm", "add", "loja-c", "--data", made.office.data)
    yield made
    made.end()


def row(page: Page, store: str) -> Locator:
    return page.locator(".table-stores tbody tr", has_text=store)


def token(chain: Chain, store: str) -> str:
    folder = chain.office.data / "realms" / store
    made = comanda("token", "add", "gerente", "--type", "monitor", "--data", folder)
    return next(word for word in made.stdout.split() if word.startswith("cmd_"))


def test_the_stores_of_head_office_and_how_each_is(chain: Chain, pages: Pages) -> None:
    page = pages(chain.office, "")
    expect(page.locator("h1")).to_have_text("Lojas")
    expect(page.locator(".nav a[href='#/lojas']")).to_be_visible()
    expect(row(page, "loja-a")).to_contain_text("sincronizado")
    expect(row(page, "loja-c")).to_contain_text("ainda não ligada")
    expect(page.locator(".lead")).to_have_text("3 lojas: 1 sem contato, 0 conflitos em aberto.")
    assert (
        row(page, "loja-a").locator("td").first.inner_text() == row(page, "loja-b").locator("td").first.inner_text()
    )
    assert row(page, "loja-c").locator("td").first.inner_text() == "—"
    chain.hubs["loja-b"].stop()
    expect(row(page, "loja-b")).to_contain_text("vista por último")
    expect(row(page, "loja-b")).not_to_contain_text("sincronizado")
    chain.hubs["loja-b"].start()
    expect(row(page, "loja-b")).to_contain_text("sincronizado")


def test_a_stores_page_is_its_own_with_its_own_token_and_leads_back(chain: Chain, pages: Pages) -> None:
    page = pages(chain.office, "#/lojas")
    row(page, "loja-a").get_by_role("link").click()
    expect(page.locator(".gate")).to_contain_text("A loja loja-a tem tokens próprios.")
    page.locator("#token").fill(token(chain, "loja-a"))
    page.locator("#token-name").fill("gerente")
    page.locator(".gate button").click()
    expect(page.locator(".of-store")).to_contain_text("Loja loja-a, como office a guarda.")
    page.evaluate("location.hash = '#/pedidos/mesa-12'")
    expect(page.locator("#view")).to_contain_text("feijoada")
    expect(page.locator("#view")).not_to_contain_text("pizza")
    page.reload()
    expect(page.locator("#view")).to_contain_text("feijoada")
    page.get_by_role("link", name="Todas as lojas").click()
    expect(page.locator("h1")).to_have_text("Lojas")
    assert page.evaluate("sessionStorage['comanda.token'] || ''") == "", "head office is not who the store's tab was"
    row(page, "loja-b").get_by_role("link").click()
    expect(page.locator(".gate")).to_contain_text("loja-b")
    page.get_by_role("link", name="Todas as lojas").click()
    row(page, "loja-a").get_by_role("link").click()
    expect(page.locator(".of-store")).to_contain_text("loja-a")
    assert "cmd_" not in page.url


def test_a_code_for_a_store_opens_that_stores_page(chain: Chain, pages: Pages) -> None:
    words = ("--site", "loja-a", "--type", "monitor", "--id", "painel-9", "--data", chain.office.data)
    told = json.loads(said("pair", *words, "--json"))
    page = pages(chain.office)
    page.goto(told["page"])
    expect(page.locator(".of-store")).to_contain_text("loja-a")
    expect(page.locator(".me small")).to_have_text("painel-9")
    expect(page.locator(".overall .pill-none")).to_have_count(0)
    page.evaluate("location.hash = '#/pedidos/mesa-12'")
    expect(page.locator("#view")).to_contain_text("feijoada")


@pytest.mark.walk(1 if ALL else 3)
@pytest.mark.parametrize(("width", "language", "theme"), WALKED)
def test_everybody_can_use_it(chain: Chain, pages: Pages, width: int, language: str, theme: str) -> None:
    page = pages(chain.office, "#/lojas", width=width, language=language, theme=theme)
    row(page, "loja-c").wait_for()
    page.locator(".nav a[href='#/lojas']").wait_for()
    picture(page, "lojas", width, language, theme)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_node_that_keeps_no_stores_has_no_such_part(chain: Chain, pages: Pages) -> None:
    page = pages(chain.hubs["loja-a"], "")
    expect(page.locator(".bar .store")).to_have_text("hub")
    expect(page.locator("h1")).not_to_have_text("Lojas")
    assert page.locator(".nav a[href='#/lojas']").count() == 0
