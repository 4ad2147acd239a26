"""Head office publishes from its page: what changes is seen before it is sent, and afterwards who has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.e2e.office import STORES, Chain
from tests.e2e.office import Page as Office
from tests.e2e.test_publish import prices, states
from tests.faults.rig import until
from tests.processes import comanda
from tests.ui.axe import violations
from tests.ui.browser import ALL, focused
from tests.ui.test_views import WALKED, picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Locator, Page, Route

    from tests.ui.browser import Pages


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    made = Chain(tmp_path_factory.mktemp("chain"))
    yield made
    made.end()


def choose(page: Page, file: Path) -> None:
    page.locator("#publish-file").set_input_files(file)
    expect(page.locator("#publish-look")).to_be_enabled()


def sites(page: Page, store: str) -> Locator:
    return page.locator(".table-sites tbody tr", has_text=store)


def looked(page: Page) -> None:
    expect(page.locator("#publish-send")).to_be_visible()


def test_a_list_is_looked_at_sent_and_followed_until_every_store_has_it(
    chain: Chain, pages: Pages, tmp_path: Path
) -> None:
    page = pages(chain.office, "#/lojas", user="Marina")
    page.locator("#to-publish").click()
    expect(page.locator("h1")).to_have_text("Publicar nas lojas")
    expect(page.locator(".nav a[aria-current=page]")).to_have_attribute("href", "#/lojas")
    choose(page, prices(tmp_path / "cardapio.csv", 2))
    expect(page.locator("#publish-key")).to_have_value("Código")
    assert [one.input_value() for one in page.locator(".table-columns input").all()] == ["name", "price"]
    page.locator("#publish-look").click()
    expect(page.locator(".head .lead")).to_have_text("Lojas: 2. Cria 4, muda 0. Linhas que ficam de fora: 0.")
    expect(page.locator("h1")).to_have_text("cardapio.csv")
    expect(page.locator(".table-changes tbody tr", has_text="cardapio-1")).to_have_count(2)
    row = page.locator(".table-changes tbody tr", has_text="R$")
    expect(row.first).to_contain_text("novo")
    expect(row.last).to_contain_text("R$\u00a01,90")
    expect(sites(page, "loja-a")).to_contain_text("nada gravado")
    chain.hubs["loja-b"].stop()
    page.locator("#publish-send").click()
    expect(sites(page, "loja-a")).to_contain_text("sincronizado")
    expect(sites(page, "loja-b")).to_contain_text("a loja recebe quando estiver ligada")
    expect(page.locator("#publish-send")).to_have_count(0)
    chain.hubs["loja-b"].start()
    expect(sites(page, "loja-b")).to_contain_text("no disco de hub")
    expect(page.locator(".head .lead")).to_have_text("Lojas que já têm a lista: 2 de 2. Falta gravar em: 0.")
    assert states(chain) == dict.fromkeys(STORES, "delivered")
    audit = Office(chain.office).ask("GET", "audit", params={"newest": 1, "limit": 20})["entries"]
    assert next(one["user_id"] for one in audit if one["operation"] == "publish") == "Marina"
    page.evaluate("location.hash = '#/publicar'")
    expect(page.locator(".table-files tbody tr", has_text="cardapio.csv")).to_contain_text("2 de 2")


def test_some_stores_some_columns_and_what_is_wrong_by_line(chain: Chain, pages: Pages, tmp_path: Path) -> None:
    file = prices(tmp_path / "erros.csv", 6)
    file.write_text(f"{file.read_text('cp1252')}\r\nerros-0;Outra vez;1,00\r\nerros-7;Prato;3,0x", encoding="cp1252")
    page = pages(chain.office, "#/publicar")
    choose(page, file)
    page.get_by_label("Campo da coluna Produto").fill("")
    page.get_by_label("Algumas").check()
    expect(page.locator("#publish-look")).to_be_disabled()
    page.get_by_label("loja-b").check()
    page.locator("#publish-look").click()
    expect(page.locator(".head .lead")).to_have_text("Lojas: 1. Cria 6, muda 0. Linhas que ficam de fora: 2.")
    expect(page.locator(".table-refusals tbody tr").nth(0)).to_contain_text("8")
    expect(page.locator(".table-refusals tbody tr").nth(1)).to_contain_text("Preço")
    expect(page.locator(".table-refusals tbody tr").nth(1)).to_contain_text("3,0x")
    expect(page.locator(".table-changes")).not_to_contain_text("Prato")
    expect(page.locator(".table-sites tbody tr")).to_have_count(1)


def test_what_an_earlier_time_left_is_gone_on_with(chain: Chain, pages: Pages, tmp_path: Path) -> None:
    """As after head office was killed: what was only in its memory is gone, and the record is there."""
    office = Office(chain.office)
    name = office.look(prices(tmp_path / "depois.csv", 400))["publication"]
    office.ask("POST", "publish/send", json={"publication": name})
    office.ask("POST", "publish/stop")
    office.over(name)
    chain.office.stop()
    chain.office.start()
    page = pages(chain.office, "#/publicar")
    page.get_by_role("link", name="depois.csv").click()
    expect(page.locator("#publish-send")).to_contain_text("Enviar o que falta")
    page.locator("#publish-send").click()
    for store in STORES:
        expect(sites(page, store)).to_contain_text("no disco de hub")
    expect(page.locator("#publish-send")).to_have_count(0)


def test_what_cannot_be_read_is_said_where_it_was_chosen(chain: Chain, pages: Pages, tmp_path: Path) -> None:
    page = pages(chain.office, "#/publicar")
    wrong = tmp_path / "torto.csv"
    wrong.write_text("Código;Preço;Preço\r\n1;2;3", encoding="cp1252")
    page.locator("#publish-file").set_input_files(wrong)
    expect(page.locator(".publish .error")).to_contain_text("Preço")
    long = tmp_path / "longo.csv"
    long.write_bytes(b"a;b\r\n" + b"1;2\r\n" * 900_000)
    page.locator("#publish-file").set_input_files(long)
    expect(page.locator(".publish .error")).to_contain_text("grande demais")
    choose(page, prices(tmp_path / "bom.csv", 1))
    expect(page.locator(".publish .error")).to_have_count(0)
    page.get_by_label("Campo da coluna Produto").fill("price")
    page.locator("#publish-look").click()
    expect(page.locator(".publish .error")).to_contain_text("price")
    expect(page.locator(".publish .error")).to_be_focused()
    page.evaluate("location.hash = '#/publicar/nada'")
    expect(page.locator("#view")).to_contain_text("Esta publicação não está mais aqui")


@pytest.mark.walk(1 if ALL else 3)
@pytest.mark.parametrize(("width", "language", "theme"), WALKED)
def test_everybody_can_use_it(
    chain: Chain, pages: Pages, tmp_path: Path, width: int, language: str, theme: str
) -> None:
    page = pages(chain.office, "#/publicar", width=width, language=language, theme=theme)
    page.locator("#publish-file").wait_for()
    file = prices(tmp_path / "todos.csv", 3)
    file.write_text(f"{file.read_text('cp1252')}\r\n;Sem código;1,00", encoding="cp1252")
    choose(page, file)
    page.locator(".targets label").nth(1).click()
    page.locator(".picks input").nth(0).check()
    for name in ("publicar", "publicacao"):
        picture(page, name, width, language, theme)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        if name == "publicar":
            page.locator("#publish-look").click()
            looked(page)


def test_what_a_store_has_changed_since_is_sent_again_and_half_a_look_is_not(
    chain: Chain, pages: Pages, tmp_path: Path
) -> None:
    office, file = Office(chain.office), prices(tmp_path / "volta.csv", 1)
    name = office.send(office.look(file)["publication"])["publication"]
    until(lambda: states(chain) == dict.fromkeys(STORES, "delivered"))
    other = tmp_path / "mudou.csv"
    other.write_text("Código;Produto;Preço\r\nvolta-0;Prato 0;7,00", encoding="cp1252")
    office.send(office.look(other, sites=["loja-a"])["publication"])
    assert office.look(file)["publication"] == name
    page = pages(chain.office, f"#/publicar/{name}")
    expect(page.locator(".table-changes tbody tr")).to_have_count(1)
    expect(page.locator(".table-changes tbody tr")).to_contain_text("R$\u00a07,00")
    expect(page.locator("#publish-send")).to_be_visible()

    def cut(route: Route) -> None:
        answer = route.fetch()
        said = answer.json()
        route.fulfill(response=answer, json={**said, "work": {**said["work"], "stores": 1}})

    page.route(f"**/api/v1/publications/{name}", cut)
    expect(page.locator("#publish-send")).to_have_count(0)
    expect(page.locator("#view")).to_contain_text("Parou antes de olhar todas as lojas")
    page.unroute_all()
    expect(page.locator("#publish-send")).to_be_visible()


def test_by_keyboard_alone(chain: Chain, pages: Pages, tmp_path: Path) -> None:
    page = pages(chain.office, "#/publicar")
    choose(page, prices(tmp_path / "teclas.csv", 1))
    page.locator("#publish-key").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if focused(page)["id"] == "publish-look":
            break
    page.keyboard.press("Enter")
    looked(page)
    expect(page.locator("#publish-send")).to_be_focused()
    page.keyboard.press("Enter")
    for store in STORES:
        expect(sites(page, store)).to_contain_text("no disco de hub")


def test_whoever_may_not_publish_is_told_so(chain: Chain, pages: Pages) -> None:
    """Last: from now on head office asks for tokens."""
    made = comanda("token", "add", "painel", "--type", "monitor", "--data", chain.office.data)
    token = next(word for word in made.stdout.split() if word.startswith("cmd_"))
    page = pages(chain.office, "#/publicar", token=token, name="painel")
    expect(page.locator("#publish-what")).to_contain_text("operate publish")
    expect(page.locator("#publish-file")).to_be_disabled()
