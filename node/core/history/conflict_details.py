"""A conflict for the person who decides it, or asks how it was decided: who wrote each value, what there was before,
what it holds up, what was kept and what was not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from crdt.classes import frozen
from crdt.json_values import equal
from crdt.records import name_of
from node.core.history.steps import Step, last_changes, whole
from strategies.explain import DELETED, REVIVED, decides
from strategies.kinds.keyed_list import KeyedList, keyed
from strategies.kinds.kind import ABSENT, Kind, Rule
from strategies.paths import DELETED_AT, is_element
from strategies.strategy import OPEN

if TYPE_CHECKING:
    from crdt.records import Path
    from storage.records import ConflictRow
    from strategies.policy import EntityPolicy

BESIDE = ("version",)
"""What each side of a conflict says beside the fields in question."""

REPLACED = "replaced"

MOST_REFUSED = 100
"""Refused writes that are counted, at most."""


@frozen(kw_only=True)
class Findings:
    """What the log tells of a conflict.

    steps: by name, the operations that collided and the one that ended it, as far as their rows are here.
    earlier: what was done to the entity before they came, the latest first.
    refused: writes to the entity that were refused since, at most MOST_REFUSED.
    users: entities that use the one that is in conflict, see `uses`.
    """

    steps: Mapping[str, Step]
    earlier: Iterable[Step] = ()
    refused: int = 0
    users: Sequence[Mapping[str, object]] = ()


def names_in(row: ConflictRow) -> list[str]:
    """The operations that collided, and the one that ended it, by name."""
    outcome = orjson.loads(row.outcome) if row.outcome else {}
    ended = [name_of(outcome["terminal_id"], outcome["operation_id"])] if "terminal_id" in outcome else []
    return [*row.operations, *ended]


def first_of(row: ConflictRow, steps: Mapping[str, Step]) -> Step | None:
    """The first of the operations that collided to come to this node."""
    found = [steps[name] for name in row.operations if name in steps]
    return min(found, key=lambda step: step.row.seq) if found else None


def details(row: ConflictRow, policy: EntityPolicy, findings: Findings) -> dict[str, object]:
    """The conflict as in `sync_conflict`, with all of this (node/wire/protocol.md, "A conflict over HTTP")."""
    body: dict[str, Any] = orjson.loads(row.body)
    raised, path, steps = body["state"], tuple(body["path"]), findings.steps
    body["state"] = row.state
    candidates = [{**side, **_author(side, steps)} for side in body["candidates"]]
    body |= {"priority": policy.priority, "candidates": candidates}
    first = first_of(row, steps)
    if first is not None:
        body["before"] = _before(first, findings.earlier, _fields(candidates), path, policy)
    if row.state == OPEN:
        body["holds"] = {
            "frozen": policy.strategy.freezes,
            "since": row.created_at,
            "refused": findings.refused,
            "used_by": list(findings.users),
        }
    else:
        body["decided"] = _decided(row, raised, candidates, path, policy, steps)
    return body


def _author(side: Mapping[str, Any], steps: Mapping[str, Step]) -> dict[str, object]:
    """Who wrote a side, from its row. What counts of the time stays as the conflict has it."""
    step = steps.get(name_of(side["terminal_id"], side["operation_id"]))
    said = dict.fromkeys(("user_id", "node", "terminal_timestamp", "clock", "arrived_at", "seq"), None)
    author = step.author() if step is not None else said
    return {name: value for name, value in author.items() if name not in side}


def _fields(candidates: Sequence[Mapping[str, Any]]) -> list[str]:
    named = (name for side in candidates for name in side["data"])
    return [name for name in dict.fromkeys(named) if name not in BESIDE]


def _before(
    first: Step, earlier: Iterable[Step], names: Sequence[str], path: Path, policy: EntityPolicy
) -> dict[str, object]:
    """By field, what was shown before the first of them came, and who had written it; null where nobody is known."""
    part = partial(_line, policy.kinds.at(path), path[1]) if is_element(path) else whole
    by = last_changes(earlier, names, part)
    found: dict[str, object] = {}
    for name in names:
        value = part(first.before.get(name, ABSENT))
        author = by[name].author() if name in by else None
        found[name] = {"value": None if value is ABSENT else value, "absent": value is ABSENT, "by": author}
    return found


def _line(kind: Kind, key: str, value: object) -> object:
    """A list as far as it is one of its lines."""
    lines = keyed(value, kind.declared.key) if isinstance(kind, KeyedList) else None
    return [lines[key]] if lines is not None and key in lines else ABSENT


def _decided(
    row: ConflictRow,
    raised: str,
    candidates: Sequence[Mapping[str, Any]],
    path: Path,
    policy: EntityPolicy,
    steps: Mapping[str, Step],
) -> dict[str, object]:
    """How it ended: by a rule, a person, an ordinary write, or a conflict of more operations that took its place."""
    outcome = orjson.loads(row.outcome) if row.outcome else {}
    if "replaced_by" in outcome:
        return {"how": REPLACED, "replaced_by": outcome["replaced_by"]}
    end = steps.get(name_of(outcome["terminal_id"], outcome["operation_id"])) if "terminal_id" in outcome else None
    resolution = outcome.get("resolution")
    by_person = resolution not in (None, "superseded")
    said: dict[str, object] = {"how": "person" if by_person else "rule" if raised != OPEN else "write"}
    if by_person:
        said |= {"resolution": resolution, "reason": outcome.get("reason")}
    if said["how"] == "rule":
        kept = _same_as(candidates[0]["data"], candidates)
        rule = _rule(candidates, path, policy)
        said["rule"] = {"strategy": policy.strategy.name, "why": rule.code}
        said |= {language: getattr(rule, language).format(n=len(candidates)) for language in ("pt", "en")}
        arrived = [str(side["arrived_at"]) for side in candidates if side.get("arrived_at")]
        said["at"] = max(arrived, default=row.created_at)  # the rule decided once both were here
    else:
        kept, said["at"] = [], None if end is None else end.arrived_at
        if end is not None:
            shown = {name: end.after.get(name) for name in _fields(candidates)}
            kept = _same_as(shown, candidates)
            said |= {"by": end.author(), "data": shown}
    said["kept"] = [_named(side) for side in kept]
    said["lost"] = [_named(side) for side in candidates if side not in kept]
    return said


def _rule(candidates: Sequence[Mapping[str, Any]], path: Path, policy: EntityPolicy) -> Rule:
    if path == DELETED_AT:
        return DELETED if candidates[0]["data"].get("deleted_at") else REVIVED
    return decides(policy, path)


def _same_as(data: Mapping[str, object], candidates: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The sides that say the same."""
    return [
        side
        for side in candidates
        if all(name in BESIDE or equal(value, data.get(name)) for name, value in side["data"].items())
    ]


def _named(side: Mapping[str, Any]) -> dict[str, object]:
    """The operation: `explain --restore` brings what it wrote back."""
    return {"terminal_id": side["terminal_id"], "operation_id": side["operation_id"]}


# ---------------------------------------------------------------------- who uses an entity


def uses(shown: Mapping[str, object], policy: EntityPolicy, field: str, ids: Collection[str]) -> set[str]:
    """Which of these ids an entity names in a field, also of the lines of a list; none once it is final.

    field: as `reference_field` gives it.
    """
    for name in policy.kinds.finals:
        if policy.kinds.of(name).final(shown.get(name)):
            return set()
    places: list[object] = [shown]
    for value in shown.values():
        if isinstance(value, list):
            places += value
    named = [place.get(field) for place in places if isinstance(place, dict)]
    return {name for name in named if isinstance(name, str) and name in ids}  # a record may hold anything there


def reference_field(entity_type: str) -> str:
    """The field in which other entities name one of a type: `customer_id` for `customers`."""
    return f"{entity_type.removesuffix('s')}_id"
