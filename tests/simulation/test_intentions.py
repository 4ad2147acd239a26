"""The model of what people meant says what must be shown, and where nothing can be said."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest

from node.simulation.intentions import CountEvent, Edit, Ledger, Meant, Restored
from node.simulation.operation_rules import brought_back, disputed, in_two, told
from storage.records import EntityRow, LogRow
from strategies.kinds.kind import ABSENT

FORM = ("orders", "ficha-0")
NOTED = orjson.dumps([[*FORM, ""]])
NOTHING: dict[str, dict[str, Any]] = {}


def problems(ledger: Ledger, **view: dict[str, dict[str, Any]]) -> list[str]:
    held = [*ledger.meant, *ledger.edits, *ledger.counts]
    return ledger.problems(held, {"products": NOTHING, "orders": NOTHING, "customers": NOTHING, **view}, ())


def edited(*seen_by_second: str) -> Ledger:
    ledger = Ledger()
    ledger.edits["t/1"] = Edit(FORM, "a", "f-1", frozenset(), whole=False)
    ledger.edits["u/1"] = Edit(FORM, "a", "f-2", frozenset(seen_by_second), whole=True)
    return ledger


def test_of_two_who_did_not_know_of_each_other_either_value_may_stand() -> None:
    assert not problems(edited(), orders={"ficha-0": {"a": "f-1"}})
    assert not problems(edited(), orders={"ficha-0": {"a": "f-2"}})


def test_a_value_that_somebody_replaced_who_had_seen_it_is_not_shown() -> None:
    assert problems(edited("t/1"), orders={"ficha-0": {"a": "f-1"}})
    assert not problems(edited("t/1"), orders={"ficha-0": {"a": "f-2"}})


@pytest.mark.parametrize("shown", [{}, {"a": "of nobody"}])
def test_a_field_shows_what_somebody_made_it(shown: dict[str, str]) -> None:
    assert problems(edited(), orders={"ficha-0": shown})


def test_what_a_node_cannot_know_its_author_knew_is_not_judged() -> None:
    ledger = edited("t/1")
    ledger.forget(["u/1"])
    assert not problems(ledger, orders={"ficha-0": {"a": "f-1"}})


COUNTS = {
    "moved before it was ever counted": ([("t/1", (), ABSENT, 24), ("u/1", ("t/1",), ABSENT, -1)], 23),
    "counted after what was moved": ([("t/1", (), ABSENT, 24), ("u/1", ("t/1",), 30, 0)], 30),
    "counted without having seen what was moved": ([("t/1", (), ABSENT, 24), ("u/1", (), 30, 0)], 54),
    "not counted any more": ([("t/1", (), 30, 0), ("u/1", ("t/1",), None, 0)], None),
    "counted again": ([("t/1", (), None, 0), ("u/1", ("t/1",), 7, 0)], 7),
}


@pytest.mark.parametrize("case", COUNTS.values(), ids=list(COUNTS))
def test_a_count_stands_with_what_it_had_not_seen(case: tuple[list[tuple[Any, ...]], object]) -> None:
    events, expected = case
    ledger = Ledger()
    for name, seen, counted, moved in events:
        ledger.counts[name] = CountEvent("s-2", frozenset(seen), counted, Decimal(moved))
    assert not problems(ledger, products={"s-2": {"stock": expected}})
    assert problems(ledger, products={"s-2": {"stock": 1}})


def test_a_line_has_the_sum_of_its_changes_and_goes_forward_only() -> None:
    ledger = Ledger()
    ledger.meant["t/1"] = Meant(adds=("mesa-0", "i-1"), quantity=Decimal(2), status="sent")
    ledger.meant["u/1"] = Meant(changes=("mesa-0", "i-1"), quantity=Decimal(1))
    ledger.meant["v/1"] = Meant(changes=("mesa-0", "i-1"), status="ready")

    def shown(quantity: int, status: str) -> dict[str, dict[str, Any]]:
        return {"mesa-0": {"items": [{"id": "i-1", "quantity": quantity, "status": status}]}}

    assert not problems(ledger, orders=shown(3, "ready"))
    assert problems(ledger, orders=shown(2, "ready"))
    assert problems(ledger, orders=shown(3, "sent"))


@pytest.mark.parametrize(("seen", "gone"), [({"u/1"}, True), (set(), False)])
def test_a_line_that_was_taken_off_is_gone_unless_somebody_changed_it_unseen(seen: set[str], gone: bool) -> None:
    ledger = Ledger()
    ledger.meant["t/1"] = Meant(adds=("mesa-0", "i-1"), quantity=Decimal(2))
    ledger.meant["u/1"] = Meant(changes=("mesa-0", "i-1"), quantity=Decimal(1))
    ledger.meant["v/1"] = Meant(removes=("mesa-0", frozenset({"i-1"})), seen=frozenset(seen))
    assert bool(problems(ledger, orders={"mesa-0": {"items": [{"id": "i-1", "quantity": 3}]}})) == gone


# ---------------------------------------------------------------------- lines and what is disputed

TABLE = ("orders", "mesa-0")
SLIP = ("cashier_operations", "mov-0")


@pytest.mark.parametrize(("shown", "right"), [("n-1", False), ("n-2", True), ("n-3", False)])
def test_a_note_beside_a_line_is_replaced_by_who_had_seen_it(shown: str, right: bool) -> None:
    ledger = Ledger()
    ledger.edits["t/1"] = Edit(TABLE, "items/i-1/note", "n-1", frozenset(), whole=False)
    ledger.edits["u/1"] = Edit(TABLE, "items/i-1/note", "n-2", frozenset(["t/1"]), whole=False)
    line = {"id": "i-1", "note": shown}
    assert (not problems(ledger, orders={"mesa-0": {"items": [{"id": "i-0"}, line]}})) == right
    assert not problems(ledger, orders={"mesa-0": {"items": [{"id": "i-0"}]}})  # taken off, note and all


@pytest.mark.parametrize("shown", [[], ["p-1"], ["p-1", "p-2", "p-2"], ["p-1", "p-2", "p-3"]])
def test_every_payment_is_there_once(shown: list[str]) -> None:
    ledger = Ledger()
    for number in (1, 2):
        ledger.meant[f"t/op-{number}"] = Meant(adds=("caixa-0", f"p-{number}"), quantity=Decimal(10))
    assert problems(ledger, orders={"caixa-0": {"payments": [{"id": name, "amount": 10} for name in shown]}})
    right = [{"id": "p-1", "amount": 10}, {"id": "p-2", "amount": 10}]
    assert not problems(ledger, orders={"caixa-0": {"payments": right}})
    assert problems(ledger, orders={"caixa-0": {"payments": [*right[:1], {"id": "p-2", "amount": 1}]}})


def written(name: str, **raw: Any) -> LogRow:
    terminal, operation = name.split("/")
    body = orjson.dumps({"operation": "UPDATE", **raw})
    return LogRow(1, "operation", 0, *SLIP, operation, terminal, operation=body)


def vanished(*more: LogRow, conflicts: tuple[dict[str, Any], ...] = (), **second: Any) -> list[str]:
    """Of two amounts that two tills wrote on one slip, of which the second is shown: what is said of the first."""
    edits = {
        "t/op-1": Edit(SLIP, "amount", 101, frozenset(), whole=False),
        "u/op-1": Edit(SLIP, "amount", 102, second.get("seen", frozenset()), whole=False, **second.get("as_", {})),
    }
    rows = [written(name) for name in edits]
    view = {"cashier_operations": {"mov-0": {"amount": 102}}}
    return list(disputed([*rows, *more], conflicts, view, edits, second.get("refused", ())))


def test_a_disputed_fact_is_shown_or_open_or_replaced_or_decided() -> None:
    candidates = [{"terminal_id": "t", "operation_id": "op-1"}, {"terminal_id": "u", "operation_id": "op-1"}]
    decision = {"resolves": "c", "conflict": {"path": ["amount"], "operations": ["t/op-1", "u/op-1"]}}
    assert len(vanished()) == 1
    assert not vanished(conflicts=({"path": ["amount"], "candidates": candidates},))
    assert not vanished(conflicts=({"path": [], "candidates": candidates},)), "the whole entity is disputed"
    assert len(vanished(conflicts=({"path": ["type"], "candidates": candidates},))) == 1
    assert not vanished(written("t/resolution", **decision))
    assert not vanished(written("u/op-9", operation="DELETE"))
    assert not vanished(seen=frozenset(["t/op-1"]))
    assert not vanished(as_={"doubtful": True})
    assert not vanished(refused={"t/op-1"})


def moved(*told: str, live: bool = True, seen: tuple[str, ...] = ()) -> list[str]:
    """A line that t moved from one tab to the other while u changed it; what is wrong if these are told of it."""
    ledger = Ledger()
    ledger.meant["t/1"] = Meant(adds=("two", "i"), removes=("one", frozenset("i")), seen=frozenset(seen))
    ledger.meant["u/1"] = Meant(changes=("one", "i"), quantity=Decimal(1))
    tab = {"items": [{"id": "i"}]}
    orders = {"one": tab if live else {"items": []}, "two": tab}
    conflict = {"path": ["items", "i"], "entity_id": "one", "also_in": "two"}
    message = orjson.dumps({"conflict": conflict})
    notice = LogRow(1, "notice", 0, "orders", "one", "c", targets=told, message=message)
    return list(in_two(ledger.moved(["t/1", "u/1"]), orders, [notice]))


def moved_by_two(*told: str, to: str = "three", seen: tuple[str, ...] = ()) -> list[str]:
    """A line that t and u moved from one tab, each to another."""
    ledger = Ledger()
    ledger.meant["t/1"] = Meant(adds=("two", "i"), removes=("one", frozenset("i")))
    ledger.meant["u/1"] = Meant(removes=("one", frozenset("i")), seen=frozenset(seen))
    ledger.meant["u/2"] = Meant(adds=(to, "i"))
    orders = {name: {"items": [{"id": "i"}]} for name in ("two", "three")}
    message = orjson.dumps({"conflict": {"path": ["items", "i"], "entity_id": "two", "also_in": "three"}})
    notice = LogRow(1, "notice", 0, "orders", "two", "c", targets=told, message=message)
    return list(in_two(ledger.moved([*ledger.meant]), orders, [notice]))


def test_of_a_line_that_two_moved_both_are_told() -> None:
    assert not moved_by_two("t", "u")
    assert moved_by_two("t")
    assert moved_by_two("u")
    assert not moved_by_two(to="two")
    assert not moved_by_two(seen=("t/1",))


def test_of_a_line_that_is_in_two_orders_both_authors_are_told() -> None:
    assert not moved("t", "u")
    assert moved("t")
    assert moved("u")
    assert not moved(live=False)
    assert not moved(seen=("u/1",))


def test_who_takes_a_line_off_and_much_later_puts_it_elsewhere_moved_it_not() -> None:
    ledger = Ledger()
    ledger.meant["t/op-1"] = Meant(removes=("one", frozenset("i")))
    ledger.meant["t/op-5"] = Meant(adds=("two", "i"))
    ledger.meant["u/op-1"] = Meant(changes=("one", "i"), quantity=Decimal(1))
    assert not [*ledger.moved([*ledger.meant])]
    ledger.meant["t/op-2"] = Meant(adds=("two", "i"))
    assert [*ledger.moved([*ledger.meant])]


def settled(to: str, path: tuple[str, ...], **sides: dict[str, Any]) -> LogRow:
    """A conflict of records of one line, the shown one first, by their authors. to: who is told of it."""
    candidates = [
        {"terminal_id": terminal, "operation_id": "op-1", "data": {"items": [{"id": "i", **said}], "version": number}}
        for number, (terminal, said) in enumerate(sides.items(), 1)
    ]
    conflict = {"id": "c", "state": "settled", "entity_id": "one", "path": path, "candidates": candidates}
    message = orjson.dumps({"conflict": {**conflict, "local_data": candidates[0]["data"]}})
    return LogRow(1, "notice", 0, "orders", "one", "c", targets=tuple(to), message=message)


LINE, STATUS = ("items", "i"), ("items", "i", "status")
DONE, SENT = {"status": "preparing"}, {"status": "sent"}


def test_whose_value_is_not_shown_is_told() -> None:
    assert [*told([settled("", STATUS, t=DONE, u=SENT)], Ledger())]
    assert not [*told([settled("u", STATUS, t=DONE, u=SENT)], Ledger())]
    assert not [*told([settled("", STATUS, t=SENT, u=SENT)], Ledger())]


def test_a_field_of_a_line_is_decided_by_itself_and_so_told() -> None:
    """Of the line as a whole t's is shown, and u has changed the status."""
    line = settled("", LINE, t={"quantity": 2, **SENT}, u={"quantity": 2, **DONE})
    assert [*told([line], Ledger())]
    assert not [*told([line, settled("u", STATUS, t=SENT, u=DONE)], Ledger())]
    assert not [*told([line, settled("t", STATUS, u=DONE, t=SENT)], Ledger())], "u lost nothing"
    also_another_quantity = settled("", LINE, t={"quantity": 3, **SENT}, u={"quantity": 2, **DONE})
    assert [*told([also_another_quantity, settled("t", STATUS, u=DONE, t=SENT)], Ledger())]


