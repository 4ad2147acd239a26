"""A person decides a conflict at the page: by field, with a reason, while somebody else decides it, by keyboard."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.ui.browser import focused, tab_to
from tests.ui.people import Terminal, asked, conflict, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page

    from tests.processes import NodeProcess
    from tests.ui.browser import Pages


DRAWERS = """
[entities.drawers]
priority = "high"
requires_lock = false
conflict_resolution = "last_write_wins"
audit_required = false

[[conservation]]
name = "drawer"
of = "cashier_operations"
amount = "amount"
sign = { field = "type", plus = ["opening"], minus = ["withdrawal"] }
group_by = "drawer_id"
equals = "drawers.balance"
"""

UNSIGNED = "".join(line for line in DRAWERS.splitlines(keepends=True) if not line.startswith("sign"))
"""The same where each amount counts as it is written."""


@pytest.fixture(scope="module")
def node(nodes: Callable[..., NodeProcess]) -> NodeProcess:
    return nodes("central", config=DRAWERS)


def drawer(node: NodeProcess, entity_id: str) -> None:
    """A cash operation that is frozen, as two tills changed it."""
    before = {"type": "withdrawal", "amount": 200, "note": "Troco", "drawer_id": entity_id}
    first, second = {"amount": 300}, {"amount": 350, "note": "Troco e gás"}
    conflict(node, "cashier_operations", entity_id, before=before, first=first, second=second)


def listed(page: Page, label: str) -> Locator:
    """The link of an open conflict. What was decided stands below, under the same name."""
    return page.locator(".case").get_by_role("link", name=label)


def opened(page: Page, label: str) -> Page:
    """The conflict that the inbox calls so."""
    listed(page, label).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(label)
    return page


def field(page: Page, name: str) -> Any:
    return page.get_by_role("radiogroup", name=name)


def test_a_customer_is_decided_field_by_field_and_whoever_had_it_open_is_told(
    pages: Pages, nodes: Callable[..., NodeProcess]
) -> None:
    node = nodes("so-ela")  # what is open is counted
    before = {"name": "Dona Lourdes", "phone": "(11) 95555-0110", "address": "Rua das Acácias, 85"}
    first = {"phone": "(11) 95555-0173", "address": "Rua das Acácias, 85, casa 2"}
    second = {"phone": "(11) 95555-0137", "address": "Rua das Acácias, 58"}
    conflict(node, "customers", "cliente-71", before=before, first=first, second=second)
    assert len(asked(node, "/api/v1/conflicts?state=open")["conflicts"]) == 2  # to the node each field is one
    page = opened(pages(node, user="Marina"), "Dona Lourdes")
    there = opened(pages(node, user="Rogério"), "Dona Lourdes")
    expect(page).to_have_title("(1) Dona Lourdes · Comanda")
    field(there, "Endereço").get_by_role("radio", name="casa 2").check()
    field(page, "Telefone").get_by_role("radio", name="(11) 95555-0137").check()
    address = field(page, "Endereço")
    address.get_by_role("radio", name="Rua das Acácias, 58").check()
    expect(page.locator(".slip-lines")).to_contain_text("(11) 95555-0137")
    expect(page.locator(".slip-lines")).to_contain_text("Rua das Acácias, 58")
    address.get_by_role("radio", name="Outro valor").check()
    page.get_by_label("Outro valor para Endereço").fill("Rua das Acácias, 85, casa 1")
    expect(page.locator(".slip-lines")).to_contain_text("casa 1")
    page.get_by_role("button", name="Confirmei com o cliente").click()
    page.locator("#send").click()
    expect(page.locator("#done-title")).to_contain_text("Decidido às")
    expect(page.locator("#polite")).to_contain_text("Decidido às")
    expect(page.locator(".done .pill")).to_have_text("sincronizado")  # there is no other node
    now = shown(node, "customers", "cliente-71")
    assert (now["phone"], now["address"]) == ("(11) 95555-0137", "Rua das Acácias, 85, casa 1")
    expect(page).to_have_title("Dona Lourdes · Comanda")
    expect(there.locator(".done-other")).to_contain_text(
        "Endereço Rua das Acácias, 85, casa 1 e Telefone (11) 95555-0137"
    )
    expect(there.get_by_text("sua escolha, não enviada")).to_be_visible()


JOINED = """async (conflicts) => (await import('/ui/joined.js')).joined(conflicts).map((one) =>
    [one.id, one.parts.map((part) => part.id), one.candidates.map((side) => side.data), one.before])"""


def test_only_what_the_same_operations_dispute_is_one_decision(pages: Pages, node: NodeProcess) -> None:
    def one(name: str, day: int, operations: str, **data: object) -> dict[str, Any]:
        sides = [{"terminal_id": "t", "operation_id": letter, "data": data} for letter in operations]
        about = {"entity_type": "customers", "entity_id": "c", "created_at": f"2026-01-0{day}"}
        return {"id": name, **about, "candidates": sides, "before": {field: {"value": 0} for field in data}}

    page = pages(node)
    found = page.evaluate(
        JOINED,
        [
            one("b", 2, "xy", phone=1),
            one("a", 1, "xy", note=2),
            one("c", 1, "xz", points=3),
            one("d", 1, "xy", deleted_at=4),
        ],
    )
    both = {"note": 2, "phone": 1}
    assert found[0] == ["a", ["a", "b"], [both, both], {"note": {"value": 0}, "phone": {"value": 0}}]
    assert [parts for _, parts, _, _ in found[1:]] == [["c"], ["d"]]


TYPED = {
    ("money", "350"): (350, 350),
    ("money", "350,5"): (350.5, 350.5),
    ("money", "R$ 1.234,50"): (1234.5, 1234.5),
    ("money", "1,234.50"): (1234.5, 1234.5),
    ("money", "1.250"): (1250, 1250),
    ("money", "−12,30"): (-12.3, -12.3),
    ("number", "1.250"): (1250, 1.25),
    ("number", "1,250"): (1.25, 1250),
    ("number", "2.000.000"): (2000000, 2000000),
    ("number", "0,5"): (0.5, 0.5),
    ("number", "1.2.3"): (None, None),
    ("money", "trezentos"): (None, None),
    ("text", " 12,50 "): (" 12,50 ", " 12,50 "),
    ("text", "  "): (None, None),
}
"""The field's kind and what is typed; what it is in Portuguese and in English."""


