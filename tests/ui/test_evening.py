"""What goes on is seen at the page as it happens, and what happened, with its way back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.ui.browser import tab_to
from tests.ui.people import Terminal, asked, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page, Route

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


def test_a_deleted_record_comes_back_from_its_history(pages: Pages, node: NodeProcess) -> None:
    helena = {"name": "Helena Vasconcelos", "phone": "(11) 95555-0110", "note": "Camarão"}
    with Terminal(node, "caixa-1", "Ana") as ana:
        ana.write("customers", "cliente-60", helena, "CREATE")
        ana.write("customers", "cliente-60", None, "DELETE")  # whoever has not seen it leaves a conflict instead
        page = pages(node, "#/historico/customers/cliente-60", user="Marina")
        expect(page.get_by_role("heading", level=1)).to_have_text("Helena Vasconcelos histórico")
        deletion = page.locator(".discarded").filter(has_text="Cadastro inteiro")
        deletion.get_by_role("button", name="Trazer de volta").click()
        page.keyboard.press("Enter")
        expect(operation(page, 0)).to_contain_text("Marina")
        expect(page.locator(".paper")).to_contain_text("(11) 95555-0110")
        assert asked(node, "/api/v1/entities/customers/cliente-60")["deleted"] is False
        assert helena.items() <= shown(node, "customers", "cliente-60").items()


def asked_of_70(pages: Pages, node: NodeProcess, ana: Terminal, bruno: Terminal, number: int) -> tuple[Page, Locator]:
    """The history of an order in which Ana's total of 70 lost, where Marina is asked whether it shall come back."""
    ana.write("orders", f"p-{number}", order(number), "CREATE")
    ana.write("orders", f"p-{number}", {"total": 70}, version=2)
    bruno.write("orders", f"p-{number}", {"total": 80}, version=2)
    page = pages(node, f"#/historico/orders/p-{number}", user="Marina")
    lost = page.locator(".discarded").filter(has_text="R$ 70,00")
    lost.get_by_role("button", name="Trazer de volta").click()
    expect(lost.get_by_role("group")).to_be_visible()
    return page, lost


def test_undo_says_what_was_written_since(pages: Pages, node: NodeProcess) -> None:
    with Terminal(node, "caixa-1", "Ana") as ana, Terminal(node, "garcom-2", "Bruno", "waiter") as bruno:
        page, lost = asked_of_70(pages, node, ana, bruno, 30)
        bruno.write("orders", "p-30", {"total": 90})
        expect(operation(page, 0)).to_contain_text("R$ 90,00")
        lost.get_by_role("button", name="Trazer de volta").click()
        expect(lost.get_by_role("alert")).to_contain_text("agora vale R$ 90,00")
        assert shown(node, "orders", "p-30")["total"] == 90
        expect(lost).to_contain_text("agora vale R$ 90,00, e voltaria a valer R$ 70,00")
        lost.get_by_role("button", name="Trazer de volta").click()
        expect(operation(page, 0)).to_contain_text("Marina")
    assert shown(node, "orders", "p-30")["total"] == 70


def test_what_the_node_said_last_counts_though_the_page_has_read_nothing_new(pages: Pages, node: NodeProcess) -> None:
    with Terminal(node, "caixa-1", "Ana") as ana, Terminal(node, "garcom-2", "Bruno", "waiter") as bruno:
        page, lost = asked_of_70(pages, node, ana, bruno, 31)
        page.route(lambda url: "/api/v1/entities/" in url or "/api/v1/history/" in url, lambda route: None)
        bruno.write("orders", "p-31", {"total": 90})
        lost.get_by_role("button", name="Trazer de volta").click()
        expect(lost.get_by_role("alert")).to_contain_text("agora vale R$ 90,00")
        lost.get_by_role("button", name="Trazer de volta").click()
        expect(lost.locator(".undone")).to_be_visible()
    assert shown(node, "orders", "p-31")["total"] == 70


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


NAVIGATION = "a[href='#/{}']:not(.brand):not(.overall)"
"""The link to a part of the page, which stands in every view."""


def enter(page: Page, wanted: str) -> None:
    """Go to an element by Tab, and press it."""
    tab_to(page, wanted)
    page.keyboard.press("Enter")


