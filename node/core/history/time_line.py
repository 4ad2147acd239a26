"""The life of an entity, step by step: who did what, what it changed, and what of it did not stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crdt.records import name_of
from node.core.log.messages import why_refused
from node.wire.messages import reason_of
from strategies.strategy import OPEN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from node.core.history.steps import Step

LONGEST_WORD = 300
"""Of what another node's operation says of itself; an operation's name has at most 257 characters."""


def time_line(steps: Iterable[Step], conflicts: Sequence[Mapping[str, Any]]) -> list[dict[str, object]]:
    """The steps as `GET /api/v1/history` tells them (node/wire/protocol.md, "An entity's history").

    conflicts: those of the entity, as `conflict_details.details` has them.
    """
    lost: dict[str, list[dict[str, object]]] = {}
    for conflict in conflicts:
        for side in _lost(conflict):
            said = {name: value for name, value in side["data"].items() if name != "version"}
            how = conflict.get("decided", {"how": OPEN})
            entry = {"conflict_id": conflict["id"], "path": conflict["path"], "data": said, **_why(how)}
            lost.setdefault(_name(side), []).append(entry)
    return [_entry(step, lost.get(step.name, [])) for step in steps]


def _entry(step: Step, lost: list[dict[str, object]]) -> dict[str, object]:
    row, raw = step.row, step.raw
    entry = {**step.author(), "kind": row.kind, "operation": raw.get("operation"), "status": row.status}
    entry |= {"version": row.version, "changed": {name: _change(step, name) for name in step.changed()}}
    for name in ("resolves", "restores"):
        if isinstance(said := raw.get(name), str):
            entry[name] = said[:LONGEST_WORD]
    if (reason := reason_of(raw)) is not None:
        entry["reason"] = reason
    if row.kind == "refused":
        lost = [{"data": dict(step.written), "how": "refused", **why_refused(row)}]
    return {**entry, "discarded": lost}


def _change(step: Step, name: str) -> dict[str, object]:
    """What was shown `from` then, and `to`; a member that is not there: nothing."""
    sides = (("from", step.before), ("to", step.after))
    return {side: shown[name] for side, shown in sides if name in shown}


def _lost(conflict: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The sides whose value is not shown."""
    candidates: Sequence[Mapping[str, Any]] = conflict["candidates"]
    if conflict["state"] == OPEN:
        return list(candidates[1:])
    names = {_name(side) for side in conflict["decided"].get("lost", ())}
    return [side for side in candidates if _name(side) in names]


def _why(decided: Mapping[str, Any]) -> dict[str, object]:
    told = ("how", "at", "rule", "pt", "en", "by", "resolution", "reason")
    return {name: decided[name] for name in told if decided.get(name) is not None}


def _name(side: Mapping[str, Any]) -> str:
    return name_of(side["terminal_id"], side["operation_id"])