def test_a_number_is_understood_as_it_is_written_here(pages: Pages, node: NodeProcess) -> None:
    page = pages(node)
    read = "async ([kind, text]) => (await import('/ui/cases.js')).parsed({ kind }, text) ?? null"
    for place, language in enumerate(("Português", "English")):
        page.get_by_role("radio", name=language).check()
        assert {typed: page.evaluate(read, list(typed)) for typed in TYPED} == {
            typed: meant[place] for typed, meant in TYPED.items()
        }


def test_a_frozen_drawer_wants_a_reason_and_a_second_browser_is_told_who_decided(
    pages: Pages, node: NodeProcess
) -> None:
    with Terminal(node, "caixa-1", "Ana") as ana:
        opening = {"type": "opening", "amount": 1_000, "drawer_id": "gaveta-1"}
        ana.write("cashier_operations", "abertura", opening, "CREATE")
    drawer(node, "gaveta-1")
    here = opened(pages(node, user="Marina"), "Sangria · gaveta-1")
    there = opened(pages(node, user="Rogério", width=390), "Sangria · gaveta-1")
    field(there, "Valor").get_by_role("radio", name="R$ 300,00").check()
    expect(here.locator(".effect")).to_have_text("Saldo esperado de gaveta-1hoje R$ 700,00 → —")
    here.get_by_role("button", name="Ficar com este lado").last.click()
    expect(here.locator(".effect")).to_have_text("Saldo esperado de gaveta-1hoje R$ 700,00 → R$ 650,00")
    here.locator("#send").click()
    expect(here.locator("#send-missing")).to_contain_text("o motivo")
    expect(here.locator("#reason")).to_be_focused()
    expect(here.locator("#urgent")).to_contain_text("Falta escrever o motivo")
    here.locator("#reason").fill("Contei a gaveta com a Ana")
    here.locator("#send").click()
    expect(here.locator("#done-title")).to_contain_text("liberada")
    expect(there.locator("#other-title")).to_contain_text("Marina decidiu primeiro")
    expect(there.locator(".done-other")).to_contain_text("Contei a gaveta com a Ana")
    expect(there.locator("#urgent")).to_contain_text("R$ 350,00")
    expect(there.get_by_text("sua escolha, não enviada")).to_be_visible()
    expect(there.locator("#send")).to_have_count(0)
    assert shown(node, "cashier_operations", "gaveta-1")["amount"] == 350
    said = asked(node, "/api/v1/audit?entity_id=gaveta-1")["entries"][-1]
    assert (said["user_id"], said["reason"]) == ("Marina", "Contei a gaveta com a Ana")


