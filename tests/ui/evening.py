"""An evening at a restaurant, written at a real node: what the page is looked at with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.ui.people import Terminal, conflict

if TYPE_CHECKING:
    from tests.processes import NodeProcess

MENU = (
    ("Feijoada completa", 68.9),
    ("Moqueca de camarão", 118),
    ("Filé à parmegiana", 74.5),
    ("Chopp 300 ml", 12.9),
    ("Caipirinha de limão", 24),
    ("Pudim de leite", 19),
    ("Bolinho de bacalhau (6 un.)", 46),
    ("Água com gás", 7),
)
STATUSES = ("pending", "preparing", "ready", "served")
GUESTS = ("Helena Vasconcelos", "", "Família Teixeira", "", "", "خليل حداد", "", "")
FIRST, ORDERS = 1052, 14

LOURDES = {"name": "Dona Lourdes", "phone": "(11) 95555-0110", "address": "Rua das Acácias, 85", "points": 1310}
CASH_DROP = {"type": "withdrawal", "amount": 200, "drawer_id": "gaveta-1", "note": "Troco para o motoboy"}


def item(place: int, number: int) -> dict[str, Any]:
    name, price = MENU[number % len(MENU)]
    return {"id": f"i{place}", "name": name, "quantity": 1 + number % 3, "price": price}


def order(number: int) -> dict[str, Any]:
    lines = [item(place, number + 3 * place) for place in range(1 + number % 4)]
    total = round(sum(line["quantity"] * line["price"] for line in lines), 2)
    guest = GUESTS[number % len(GUESTS)]
    said = {"number": str(number), "table": f"Mesa {1 + number % 17}", "items": lines, "total": total}
    return {**said, "status": STATUSES[number % 4]} | ({"customer": guest} if guest else {})


def play(node: NodeProcess) -> None:
    """Orders of all statuses, a new price, a refused write; what two wrote of a guest, drawer, order."""
    with Terminal(node, "garcom-2", "Bruno", "waiter") as bruno:
        for number in range(FIRST, FIRST + ORDERS):
            bruno.write("orders", f"pedido-{number}", order(number), "CREATE")
    conflict(
        node,
        "customers",
        "cliente-0071",
        before=LOURDES,
        first={"phone": "(11) 95555-0173", "address": "Rua das Acácias, 85, casa 2"},
        second={"phone": "(11) 95555-0137", "address": "Rua das Acácias, 58"},
    )
    conflict(
        node,
        "cashier_operations",
        "sangria-0417",
        before=CASH_DROP,
        first={"amount": 300},
        second={"amount": 350, "note": "Troco para o motoboy e gás"},
    )
    with Terminal(node, "caixa-1", "Ana") as ana, Terminal(node, "garcom-2", "Bruno", "waiter") as bruno:
        ana.write("orders", f"pedido-{FIRST + 6}", {"total": 371.6}, version=2)
        bruno.write("orders", f"pedido-{FIRST + 6}", {"total": 485.6}, version=2)
    with Terminal(node, "caixa-1", "Ana") as ana:
        for place, (name, price) in enumerate(MENU):
            ana.write("products", f"prod-{place}", {"name": name, "price": price, "stock": 40}, "CREATE")
        ana.write("products", "prod-3", {"price": 13.9})
        assert ana.write("cashier_operations", "sangria-0417", {"note": "Recibo 88"})["type"] == "sync_error"
        ana.write("orders", f"pedido-{FIRST + 3}", {"items": order(FIRST + 3)["items"][:-1], "note": "Sem coentro"})