def test_what_somebody_said_that_it_had_read_is_not_forgotten() -> None:
    ledger = edited("t/1")
    ledger.readings["u/1"] = frozenset({"t/1"})
    ledger.forget(["u/1"])
    assert not ledger.edits["u/1"].seen
    assert ledger.read("u/1") == {"t/1"}


@pytest.mark.parametrize(
    ("changed", "lost"),
    [(("quantity",), False), (("note",), False), (("status",), True), (("quantity", "status"), True)],
)
def test_who_left_a_field_of_a_line_as_it_was_lost_nothing_in_it(changed: tuple[str, ...], lost: bool) -> None:
    """u sends all of the line, and t has changed the status meanwhile."""
    ledger, line = Ledger(), ("one", "i")
    quantity, status = Decimal("quantity" in changed), "sent" if "status" in changed else None
    ledger.meant["u/op-1"] = Meant(changes=line, quantity=quantity, status=status)
    if "note" in changed:
        ledger.edits["u/op-1"] = Edit(("orders", "one"), "items/i/note", "n-1", frozenset(), whole=False)
    found = settled("", LINE, t={"quantity": 2, **DONE}, u={"quantity": 2, **SENT})
    assert bool([*told([found], ledger)]) == lost


def test_who_changed_another_line_lost_nothing_in_this_one() -> None:
    """All lines are sent with it. Who put this one there has said what it is."""
    found, ledger = settled("", LINE, t={"quantity": 2, **DONE}, u={"quantity": 2, **SENT}), Ledger()
    for meant, lost in (
        (Meant(changes=("one", "j"), quantity=Decimal(1)), False),
        (Meant(removes=("one", frozenset("j"))), False),
        (Meant(adds=("one", "j"), quantity=Decimal(1)), False),
        (Meant(adds=("one", "i"), quantity=Decimal(1)), True),
        (Meant(changes=("another", "j"), quantity=Decimal(1)), True),
    ):
        ledger.meant["u/op-1"] = meant
        assert bool([*told([found], ledger)]) == lost, meant