def test_amounts_without_a_sign_count_as_they_are_written(pages: Pages, nodes: Callable[..., NodeProcess]) -> None:
    node = nodes("sem-sinal", config=UNSIGNED)
    with Terminal(node, "caixa-1", "Ana") as ana:
        ana.write("cashier_operations", "abertura", {"amount": 1_000, "drawer_id": "gaveta-1"}, "CREATE")
    drawer(node, "gaveta-1")
    page = opened(pages(node), "Sangria · gaveta-1")
    page.get_by_role("button", name="Ficar com este lado").last.click()
    expect(page.locator(".effect")).to_have_text("Saldo esperado de gaveta-1hoje R$ 1.300,00 → R$ 1.350,00")


def test_by_keyboard_alone_from_the_inbox_to_the_next_conflict(
    pages: Pages, nodes: Callable[..., NodeProcess]
) -> None:
    node = nodes("teclado")  # whichever is the first is a drawer
    drawer(node, "gaveta-2")
    drawer(node, "gaveta-3")
    page = pages(node, user="Marina")
    expect(page.locator(".case").nth(1)).to_be_visible()
    tab_to(page, ".case a")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    name = page.get_by_role("heading", level=1).inner_text()
    tab_to(page, "#f-amount-0")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#f-amount-1")).to_be_checked()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#f-amount-text")).to_be_focused()
    page.keyboard.type("325,50")
    expect(page.locator(".slip-lines")).to_contain_text("R$ 325,50")
    tab_to(page, "#f-note-0")
    page.keyboard.press("Space")
    tab_to(page, "#reason")
    page.keyboard.type("O recibo confere")
    tab_to(page, "#send")
    page.keyboard.press("Enter")
    expect(page.locator("#done-title")).to_be_visible()
    expect(page.locator(".card-place")).to_be_focused()
    assert shown(node, "cashier_operations", name.rpartition(" ")[2])["amount"] == 325.5
    tab_to(page, "#done-next")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    assert focused(page)["text"] != name


def test_by_keyboard_alone_a_customer_is_decided_field_by_field(pages: Pages, node: NodeProcess) -> None:
    before = {"name": "Seu Jorge", "phone": "(11) 95555-0210", "address": "Rua Augusta, 1"}
    first = {"phone": "(11) 95555-0273", "address": "Rua Augusta, 10"}
    second = {"phone": "(11) 95555-0237", "address": "Rua Augusta, 100"}
    conflict(node, "customers", "cliente-72", before=before, first=first, second=second)
    page = pages(node, user="Marina")
    name = listed(page, "Seu Jorge").get_attribute("href")
    tab_to(page, f".case a[href='{name}']")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    for wanted, presses in (("phone", 1), ("address", 2)):  # the other side; another value
        tab_to(page, f"#f-{wanted}-0")
        page.keyboard.press("Space")
        for _ in range(presses):
            page.keyboard.press("ArrowRight")
    page.keyboard.type("Rua Augusta, 1001")
    tab_to(page, "#send")
    page.keyboard.press("Enter")
    expect(page.locator("#done-title")).to_be_visible()
    now = shown(node, "customers", "cliente-72")
    assert (now["phone"], now["address"]) == ("(11) 95555-0237", "Rua Augusta, 1001")


