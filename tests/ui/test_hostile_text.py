"""Names and notes may hold markup, quotes, marks that turn the direction of text, or 10,000 characters."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.ui.browser import ALL
from tests.ui.people import Terminal, asked, conflict
from tests.ui.test_views import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.processes import NodeProcess
    from tests.ui.browser import Pages

MARKUP = """<img src=x onerror="window.hurt=1"><script>window.hurt=1</script></bdi></td><b>nota</b>"""
QUOTES = """"' onmouseover='window.hurt=1' x="${window.hurt=1}` &lt;b&gt; {time}"""
TURNED = "\u202eabc \u2067خليل حداد\u2066 {n} \u200f"
LONG = "Prefere a mesa perto da janela. " * 313
UNBROKEN = "a" * 10_000
TEXTS = {"markup": MARKUP, "quotes": QUOTES, "turned": TURNED, "long": LONG, "unbroken": UNBROKEN}

STRANGE = "mesa/12#y=+~:@|z"
"""The strangest id that the node takes."""


@pytest.fixture(scope="module")
def restaurant(nodes: Callable[..., NodeProcess]) -> NodeProcess:
    node = nodes("central")
    with Terminal(node, "garcom-1", MARKUP[:250], "waiter") as waiter:
        for name, text in TEXTS.items():
            lines = [{"id": "i1", "name": text, "quantity": 1, "price": 7}]
            data = {"number": name, "table": text, "customer": text, "note": text, "items": lines, "total": 7}
            waiter.write("orders", f"pedido-{name}", {"status": "ready", **data}, "CREATE")
        waiter.write("orders", STRANGE, {"status": "ready", "table": "Mesa 1", "note": MARKUP}, "CREATE")
    for name, text in TEXTS.items():
        before = {"name": text, "phone": "1", "note": text}
        conflict(node, "customers", f"c-{name}", before=before, first={"phone": text}, second={"phone": f"2{text}"})
    return node


@pytest.mark.walk(2)
@pytest.mark.parametrize("width", [390, 1280])
def test_what_people_typed_stays_text_in_every_view(restaurant: NodeProcess, pages: Pages, width: int) -> None:
    page = pages(restaurant, width=width, name=f"painel-{width}")
    shown(page, "conflitos", ".case")
    cases = [one.get_attribute("href") or "" for one in page.locator(".case a").all()]
    assert len(cases) == len(TEXTS)
    routes = {
        **{case.removeprefix("#/"): ".compare" for case in cases},
        "pedidos": ".card",
        **{f"pedidos/pedido-{name}": ".paper" for name in TEXTS},
        f"pedidos/{quote(STRANGE, safe='')}": ".paper",
        **{f"historico/orders/pedido-{name}": ".line" for name in TEXTS},
        f"historico/orders/{quote(STRANGE, safe='')}": ".line",
        **{f"historico/customers/c-{name}": ".line" for name in TEXTS},
        "auditoria": ".table-audit",
        "terminais": ".table-terminals",
    }
    wrong: list[str] = []
    for route, sign in [*routes.items()][:: 1 if ALL or width == 390 else 3]:
        shown(page, route, sign)
        if page.evaluate("window.hurt") is not None:
            wrong.append(f"{route}: a script of the text ran")
        if page.locator("#shell :is(img, script, b:text-is('nota'))").count():
            wrong.append(f"{route}: markup of the text is markup of the page")
        if (over := page.evaluate("document.documentElement.scrollWidth - innerWidth")) > 0:
            wrong.append(f"{route}: scrolls sideways by {over} px")
        if (tall := page.evaluate("document.documentElement.scrollHeight")) > MOST_PX:
            wrong.append(f"{route}: {tall} px tall, as a long text stands there whole")
        if turned := page.evaluate(LOOSE, "\u202e"):
            wrong.append(f"{route}: turns what stands beside it: {turned}")
    assert wrong == []


MOST_PX = 12_000

LOOSE = """mark => {
    const walk = document.createTreeWalker(document.getElementById('shell'), NodeFilter.SHOW_TEXT), found = [];
    while (walk.nextNode()) {
        const {parentElement: box, data} = walk.currentNode;
        if (data.includes(mark) && !box.closest('bdi, [dir=auto], option, datalist, textarea')
            && !['isolate', 'isolate-override', 'plaintext'].includes(getComputedStyle(box).unicodeBidi)
            && box.textContent.trim() !== data.trim()) found.push(box.outerHTML.slice(0, 120));
    }
    return found;
}"""


def test_a_long_text_is_cut_and_shown_whole_when_asked(restaurant: NodeProcess, pages: Pages) -> None:
    page = pages(restaurant, "#/pedidos/pedido-long", width=390)
    note = page.locator(".paper-note")
    note.locator("button").wait_for()
    assert len(note.inner_text()) < 400
    note.locator("button").click()
    note.locator("button[aria-expanded=true]").wait_for()
    assert LONG.strip() in note.inner_text()


def test_markup_can_be_read_as_it_was_typed(restaurant: NodeProcess, pages: Pages) -> None:
    page = pages(restaurant, "#/pedidos/pedido-markup")
    page.locator(".paper-note").wait_for()
    assert MARKUP in page.locator(".paper-note").inner_text()


def test_an_export_has_what_is_shown_whole_and_begins_no_formula(restaurant: NodeProcess, pages: Pages) -> None:
    with Terminal(restaurant, "caixa-9", "=HYPERLINK(1)") as till:
        till.write("products", "=1+1", {"name": '=cmd|"/c calc"', "price": 12.5}, "CREATE")
        till.write("products", "=1+1", {"name": 'duas\nlinhas; "aspas"', "price": -3})
        till.write("products", "outro", {"name": "x"}, "CREATE")
    page = pages(restaurant, "#/auditoria?terminal=caixa-9&id=%3D1%2B1")
    expect(page.locator(".table-audit tbody tr")).to_have_count(2)
    with page.expect_download() as taken:
        page.locator("#csv").click()
    assert re.fullmatch(r"auditoria-[\dT-]+\.csv", taken.value.suggested_filename)
    text = taken.value.path().read_bytes().decode("utf-8")
    assert text.startswith("\ufefftimestamp;")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=";"))
    with page.expect_download() as taken:
        page.locator("#jsonl").click()
    lines = [json.loads(line) for line in taken.value.path().read_text().splitlines()]
    told = asked(restaurant, "/api/v1/audit?terminal_id=caixa-9&entity_id=%3D1%2B1&newest=1")["entries"]
    assert lines == told
    assert [row["seq"] for row in rows] == [str(entry["seq"]) for entry in told]
    for row, entry in zip(rows, told, strict=True):
        assert json.loads(row["changes"]) == entry["changes"]
        assert (row["user_id"], row["entity_id"]) == ("'=HYPERLINK(1)", "'=1+1")
        assert [name for name, cell in row.items() if cell[:1] in "=+-@" and cell] == []


INHERITED = ("__proto__", "constructor", "toString", "hasOwnProperty")
"""What every object has in JavaScript, though nobody wrote it."""


def test_what_every_object_inherits_is_an_ordinary_name(nodes: Callable[..., NodeProcess], pages: Pages) -> None:
    node = nodes("herdado")
    for name in INHERITED:
        before = {"name": name, "phone": "1", name: "A", "status": name}
        conflict(node, "customers", name, before=before, first={name: f"B {name}"}, second={name: f"C {name}"})
    with Terminal(node, "caixa-1", "constructor") as till:
        for name in INHERITED:
            lines = [{"id": name, "name": name, "quantity": 1, "price": 7, name: "x"}]
            data = {"table": name, "customer_id": name, "items": lines, name: {"constructor": 1}}
            till.write("orders", name, {"status": "ready", **data}, "CREATE")
            till.write("orders", name, {"items": [], name: None})
    page = pages(node)
    shown(page, "conflitos", ".case")
    cases = [one.get_attribute("href") or "" for one in page.locator(".case a").all()]
    assert len(cases) == len(INHERITED)
    wanted = {f"{side} {name}" for name in INHERITED for side in "BC"}
    for case in cases:
        shown(page, case.removeprefix("#/"), ".compare")
        page.locator(".compare input[type=radio]").first.check(force=True)
        wanted = {text for text in wanted if text not in page.locator(".compare").inner_text()}
        page.locator(".result dd strong").first.wait_for()
    assert wanted == set()
    for name in INHERITED:
        shown(page, f"pedidos/{name}", ".paper")
        shown(page, f"historico/orders/{name}", ".line")
        shown(page, f"historico/customers/{name}", ".line")
        for route in (f"historico/{name}/x", f"conflitos/{name}", f"{name}", f"pedidos/{name}/{name}"):
            shown(page, route, "h1")
    for route, sign in {"pedidos": ".card", "auditoria": ".table-audit", "terminais": ".table-terminals"}.items():
        shown(page, route, sign)
    assert page.evaluate("Object.keys(Object.prototype).length") == 0