def brought(seen: frozenset[str], fields: dict[str, Any] | None, *others: str) -> list[str]:
    """What is wrong where t brought an order back with a note, and this is shown of it."""
    rows = [LogRow(1, "operation", 0, *FORM, name.split("/")[1], name[0], updates=NOTED) for name in ("t/1", *others)]
    view = orjson.dumps(fields or {})
    entity = EntityRow(*FORM, deleted=fields is None, version=3, view=view, snapshot=b"", seen=b"", seq=1)
    return list(brought_back(rows, [entity], {"t/1": Restored(FORM, {"note": "x"}, seen)}, ()))


def test_what_was_brought_back_by_who_had_read_all_of_it_is_there_as_it_was() -> None:
    seen = frozenset({"u/1"})
    assert not brought(seen, {"note": "x"}, "u/1")
    assert brought(seen, None, "u/1")
    assert brought(seen, {"note": "y"}, "u/1")
    assert not brought(seen, None, "u/1", "u/2")


def test_a_replaced_value_may_be_shown_that_somebody_brought_back() -> None:
    ledger = edited("t/1")
    assert problems(ledger, orders={"ficha-0": {"a": "f-1"}})
    ledger.edits["v/1"] = Edit(FORM, "a", "f-1", frozenset(["t/1", "u/1"]), whole=False)
    assert not problems(ledger, orders={"ficha-0": {"a": "f-1"}})
    assert problems(ledger, orders={"ficha-0": {"a": "f-2"}})
