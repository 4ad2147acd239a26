"""Whoever decides a conflict may have changed the entity since he was told of it. Every node takes what he wrote.

A walk over what is disputed, what came since, and what is decided. All cases live side by side in one mesh.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import Client
from tests.mesh import Mesh, audit, shown
from tests.scenarios.evening import CONFIG
from tests.slices import part

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    Write = tuple[str, dict[str, Any]]

LINES = [{"id": "i-1", "qty": 1}, {"id": "i-2", "qty": 1}]
DELETION: Write = ("DELETE", {})
BASES: Mapping[str, dict[str, Any]] = {
    "customers": {"a": 0, "b": 0},
    "orders": {"status": "pending", "items": LINES, "total": 2, "discount": 0, "a": 0},
    "cashier_operations": {"a": 0, "b": 0},
}
DISPUTES: Mapping[str, list[tuple[Write, Write]]] = {
    "customers": [(("UPDATE", {"a": 1}), ("UPDATE", {"a": 2})), (DELETION, ("UPDATE", {"a": 2, "c": 2}))],
    "orders": [
        (("UPDATE", {"total": 3}), ("UPDATE", {"discount": 1})),
        (DELETION, ("UPDATE", {"items": [{"id": "i-1", "qty": 5}, LINES[1]]})),
    ],
    "cashier_operations": [(("UPDATE", {"a": 1}), ("UPDATE", {"b": 2})), (DELETION, ("UPDATE", {"b": 2}))],
}
SINCE: list[list[Write]] = [
    [],
    [("UPDATE", {"a": 3})],
    [("UPDATE", {"a": 3, "b": 3, "total": 5, "items": [{"id": "i-3", "qty": 1}]})],
    [DELETION],
    [DELETION, ("CREATE", {"a": 4, "items": LINES[:1]})],
]
DECISIONS: list[tuple[str, dict[str, Any] | None]] = [
    ("accept_local", None),
    ("accept_remote", None),
    ("merge", {"a": 7}),
    ("merge", {"b": 7, "total": 7, "items": [{"id": "i-2", "qty": 7}]}),
    ("merge", {"deleted_at": "2026-01-15T10:00:00.000Z"}),
]


@pytest.mark.parametrize("entity_type", DISPUTES)
def test_what_is_decided_late_is_taken_everywhere(
    tmp_path: Path, entity_type: str, kept_out: list[tuple[str, str]]
) -> None:
    mesh = Mesh(tmp_path, 3, [(1, 0, True), (2, 0, True)], config=CONFIG)
    names = ("gil", "ana", "bia")
    _, left, right = terminals = [Client(w, name).connect() for w, name in zip(mesh.worlds, names, strict=True)]

    def meet() -> None:
        mesh.settle(lambda: sum(terminal.receive() for terminal in terminals))

    def write(terminal: Client, number: int, write: Write) -> None:
        kind, data = write
        terminal.write(entity_type, f"e-{number}", kind, {n: v for n, v in data.items() if n in BASES[entity_type]})

    crossed = itertools.product(DISPUTES[entity_type], SINCE, (left, right), DECISIONS)
    cases = list(enumerate(part(crossed, 3, entity_type)))
    for number, _ in cases:
        write(left, number, ("CREATE", BASES[entity_type]))
    meet()
    for wire in mesh.wires:
        wire.cut()
    for number, ((one, other), *_) in cases:
        write(left, number, one)
        write(right, number, other)
    meet()
    told = {conflict["entity_id"]: conflict["id"] for m in right.of("sync_conflict") if (conflict := m["conflict"])}
    assert len(told) == len(cases)
    for wire in mesh.wires:
        wire.cut()
    for number, (_, since, terminal, (side, resolved)) in cases:
        for what in since:
            write(terminal, number, what)
        message = {"type": "conflict_resolution", "conflict_id": told[f"e-{number}"], "resolution": side}
        terminal.send(message if resolved is None else message | {"resolved_data": resolved})
    meet()
    assert not [(cases[int(entity_id[2:])], reason) for entity_id, reason in kept_out]
    first, *others = mesh.worlds
    assert all(shown(world) == shown(first) and audit(world) == audit(first) for world in others)
    mesh.close()
