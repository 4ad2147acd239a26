"""What goes on is seen at the page as it happens, and what happened, with its way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.people import Terminal, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page

    from tests.processes import NodeProcess
    from tests.ui.browser import Pages

MANY = 200
"""Orders in one column: several times what the screen holds."""


@pytest.fixture(scope="module")
def node(nodes: Callable[..., NodeProcess]) -> NodeProcess:
    return nodes("central")


def order(number: int, **more: object) -> dict[str, object]:
    items = [{"id": "i1", "name": "Couvert", "quantity": 4, "price": 16}]
    return {
        "number": str(number),
        "table": f"Mesa {number}",
        "status": "pending",
        "items": items,
        "total": 64,
        **more,
    }


def column(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name)


def operation(page: Page, number: int) -> Locator:
    """A row of the time line, the latest first."""
    return page.locator(".line > .op").nth(number)


# ---------------------------------------------------------------------- orders


def test_an_order_arrives_with_its_lines_and_total(pages: Pages, node: NodeProcess) -> None:
    page = pages(node, "#/pedidos")
    with Terminal(node, "garcom-1", "Tiago", "waiter") as tiago:
        tiago.write("orders", "p-3", order(3, customer="Família Teixeira"), "CREATE")
        card = column(page, "Pendentes").get_by_role("link", name="Mesa 3")
        expect(card).to_contain_text("4Couvert")
        expect(card).to_contain_text("R$ 64,00")
        tiago.write("orders", "p-3", {"status": "preparing"})
    expect(column(page, "Preparando").get_by_role("link", name="Família Teixeira")).to_be_visible()
    expect(column(page, "Pendentes").get_by_role("link")).to_have_count(0)


def test_nothing_moves_under_the_focus(pages: Pages, nodes: Callable[..., NodeProcess]) -> None:
    node = nodes("salao")
    with Terminal(node, "garcom-1", "Tiago", "waiter") as tiago:
        for number in (5, 6):
            tiago.write("orders", f"p-{number}", order(number), "CREATE")
        page = pages(node, "#/pedidos")
        pending = column(page, "Pendentes")
        pending.get_by_role("link", name="Mesa 5").focus()
        tiago.write("orders", "p-7", order(7), "CREATE")
        new = pending.get_by_role("button", name="1 novo")
        expect(new).to_be_visible()
        expect(pending.get_by_role("link")).to_have_count(2)
        tiago.write("orders", "p-5", {"status": "ready"})  # the one that has the focus leaves
        expect(pending.get_by_role("link", name="Mesa 6")).to_be_focused()
        expect(page.locator("#polite")).to_have_text("Mesa 5: Pronto")
        new.click()
        expect(pending.get_by_role("link", name="Mesa 7")).to_be_visible()
        expect(new).to_have_count(0)


def test_who_edits_an_order_is_told_until_when(pages: Pages, node: NodeProcess) -> None:
    with Terminal(node, "garcom-2", "Bruno", "waiter") as bruno:
        bruno.write("orders", "p-12", order(12), "CREATE")
        page = pages(node, "#/pedidos")
        card = page.get_by_role("link", name="Mesa 12")
        expect(card).to_be_visible()
        bruno.say("acquire_lock", entity_type="orders", entity_id="p-12", timeout=600_000, lock_id="l-1")
        bruno.hear("lock_acquired")
        expect(card).to_contain_text("Bruno está editando em garcom-2, até")
        card.click()
        expect(page.locator(".paper .lock")).to_contain_text("garcom-2")
        bruno.say("release_lock", lock_id="l-1")
        expect(page.locator(".lock")).to_have_count(0)


def test_a_long_evening_is_searched_whole_and_shown_in_part(pages: Pages, nodes: Callable[..., NodeProcess]) -> None:
    node = nodes("cheio")
    with Terminal(node, "caixa-1", "Ana") as ana:
        for number in range(MANY):
            said = {"entity_type": "orders", "entity_id": f"p-{number}", "operation": "CREATE", "data": order(number)}
            ana.say("data_sync", operation={"id": f"many-{number}", **said})
        ana.hear("sync_confirmation", operation_id=f"many-{MANY - 1}")
    page = pages(node, "#/pedidos")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{MANY} pedidos abertos")
    pending = column(page, "Pendentes")
    assert pending.get_by_role("link").count() < MANY / 2
    pending.get_by_role("link").first.focus()
    page.keyboard.press("End")
    expect(pending.get_by_role("link", name="Mesa 0")).to_be_in_viewport()
    page.get_by_role("searchbox").fill("mésa 111")
    expect(pending.get_by_role("link")).to_have_count(1)
    page.get_by_role("searchbox").fill("nenhuma")
    page.get_by_role("button", name="Limpar busca").click()
    expect(page.get_by_role("searchbox")).to_be_focused()


# ---------------------------------------------------------------------- history


def test_a_discarded_item_comes_back_from_an_orders_history(pages: Pages, node: NodeProcess) -> None:
    pudding = {"id": "i2", "name": "Pudim de leite", "quantity": 2, "price": 19}
    whole = order(20)
    with Terminal(node, "garcom-2", "Bruno", "waiter") as bruno:
        bruno.write("orders", "p-20", {**whole, "items": [*whole["items"], pudding]}, "CREATE")  # type: ignore[misc]
        bruno.write("orders", "p-20", {"items": whole["items"]})
    page = pages(node, "#/pedidos/p-20", user="Marina")
    page.get_by_role("link", name="Histórico completo").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Pedido 20 · Mesa 20 histórico")
    lost = page.locator(".discarded").filter(has_text="2× Pudim de leite")
    expect(lost).to_contain_text("Bruno tirou da lista")
    lost.get_by_role("button", name="Trazer de volta").click()
    expect(lost).to_contain_text("Trazer de volta Itens 2× Pudim de leite, de Bruno?")
    expect(lost.get_by_role("button", name="Trazer de volta")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#polite")).to_contain_text("Pudim de leite")
    expect(operation(page, 0)).to_contain_text("Marina")
    expect(operation(page, 0)).to_contain_text("2× Pudim de leite")
    expect(page.locator(".paper")).to_contain_text("Pudim de leite")
    assert pudding in shown(node, "orders", "p-20")["items"]


def test_who_changed_a_price_and_what_it_was_then(pages: Pages, node: NodeProcess) -> None:
    with Terminal(node, "caixa-1", "Ana") as ana, Terminal(node, "caixa-2", "Rogério") as rogerio:
        ana.write("products", "chopp", {"name": "Chopp 300 ml", "price": 11.5}, "CREATE")
        rogerio.write("products", "chopp", {"price": 12.9})
    page = pages(node, "#/historico/products/chopp")
    expect(page.get_by_role("heading", level=1)).to_have_text("Chopp 300 ml histórico")
    expect(operation(page, 0)).to_contain_text("Rogério caixa-2")
    expect(operation(page, 0)).to_contain_text("Preço: R$ 11,50 → R$ 12,90")
    slider, paper = page.get_by_role("slider"), page.locator(".paper")
    slider.focus()
    page.keyboard.press("Home")
    expect(paper).to_contain_text("R$ 11,50")
    expect(page.locator(".op-current")).to_contain_text("Ana")
    page.keyboard.press("ArrowRight")
    expect(paper.locator(".touched")).to_contain_text("R$ 12,90")
    page.keyboard.press("ArrowLeft")
    paper.get_by_role("button", name="Trazer de volta").click()
    page.keyboard.press("Enter")
    expect(operation(page, 0)).to_contain_text("Preço: R$ 12,90 → R$ 11,50")
    expect(paper.locator(".undone")).to_be_focused()
    assert shown(node, "products", "chopp")["price"] == 11.5


def test_undo_says_what_was_written_since(pages: Pages, node: NodeProcess) -> None:
    with Terminal(node, "caixa-1", "Ana") as ana, Terminal(node, "garcom-2", "Bruno", "waiter") as bruno:
        ana.write("orders", "p-30", order(30), "CREATE")
        ana.write("orders", "p-30", {"total": 70}, version=2)
        bruno.write("orders", "p-30", {"total": 80}, version=2)
        page = pages(node, "#/historico/orders/p-30", user="Marina")
        lost = page.locator(".discarded").filter(has_text="R$ 70,00")
        lost.get_by_role("button", name="Trazer de volta").click()
        expect(lost.get_by_role("group")).to_be_visible()
        bruno.write("orders", "p-30", {"total": 90})
        expect(operation(page, 0)).to_contain_text("R$ 90,00")
        lost.get_by_role("button", name="Trazer de volta").click()
        expect(lost.get_by_role("alert")).to_contain_text("agora vale R$ 90,00")
        assert shown(node, "orders", "p-30")["total"] == 90
        expect(lost).to_contain_text("agora vale R$ 90,00, e voltaria a valer R$ 70,00")
        lost.get_by_role("button", name="Trazer de volta").click()
        expect(operation(page, 0)).to_contain_text("Marina")
    assert shown(node, "orders", "p-30")["total"] == 70


def test_without_the_right_to_write_nothing_comes_back_and_the_button_says_why(
    pages: Pages, nodes: Callable[..., NodeProcess]
) -> None:
    node = nodes("so-ver", config='[terminals]\nmonitor = {write = ["products"], read = ["*", "audit", "metrics"]}\n')
    with Terminal(node, "caixa-1", "Ana") as ana:
        ana.write("orders", "p-1", order(1), "CREATE")
        ana.write("orders", "p-1", {"items": []})
    page = pages(node, "#/historico/orders/p-1")
    button = page.locator(".discarded").get_by_role("button", name="Trazer de volta")
    expect(button).to_be_disabled()
    expect(button).to_have_attribute("title", "Este painel não tem o direito de decidir.")


# ---------------------------------------------------------------------- terminals and links


def test_a_link_goes_down_and_comes_back(pages: Pages, nodes: Callable[..., NodeProcess], node: NodeProcess) -> None:
    bar = nodes("no-bar", "--upstream", node.url)
    page = pages(node, "#/terminais")
    row = page.locator("[data-node=no-bar]")
    with Terminal(bar, "bar-1", "Caio", "kds"):
        expect(row).to_contain_text("sincronizado")
        expect(page.locator("[data-terminal=bar-1]")).to_contain_text("no-bar")
        bar.kill()
    expect(row).to_contain_text("ausente desde")
    expect(page.get_by_text("no-bar ausente")).to_be_visible()
    with Terminal(node, "caixa-1", "Ana") as ana:
        ana.write("orders", "p-40", order(40), "CREATE")
    expect(row).to_contain_text("na fila (1)")
    bar.start()
    expect(row).to_contain_text("sincronizado")
    expect(page.get_by_text("no-bar ausente")).to_have_count(0)
    assert shown(bar, "orders", "p-40")["total"] == 64