def test_focus_stays_where_it_is_while_others_write(pages: Pages, node: NodeProcess) -> None:
    drawer(node, "gaveta-4")
    page = pages(node, "#/conflitos")
    link = listed(page, "Sangria · gaveta-4")
    link.focus()
    conflict(node, "cashier_operations", "gaveta-5", before={"amount": 1}, first={"amount": 2}, second={"amount": 3})
    late = page.get_by_role("button", name="Mostrar 1 que chegou")
    expect(late).to_be_visible()
    expect(listed(page, "gaveta-5")).to_have_count(0)
    expect(link).to_be_focused()
    late.click()
    expect(listed(page, "gaveta-5")).to_be_visible()


def test_no_row_moves_under_a_finger_while_conflicts_come_and_go(
    pages: Pages, nodes: Callable[..., NodeProcess]
) -> None:
    node = nodes("dedo")
    drawer(node, "gaveta-60")
    drawer(node, "gaveta-61")
    with Terminal(node, "caixa-1", "Ana") as ana:
        ana.write("orders", "pedido-60", {"number": "60", "total": 300}, "CREATE")
        ana.write("orders", "pedido-60", {"total": 371}, version=2)
        with Terminal(node, "caixa-2", "Rogério") as rogerio:
            rogerio.write("orders", "pedido-60", {"total": 485}, version=2)
    page = pages(node, user="Marina")
    undo = page.locator(".settled").get_by_role("button", name="Desfazer")
    undo.wait_for()
    places = """() => [...document.querySelectorAll('.case, .settled')].map((row) => {
        const { top, height } = row.getBoundingClientRect();
        return [row.dataset.id, top, height];
    })"""
    before = page.evaluate(places)
    assert len(before) == 3
    finger = {"pointerType": "touch", "isPrimary": True}
    undo.dispatch_event("pointerdown", finger)
    for number in range(62, 69):  # chips stand above so many
        drawer(node, f"gaveta-{number}")
    late = page.get_by_role("button", name="Mostrar 7 que chegaram")
    expect(late).to_be_visible()
    with Terminal(node, "caixa-3", "Tiago") as tiago:
        (first,) = (
            one["id"]
            for one in asked(node, "/api/v1/conflicts?state=open")["conflicts"]
            if one["entity_id"] == "gaveta-60" and "amount" in one["candidates"][0]["data"]
        )
        tiago.resolve(first, "accept_local")
    expect(page.locator("#view h1")).to_contain_text("8 coisas")
    assert page.evaluate(places) == before
    late.click()
    expect(page.locator(".case")).to_have_count(8)
    expect(listed(page, "gaveta-68")).to_be_visible()


def test_a_row_that_leaves_hands_its_focus_on(pages: Pages, node: NodeProcess) -> None:
    drawer(node, "gaveta-8")
    drawer(node, "gaveta-9")
    page = pages(node)
    link = listed(page, "Sangria · gaveta-8")
    link.focus()
    with Terminal(node, "caixa-3", "Tiago") as tiago:
        opened = asked(node, "/api/v1/conflicts?state=open")["conflicts"]
        tiago.resolve(next(one["id"] for one in opened if one["entity_id"] == "gaveta-8"), "accept_remote")
    expect(link).to_have_count(0)
    expect(page.locator("#polite")).to_contain_text("gaveta-8 já foi decidido")
    expect(page.locator(".case:focus, .case :focus")).to_have_count(1)