def test_by_keyboard_alone_an_item_comes_back_and_a_price_is_looked_up(pages: Pages, node: NodeProcess) -> None:
    with Terminal(node, "caixa-1", "Ana") as ana:
        whole = order(50)
        ana.write("orders", "p-50", whole, "CREATE")
        ana.write("orders", "p-50", {"items": []})
        ana.write("products", "suco", {"name": "Suco de caju", "price": 9}, "CREATE")
        ana.write("products", "suco", {"price": 11})
    page = pages(node, user="Marina")
    enter(page, "a[href='#/pedidos']")
    tab_to(page, "#find")
    page.keyboard.type("mesa 50")
    enter(page, "#order-p-50")
    expect(page.get_by_role("heading", level=1)).to_have_text("Mesa 50 pedido 50")
    enter(page, "a[href='#/historico/orders/p-50']")
    expect(page.locator(".discarded")).to_contain_text("4× Couvert")
    enter(page, ".discarded .undo-ask")
    expect(page.get_by_role("button", name="Trazer de volta", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".undone")).to_be_visible()
    assert shown(node, "orders", "p-50")["items"] == whole["items"]
    enter(page, "a[href='#/auditoria']")
    tab_to(page, "#a-id")
    page.keyboard.type("suco")
    page.keyboard.press("Tab")
    rows = page.locator(".table-audit tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("Ana")
    expect(rows.first).to_contain_text("R$ 9,00 → R$ 11,00")
    enter(page, ".table-audit a[href*=suco]")
    expect(page.get_by_role("heading", level=1)).to_have_text("Suco de caju histórico")
    tab_to(page, "#slider")
    page.keyboard.press("Home")
    expect(page.locator(".paper")).to_contain_text("R$ 9,00")
    for part in ("terminais", "desempenho", "no", "conflitos"):
        enter(page, NAVIGATION.format(part))
        expect(page.get_by_role("heading", level=1)).to_be_focused()


# ---------------------------------------------------------------------- terminals and links


def test_by_keyboard_alone_a_link_is_seen_to_go_down_and_come_back(
    pages: Pages, nodes: Callable[..., NodeProcess], node: NodeProcess
) -> None:
    bar = nodes("no-bar", "--upstream", node.url)
    page = pages(node)
    enter(page, NAVIGATION.format("terminais"))
    row = page.locator("[data-node=no-bar]")
    with Terminal(bar, "bar-1", "Caio", "kds"):
        expect(row).to_contain_text("sincronizado")
        expect(page.locator("[data-terminal=bar-1]")).to_contain_text("no-bar")
        bar.kill()
    expect(row).to_contain_text("ausente desde")
    expect(page.get_by_text("no-bar ausente")).to_be_visible()
    with Terminal(node, "caixa-1", "Ana") as ana:
        ana.write("orders", "p-40", order(40), "CREATE")
        ana.write("orders", "p-40", {"total": 70})
    expect(row).to_contain_text("na fila (2)")
    enter(page, NAVIGATION.format("pedidos"))
    late, others = page.get_by_role("link", name="Mesa 40"), page.locator(".card").filter(has_not_text="Mesa 40")
    expect(late.locator(".pill")).to_have_text("na fila (2)")
    expect(others.locator(".pill")).to_have_count(0)  # what everybody has is silent
    enter(page, "#order-p-40")
    head = page.locator(".head-side .pill")
    expect(head).to_have_text("na fila (2)")
    bar.start()
    expect(head).to_have_text("sincronizado")
    enter(page, NAVIGATION.format("terminais"))
    expect(row).to_contain_text("sincronizado")
    expect(page.get_by_text("no-bar ausente")).to_have_count(0)
    assert shown(bar, "orders", "p-40")["total"] == 70


# ---------------------------------------------------------------------- the node


def test_a_backup_and_an_archive_are_made_at_the_page_and_the_history_is_read_from_there(
    pages: Pages, nodes: Callable[..., NodeProcess]
) -> None:
    node = nodes("cofre")
    with Terminal(node, "caixa-1", "Ana") as ana:
        ana.write("products", "chopp", {"name": "Chopp 300 ml", "price": 11.5}, "CREATE")
        ana.write("products", "chopp", {"price": 12.9})
    page = pages(node, "#/no", user="Marina")
    files = page.locator(".table-files")
    page.get_by_role("button", name="Fazer backup agora").press("Enter")
    made = page.get_by_text("Backup pronto: ")
    expect(made).to_be_visible()
    copy = made.inner_text().removeprefix("Backup pronto: ")
    assert (node.data / copy).stat().st_size > 0
    expect(files.filter(has_text=copy)).to_be_visible()
    archive = page.get_by_role("button", name="Arquivar até…")
    archive.press("Enter")
    expect(page.locator("#archive-until")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="Falta escolher")).to_be_visible()
    page.locator("#archive-until").fill("2100-01-01T00:00")
    page.keyboard.press("Enter")
    expect(page.get_by_text("operações arquivadas em archives/")).to_be_visible()
    expect(archive).to_be_focused()
    (file,) = (node.data / "archives").iterdir()
    expect(files.locator("code", has_text=file.name)).to_have_text(f"archives/{file.name}")
    assert [entry["operation"] for entry in asked(node, "/api/v1/audit")["entries"]] == [
        "archive"
    ]  # and nothing before
    page.evaluate("location.hash = '#/historico/products/chopp'")
    expect(operation(page, 0)).to_contain_text("R$ 11,50 → R$ 12,90")  # nothing of it is left elsewhere
    with Terminal(node, "caixa-1", "Ana") as ana:
        ana.write("products", "chopp", {"price": 13.9})
    page.reload()
    expect(page.locator(".line > .op")).to_have_count(1)
    page.get_by_role("button", name="Ler também o arquivado").click()
    expect(page.locator(".line > .op")).to_have_count(3)


