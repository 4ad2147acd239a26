"""Any value that the node takes, in any field that the page reads, and values that can hardly be told apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.ui.browser import ALL
from tests.ui.people import Terminal, asked
from tests.ui.test_views import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.ui.browser import Pages

FLAGS = "🇧🇷👩‍👩‍👧‍👦e\u0301"
VALUES: dict[str, Any] = {
    "nothing": None,
    "empty": "",
    "blank": "  ",
    "true": True,
    "false": False,
    "zero": 0,
    "huge": 1e300,
    "tiny": 5e-324,
    "negative": -0.1,
    "text": "ready",
    "flags": FLAGS * 90,
    "no day": "2026-02-30",
    "no time": "2026-13-45T25:61:00Z",
    "far time": "0001-01-01T00:00:00+14:00",
    "record": {"name": {"first": "Ana"}, "id": {"a": 1}, "quantity": [1], "price": "caro"},
    "deep": {"a": {"b": {"c": [{"d": [[], {}, None]}]}}},
    "list": [None, 1, "x", True, [1, [2]], {}, {"id": 7}, {"id": "7", "name": None}, {"id": None}],
    "alike": [{"id": "i1", "name": "Chopp"}, {"id": "i1", "name": "Chopp"}, {"id": 1}, {"id": "1"}],
}

READ = {
    "orders": (
        "number",
        "table",
        "customer",
        "customer_id",
        "items",
        "total",
        "note",
        "opened_at",
        "status",
        "extra",
    ),
    "customers": ("name", "phone", "note", "points", "birthday"),
    "products": ("name", "price", "stock"),
    "cashier_operations": ("type", "drawer_id", "amount", "note"),
}
"""What the page reads of each type."""

NO_WORDS = r"\[object|\bNaN\b|\bundefined\b|\bnull\b|Invalid Date|Infinity"


def wrong(page: Page, route: str) -> list[str]:
    """What a view shows that nobody means."""
    found = [f"{route}: {text}" for text in page.evaluate(UNMEANT, NO_WORDS)]
    if (over := page.evaluate("document.documentElement.scrollWidth - innerWidth")) > 0:
        found.append(f"{route}: scrolls sideways by {over} px")
    return found


UNMEANT = """(pattern) => document.getElementById('view').innerText.split('\\n')
    .filter((line) => new RegExp(pattern).test(line)).map((line) => line.slice(0, 200))"""


def test_any_value_in_any_field_is_shown_as_people_write_it(nodes: Callable[..., Any], pages: Pages) -> None:
    node = nodes("valores")
    kinds = [*VALUES]
    with Terminal(node, "caixa-1", "Ana") as ana, Terminal(node, "caixa-2", "Rogério") as rogerio:
        for place, kind in enumerate(kinds):
            value, other = VALUES[kind], VALUES[kinds[place - 1]]
            for entity_type, fields in READ.items():
                name = f"v-{place}"
                ana.write(entity_type, name, dict.fromkeys(fields, value), "CREATE")
                ana.write(entity_type, name, dict.fromkeys(fields, other), version=2)
                rogerio.write(entity_type, name, dict.fromkeys(fields, value), version=2)
                if entity_type == "orders":
                    ana.write(entity_type, name, dict.fromkeys(fields, value) | {"status": kinds[place]})
    page = pages(node, width=390)
    shown(page, "conflitos", ".case")
    found = wrong(page, "conflitos")
    opened = asked(node, "/api/v1/conflicts?state=open")["conflicts"]
    cases = {(one["entity_type"], one["entity_id"]): one["id"] for one in opened}
    assert {kind for kind, _ in cases} == {"customers", "products", "cashier_operations"} & {
        kind for kind, _ in cases
    }
    assert len(cases) >= 2 * len(VALUES) - 4
    routes = {}
    for place in range(len(kinds)):
        views = {f"conflitos/{cases[key]}": ".compare" for one in READ if (key := (one, f"v-{place}")) in cases}
        views |= {f"pedidos/v-{place}": ".paper", f"historico/orders/v-{place}": ".line"}
        routes |= views if ALL else dict([*views.items()][place % 2 :: 2])
    for route, sign in {**routes, "pedidos": ".card", "auditoria": ".table-audit", "terminais": ".table"}.items():
        shown(page, route, sign)
        found += wrong(page, route)
    assert found == []


TRICKY: list[Any] = [
    *(None, "", " ", "  ", True, False, "sim", "yes", "não", "nada", [], {}, [None], [""], [[]], [{}]),
    *(0, 1, "1", 1.0001, 1.00011, 1e300, 1e-300, 5e-324, "1,00", "R$ 1,00", "R$\xa01,00", [1], ["1"]),
    *("a", "a ", " a", "a\u200b", "a\u200e", "a\xa0b", "a b", "a  b", "a\tb", "a\nb", "\u201ca\u201d"),
    *("{a: 1}", {"a": 1}, {"a": "1"}),
    *("\u00e9", "e\u0301", "ready", "Pronto", "Ready", "2026-05-04", "04/05/2026"),
    *("2026-05-04T23:30:00Z", "2026-05-04T23:30:01Z", "2026-05-04T23:30:00.001Z", "2026-05-05T08:30:00+09:00"),
    *([{"id": "1", "name": "x"}], [{"id": "2", "name": "x"}], ["a, b"], ["a", "b"]),
]  # fmt: skip

ALIKE = """async ([kinds, values]) => {
    const { plainEach } = await import('/ui/texts.js'), found = [];
    for (const kind of kinds) for (const [i, a] of values.entries()) for (const b of values.slice(i + 1)) {
        const [one, other] = plainEach({ kind }, [a, b]);
        if (one === other || !one || !other) found.push([kind, a, b, one]);
    }
    return found;
}"""


def test_values_that_differ_read_differently_side_by_side(nodes: Callable[..., Any], pages: Pages) -> None:
    page = pages(nodes("valores-2"))
    for language in ("Português", "English"):
        page.get_by_role("radio", name=language).check()
        assert page.evaluate(ALIKE, [["text", "money", "number", "word", "parts", "time"], TRICKY]) == []


BROKEN_LETTERS = """async (texts) => {
    const [{ cut }, { difference }] = await Promise.all([import('/ui/texts.js'), import('/ui/parts.js')]), found = [];
    const letters = (text) => [...new Intl.Segmenter().segment(text)].map((one) => one.segment);
    const whole = (part, text) => part.isWellFormed() && letters(text).join('|').includes(letters(part).join('|'));
    for (const text of texts) {
        for (let most = 2; most <= text.length; most++) {
            const short = cut(text, most);
            if (short.length > most || !whole(short.replace(/…$/, ''), text)) found.push(['cut', text, most, short]);
        }
        for (const other of texts) {
            const { children } = difference(text, other).props ?? { children: [] };
            for (const part of children.map((one) => one.props?.children ?? one)) {
                if (!whole(part, other)) found.push(['difference', text, other, part]);
            }
        }
    }
    return found;
}"""


def test_no_letter_is_cut_in_two(nodes: Callable[..., Any], pages: Pages) -> None:
    page = pages(nodes("valores-3"))
    texts = [
        f"Mesa {FLAGS}{FLAGS}",
        "Mesa 😀 fim",
        "Mesa 😁 fim",
        "Cafe\u0301 do João",
        "Cafe do João",
        "🇧🇷🇦🇷",
        "🇧🇷🇨🇱",
    ]
    assert page.evaluate(BROKEN_LETTERS, texts) == []
    marks = "z" + "\u0301" * 5_000  # nobody's letter
    assert 0 < len(page.evaluate("async (text) => (await import('/ui/texts.js')).cut(text)", marks)) <= 80