def test_a_third_side_and_a_deletion_are_taken_whole(pages: Pages, node: NodeProcess) -> None:
    with Terminal(node, "caixa-1", "Ana") as ana, Terminal(node, "caixa-2", "Rogério") as rogerio:
        with Terminal(node, "garcom-3", "Luísa", "waiter") as luisa:
            ana.write("customers", "cliente-932", {"name": "Helena", "note": "Camarão"}, "CREATE")
            for who, note in ((ana, "Camarão e lagosta"), (rogerio, "Amendoim"), (luisa, "Nenhuma")):
                who.write("customers", "cliente-932", {"note": note}, version=2)
        ana.write("customers", "cliente-405", {"name": "خليل حداد"}, "CREATE")
        ana.write("customers", "cliente-405", {"note": "Nota fiscal"}, version=2)
        rogerio.write("customers", "cliente-405", None, "DELETE", version=2)
    page = opened(pages(node, user="Marina"), "Helena")
    expect(page.locator(".sides .side")).to_have_count(4)
    side = page.locator(".side").filter(has_text="Luísa")
    side.get_by_role("button", name="Ficar com este lado").click()
    page.locator("#send").click()
    expect(page.locator("#done-title")).to_be_visible()
    assert shown(node, "customers", "cliente-932")["note"] == "Nenhuma"
    page.evaluate("location.hash = '#/conflitos'")
    opened(page, "خليل حداد")
    field(page, "Cadastro").get_by_role("radio", name="Excluído").check()
    page.locator("#send").click()
    expect(page.locator("#done-title")).to_be_visible()
    assert asked(node, "/api/v1/entities/customers/cliente-405")["deleted"] is True


SHAPES: dict[str, tuple[Any, str]] = {
    "caixa-1": ({"mesa": "varanda", "som": False}, "mesa varanda, som não"),
    "caixa-2": ([{"id": "1", "name": "Camarão", "quantity": 2}, "خليل"], "2 Camarão, خليل"),
    "garcom-3": ("a" * 10_000, "Mostrar tudo (10.000 caracteres)"),
    "garcom-4": ("2026-05-04T23:30:00+09:00", "04/05/2026, 11:30"),  # São Paulo, where the browser is
}
"""What four terminals write of one field, and how it is shown."""


def test_four_sides_of_every_shape_stand_side_by_side_and_one_is_taken(pages: Pages, node: NodeProcess) -> None:
    with ExitStack() as stack:
        terminals = {name: stack.enter_context(Terminal(node, name, name)) for name in SHAPES}
        terminals["caixa-1"].write("customers", "formas", {"name": "Formas", "extra": "nada"}, "CREATE")
        for name, (value, _) in SHAPES.items():
            terminals[name].write("customers", "formas", {"extra": value}, version=2)
    page = opened(pages(node, width=390), "Formas")
    options = page.locator(".option:not(.was)")
    for place, (_, text) in enumerate(SHAPES.values()):
        expect(options.nth(place)).to_contain_text(text)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator("#whole-3").click()
    expect(page.locator(".slip-lines")).to_contain_text("04/05/2026, 11:30")
    page.locator("#send").click()
    expect(page.locator("#done-title")).to_be_visible()
    assert shown(node, "customers", "formas")["extra"] == SHAPES["garcom-4"][0]


FORMATS = {
    ("total", 1234.5): ("R$\xa01.234,50", "R$\xa01,234.50"),
    ("price", -7): ("-R$\xa07,00", "-R$\xa07.00"),
    ("points", 1310.25): ("1.310,25", "1,310.25"),
    ("opened_at", "2026-05-04T23:30:00Z"): ("04/05/2026, 20:30", "04/05/2026, 20:30"),
    ("birthday", "1990-01-02"): ("02/01/1990", "02/01/1990"),  # a day is the same in every zone
    ("note", "1990-99-02"): ("1990-99-02", "1990-99-02"),
    ("status", "preparing"): ("Preparando", "Preparing"),
    ("vip", True): ("sim", "yes"),  # type: ignore[dict-item]
}
"""A field and its value, and how it is said in Portuguese and in English."""