def test_a_wrong_clock_is_named_and_by_how_much(pages: Pages, node: NodeProcess) -> None:
    with Terminal(node, "caixa-7", "Rui") as rui:
        ahead = (datetime.now(UTC) + timedelta(minutes=10)).isoformat()
        rui.write("products", "cafe", {"name": "Café"}, "CREATE", timestamp=ahead)
        page = pages(node, "#/terminais")
        expect(page.locator("[data-terminal=caixa-7]")).to_contain_text("10 min adiantado")
        expect(page.locator(".atts")).to_contain_text("O relógio de caixa-7 está 10 min adiantado")


CHAIN = {"checked": 6, "head": 34, "whole": False, "whole_at": None, "wrong": {"seq": 7, "what": "row hash"}}
PARKED = {
    "id": 3,
    "entity_type": "orders",
    "entity_id": "p-1",
    "from": "no-bar",
    "terminal_id": "bar-1",
    "at": "2026-05-04T23:30:00Z",
    "reason": "unknown type",
}


def test_a_broken_chain_and_what_is_held_back_are_shown_and_done_away_with(pages: Pages, node: NodeProcess) -> None:
    """What a sound node does not have, it is made to tell."""
    page = pages(node, "#/pedidos")
    parked, asked_for = [PARKED], list[str]()

    def act(route: Route) -> None:
        asked_for.append(route.request.url.rpartition("?")[2])
        parked.clear()
        route.fulfill(json={"dropped": 3, "left": 0})

    page.route("**/api/v1/chain", lambda route: route.fulfill(json=CHAIN))
    page.route("**/api/v1/quarantine", lambda route: route.fulfill(json={"quarantine": parked}))
    page.route("**/api/v1/quarantine/retry", lambda route: route.fulfill(json={"retried": 1, "left": 1}))
    page.route("**/api/v1/quarantine/drop?*", act)
    page.evaluate("location.hash = '#/auditoria'")
    expect(page.get_by_role("alert").filter(has_text="A cadeia não está íntegra")).to_contain_text("é a 7")
    page.evaluate("location.hash = '#/no'")
    expect(page.locator(".att")).to_contain_text("de no-bar, terminal bar-1")
    page.get_by_role("button", name="Tentar de novo").press("Enter")
    expect(page.get_by_text("1 tentadas, 1 continuam aqui")).to_be_visible()
    drop = page.get_by_role("button", name="Desistir desta")
    drop.press("Enter")
    expect(page.get_by_role("group", name="Desistir desta operação?")).to_be_visible()
    assert asked_for == []
    expect(drop).to_be_focused()  # the one that means it
    page.keyboard.press("Escape")
    expect(page.locator("#drop-3")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Operação retirada da quarentena")).to_be_visible()
    expect(page.get_by_role("heading", name="Quarentena")).to_be_focused()
    assert asked_for == ["id=3"]