def test_money_numbers_and_times_are_said_in_the_persons_language_and_zone(pages: Pages, node: NodeProcess) -> None:
    page = pages(node)
    said = """async ([name, value]) => {
        const { kindOf, plain } = await import('/ui/parts.js');
        return plain({ kind: kindOf(name, value) }, value);
    }"""
    for place, language in enumerate(("Português", "English")):
        page.get_by_role("radio", name=language).check()
        assert {field: page.evaluate(said, list(field)) for field in FORMATS} == {
            field: texts[place] for field, texts in FORMATS.items()
        }


def test_what_was_chosen_survives_lost_contact_and_a_look_elsewhere(
    pages: Pages, nodes: Callable[..., NodeProcess]
) -> None:
    node = nodes("instavel")
    drawer(node, "gaveta-6")
    page = opened(pages(node, user="Marina"), "Sangria · gaveta-6")
    page.get_by_role("button", name="Ficar com este lado").first.click()
    page.locator("#reason").fill("Contei a gaveta")
    node.kill()
    expect(page.locator("#send")).to_be_disabled()
    expect(page.locator("#send-why")).to_contain_text("contato")
    page.evaluate("location.hash = '#/pedidos'")
    node.start()
    page.evaluate("history.back()")
    expect(page.locator("#reason")).to_have_value("Contei a gaveta")
    expect(page.locator("#send")).to_be_enabled()
    page.locator("#send").click()
    expect(page.locator("#done-title")).to_be_visible()
    assert shown(node, "cashier_operations", "gaveta-6")["amount"] == 300


def test_whoever_may_not_decide_is_told_before_he_presses(pages: Pages, nodes: Callable[..., NodeProcess]) -> None:
    node = nodes(
        "so-ver",
        config='[terminals]\nmonitor = {write = [], resolve = ["customers"], read = ["*", "audit", "metrics"]}\n',
    )
    drawer(node, "gaveta-7")
    page = opened(pages(node), "Sangria · gaveta-7")
    expect(page.locator("#send")).to_be_disabled()
    expect(page.locator("#send-why")).to_contain_text("direito")
    expect(page.locator("#deny-title")).to_have_count(0)  # other things it may decide


def test_what_a_rule_set_aside_comes_back_by_a_question_and_a_yes(pages: Pages, node: NodeProcess) -> None:
    with Terminal(node, "caixa-1", "Ana") as ana, Terminal(node, "garcom-2", "Bruno", "waiter") as bruno:
        ana.write("orders", "pedido-1052", {"number": "1052", "table": "Mesa 12", "total": 300}, "CREATE")
        ana.write("orders", "pedido-1052", {"total": 371.6}, version=2)
        bruno.write("orders", "pedido-1052", {"total": 485.6}, version=2)
    page = pages(node, user="Marina")
    row = page.locator(".settled").filter(has_text="Pedido 1052 · Mesa 12")
    expect(row).to_contain_text("R$ 485,60 Bruno")
    expect(row).to_contain_text("R$ 371,60 Ana")
    row.get_by_role("button", name="Desfazer").click()
    expect(row.get_by_role("button", name="Trazer de volta")).to_be_focused()
    page.keyboard.press("Escape")
    expect(row.get_by_role("button", name="Desfazer")).to_be_focused()
    page.keyboard.press("Enter")
    expect(row.get_by_role("button", name="Trazer de volta")).to_be_focused()
    page.keyboard.press("Enter")
    expect(row.locator(".undone")).to_contain_text("Agora vale R$ 371,60")
    expect(row.locator(".undone")).to_be_focused()
    assert shown(node, "orders", "pedido-1052")["total"] == 371.6
