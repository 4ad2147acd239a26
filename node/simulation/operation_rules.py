"""What must hold of every operation: its time, what it may replace, how it counts; and of what a node says it holds.

Each function yields what is wrong, in words.
"""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any

import orjson

from crdt import hlc
from crdt.records import FieldRecord, name_of, parse_record, terminal_of
from crdt.update_format import decode_update, live_records
from node.core.keyring import VERIFIED
from node.core.log.entries import NO_POSITION
from node.simulation.intentions import lines_of
from node.wire.messages import effective_version
from storage.signer import MOST_UNSIGNED
from strategies.kinds.kind import ABSENT
from strategies.paths import DELETED_AT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from node.simulation.intentions import Deletion, Edit, Ledger, Moved, Restored
    from node.simulation.machine import Machine
    from node.simulation.terminal import Terminal
    from storage.records import ConflictRow, EntityRow, LogRow, PeerRow


def clamped(rows: Iterable[LogRow]) -> Iterator[str]:
    """Of operations that were written here: no terminal's clock takes one into the future."""
    for row in rows:
        if row.kind == "operation" and not row.via and row.stamp > row.accepted:
            ahead_ms = hlc.millis(row.stamp) - hlc.millis(row.accepted)
            yield f"{row.operation_id} counts as written {ahead_ms} ms after it was accepted"


def held(machine: Machine, row: PeerRow, base: Sequence[int], peer: Machine) -> Iterator[str]:
    """All that `peer` has numbered up to a position that is stored is stored too. base: where the positions began;
    what came before is left to comparisons."""
    if not peer.alive or peer.store.epoch != row.epoch:
        return
    mine = f"{machine.node_id}:{machine.store.epoch}"
    wanted: dict[int, LogRow] = {}
    for priority, (since, upto) in enumerate(zip(base, row.positions, strict=True)):
        if since != NO_POSITION:
            rows = peer.reader.rows(priority, since, upto, upto)
            wanted |= {r.link_key: r for r in rows if r.link_key is not None and r.via != mine}
    if not wanted:
        return
    found = {key for _, key in machine.reader.places(list(wanted))} | {row.link_key for row in machine.archived}
    missing = {(key, r.operation_id) for key, r in wanted.items() if key not in found}
    if missing:  # not by the node's own connection, which may be made to fail
        parked = machine.reader.parked()
        missing -= {(entry.link_key, entry.operation_id) for entry in parked}
    for _, operation_id in sorted(missing):
        yield f"{operation_id} counts as held, up to {row.positions} of {row.node_id}, and is not stored"


def proven(rows: Iterable[LogRow], late: Collection[int]) -> Iterator[str]:
    """Every node has a key here: whatever came over a link was signed by the node that accepted it, and of what was
    accepted here only the last operations wait for a signature.

    late: rows that were signed after they were stored.
    """
    waiting: list[LogRow] = []
    for row in rows:
        signed = bool(row.proof) or row.seq in late
        if row.via and (row.signed != VERIFIED or not signed):
            yield f"row {row.seq}, {row.name} of {row.origin}, is {row.signed or 'not signed'}"
        elif not row.via and not row.seal:
            yield f"row {row.seq}, {row.name}, has no seal"
        elif not signed:
            waiting.append(row)
        elif waiting:
            yield f"row {row.seq}, {row.name}, is signed, and row {waiting[0].seq} is not"
    if len(waiting) >= MOST_UNSIGNED:
        yield f"{len(waiting)} operations wait for a signature"


def named(rows: Iterable[LogRow]) -> Iterator[str]:
    """A name, of a terminal and its id, is that of one operation, however many nodes it was sent to."""
    first: dict[str, LogRow] = {}
    for row in rows:
        other = first.setdefault(row.name, row)
        what, before = ((r.entity_type, r.entity_id, r.targets) for r in (row, other))
        if what != before:
            yield f"{row.name} names two operations, on {before} and on {what}"


def counted(
    rows: Iterable[LogRow], entities: Iterable[EntityRow], only_archived: Iterable[LogRow] = ()
) -> Iterator[str]:
    """Every operation of somebody makes a version; exactly one where no version is named that runs ahead.

    only_archived: rows of a database that was set back behind their archive. Others may have got them with their
        entity, whole.
    """
    counts, perhaps = dict[tuple[str, str], int](), dict[tuple[str, str], int]()
    ahead: set[tuple[str, str]] = set()
    for row, counting in (*((row, counts) for row in rows), *((row, perhaps) for row in only_archived)):
        operation = orjson.loads(row.operation)
        if "repairs" in operation:
            continue
        data = operation.get("data") or {}
        parts = [item["data"] for item in data["updates"]] if operation["operation"] == "BULK_UPDATE" else [data]
        version = operation.get("version")
        runs_ahead = any((effective_version(part, version, operation["operation"]) or 0) > 1 for part in parts)
        for entity_type, entity_id, *_ in orjson.loads(row.updates):
            key = (entity_type, entity_id)
            counting[key] = counting.get(key, 0) + 1
            if runs_ahead:
                ahead.add(key)
    for entity in entities:
        key = (entity.entity_type, entity.entity_id)
        least = counts.get(key, 0)
        if entity.version < least or (entity.version > least + perhaps.get(key, 0) and key not in ahead):
            yield f"{' '.join(key)} has version {entity.version} after {least} operations"


def deleted_silently(states: Iterable[LogRow]) -> set[tuple[str, str]]:
    """Entities that came to a node whole and deleted where it had shown nothing of them: nobody there is told."""
    nothing: dict[str, object] = {"before": {}, "after": {}}
    return {
        (row.entity_type, row.entity_id)
        for row in states
        if row.entity_id is not None and orjson.loads(row.changes) == nothing
    }


def replaced(
    rows: Iterable[LogRow],
    terminals: Mapping[str, Terminal],
    ledger: Ledger,
    silent: Mapping[str, Collection[tuple[str, str]]],
) -> Iterator[str]:
    """A write replaces nothing of other terminals but what its author was sent or had read before, or a deletion that
    its node had no need to tell of. The decision of a conflict replaces of what is disputed what the conflict names.

    silent: by node, what was `deleted_silently` there.
    """
    records: dict[tuple[str, str, int, int], FieldRecord] = {}
    kills: list[tuple[LogRow, tuple[str, str], Mapping[int, Any]]] = []
    for row in rows:
        for entity_type, entity_id, update, *_ in orjson.loads(row.updates):
            decoded = decode_update(b64decode(update))
            for insert in decoded.inserts:
                record = parse_record(insert.client, insert.clock, insert.text)
                if isinstance(record, FieldRecord):
                    records[entity_type, entity_id, record.writer, record.clock] = record
            kills.append((row, (entity_type, entity_id), decoded.deletes))
    for row, key, deletes in kills:
        terminal, raw = terminals.get(row.terminal_id), orjson.loads(row.operation)
        if "resolves" in raw:
            path, seen = tuple(raw["conflict"]["path"]), raw["conflict"]["operations"]
        elif terminal is None or row.operation_id not in terminal.wrote or row.name in ledger.claims:
            continue
        else:
            path, seen = None, terminal.received[: terminal.wrote[row.operation_id]]
            if "restores" in raw:
                seen = [*seen, *ledger.read(row.name)]
        if key in seen:
            continue  # it was sent the whole entity
        for writer, ranges in deletes.items():
            for clock in (clock for first, length in ranges for clock in range(first, first + length)):
                killed = records.get((*key, writer, clock))
                if killed is None or path not in (None, killed.path):
                    continue
                if killed.path == DELETED_AT and key in silent.get(row.origin, ()):
                    continue
                if killed.terminal != row.terminal_id and killed.name not in seen:
                    yield f"{row.operation_id} replaces {killed.path} of {killed.operation}, unseen by its author"


def hidden(rows: Iterable[LogRow], entities: Iterable[EntityRow], deletions: Mapping[str, Deletion]) -> Iterator[str]:
    """What somebody deleted who had seen all that was ever written to it is not shown."""
    written: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        for entity_type, entity_id, *_ in orjson.loads(row.updates):
            written.setdefault((entity_type, entity_id), set()).add(row.name)
    shown = {(entity.entity_type, entity.entity_id) for entity in entities if not entity.deleted}
    for operation, deletion in deletions.items():
        operations = written.get(deletion.entity, set())
        if operation in operations and operations - {operation} <= deletion.seen and deletion.entity in shown:
            yield f"{' '.join(deletion.entity)} is shown after {operation}, which deleted all that there was"


ONE_VALUE = "cashier_operations"
"""The type whose entities are one value each."""

NOT_OVER = frozenset({"version", "deleted_at", "status"})
"""No fields; and one that may be final, and then outlives a deletion."""


def reborn(
    rows: Iterable[LogRow],
    entities: Iterable[EntityRow],
    births: Mapping[tuple[str, str], Mapping[str, frozenset[str]]],
) -> Iterator[str]:
    """An entity that somebody created again shows nothing of what its author had seen before it was deleted.

    births: by entity, the operations that created it where it was gone, and what their authors had seen.
    """
    writers: dict[tuple[str, str], dict[str, set[str]]] = {}
    for row in rows:
        operation = orjson.loads(row.operation)
        data = operation.get("data") or {}
        items = [(row.entity_id, data)] if row.entity_id else [(i["entity_id"], i["data"]) for i in data["updates"]]
        for entity_id, fields in items:
            for name in fields:
                writers.setdefault((row.entity_type, str(entity_id)), {}).setdefault(name, set()).add(row.name)
    for entity in entities:
        key = (entity.entity_type, entity.entity_id)
        for operation, seen in births.get(key, {}).items():
            of = writers.get(key, {})
            if operation not in set().union(*of.values()):
                continue
            # Of what is one value, whoever had not seen the deletion wrote all of it again.
            whole = set().union(*of.values()) if entity.entity_type == ONE_VALUE else set[str]()
            others = {one for one in whole if terminal_of(one) != terminal_of(operation)}
            for name in sorted(orjson.loads(entity.view).keys() & of.keys() - NOT_OVER):
                if of[name] | others <= seen:
                    yield f"{' '.join(key)} shows {name}, which was over when {operation} created it again"


def brought_back(
    rows: Iterable[LogRow],
    entities: Iterable[EntityRow],
    restored: Mapping[str, Restored],
    refused: Collection[str],
) -> Iterator[str]:
    """What somebody brought back who had read all that was ever written to it is there, as it was.

    refused: operations that were refused at first.
    """
    written: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        for entity_type, entity_id, *_ in orjson.loads(row.updates):
            written.setdefault((entity_type, entity_id), set()).add(row.name)
    views = {(e.entity_type, e.entity_id): orjson.loads(e.view) for e in entities if not e.deleted}
    for operation, act in restored.items():
        operations = written.get(act.entity, set())
        if operation not in operations or operation in refused or operations - {operation} - act.seen:
            continue
        shown = views.get(act.entity, {})
        if wrong := {name for name, value in act.data.items() if name != "version" and shown.get(name) != value}:
            yield f"{' '.join(act.entity)}: {operation} brought it back, and {sorted(wrong)} are not as they were"


PLACES_KEPT = 8
"""By so much a rank is less than when something was accepted, as long as an evening goes."""


def ranked(rows: Iterable[LogRow], entities: Iterable[EntityRow]) -> Iterator[str]:
    """Who was first is told by when something was accepted, by whichever node. Each time that somebody replaces the
    shown one of two values of one rank, it is one less."""
    moments = {row.accepted - n for row in rows for n in range(PLACES_KEPT)}
    for entity in entities:
        for writer, clock, text in live_records(entity.snapshot)[0]:
            record = parse_record(writer, clock, text)
            if isinstance(record, FieldRecord) and record.rank not in moments:
                yield f"{record.path} of {record.operation} ranks as of {record.rank}, when nothing was accepted"


NOT_KEPT = frozenset({"version", "deleted_at", "discount"})
"""No fields; and one that is one value with another field, which somebody may write alone."""


def kept(rows: Iterable[LogRow], entities: Iterable[EntityRow]) -> Iterator[str]:
    """What somebody wrote and nobody deleted is there: every field of it, or of what is one value, some of it."""
    written: dict[tuple[str, str], set[str]] = {}
    deleted: set[tuple[str, str]] = set()
    for row in rows:
        operation = orjson.loads(row.operation)
        data = operation.get("data") or {}
        items = [(row.entity_id, data)] if row.entity_id else [(i["entity_id"], i["data"]) for i in data["updates"]]
        for entity_id, fields in items:
            key = (row.entity_type, str(entity_id))
            written.setdefault(key, set()).update(fields.keys() - NOT_KEPT)
            if operation["operation"] == "DELETE":
                deleted.add(key)
    views = {(entity.entity_type, entity.entity_id): orjson.loads(entity.view) for entity in entities}
    for key, names in written.items():
        view = views.get(key, {})
        gone = sorted(names - view.keys())
        if key not in deleted and gone and (key[0] != "cashier_operations" or len(gone) == len(names)):
            yield f"{' '.join(key)} shows nothing of {', '.join(gone)}, which somebody wrote and nobody deleted"


UNDECIDED = ("customers", "cashier_operations")
"""Of what is disputed here no rule decides: people do."""


def disputed(
    rows: Iterable[LogRow],
    conflicts: Iterable[Mapping[str, Any]],
    view: Mapping[str, Mapping[str, Mapping[str, Any]]],
    edits: Mapping[str, Edit],
    refused: Collection[str],
) -> Iterator[str]:
    """A fact is shown, or disputed still, or was replaced by somebody who had seen it, or was decided about.

    conflicts: the open ones, as terminals are told. refused: operations that were refused at first.
    """
    held, settled = set(), set[tuple[str, str]]()
    for row in rows:
        held.add(row.name)
        raw = orjson.loads(row.operation)
        if "resolves" in raw:
            settled |= {(name, "/".join(raw["conflict"]["path"])) for name in raw["conflict"]["operations"]}
        if raw["operation"] == "DELETE":
            edits = {o: e for o, e in edits.items() if e.entity != (row.entity_type, row.entity_id)}
    for conflict in conflicts:
        path = "/".join(conflict["path"])
        settled |= {(name_of(c["terminal_id"], c["operation_id"]), path) for c in conflict["candidates"]}
    found = {o: e for o, e in edits.items() if o in held and e.entity[0] in UNDECIDED}
    for operation, edit in found.items():
        registers = {(operation, edit.field), (operation, "")}  # of this field, or of the whole entity
        if operation in refused or registers & settled or edit.shown(view) == edit.value:
            continue
        others = [o for o, e in found.items() if o != operation and _replaces(e, edit)]
        if not any(operation in found[o].seen or found[o].doubtful or _later(o, operation) for o in others):
            what = f"{' '.join(edit.entity)}: {operation} made {edit.field} {edit.value}"
            yield f"{what}, which is neither shown nor disputed, and nobody replaced it"


def _replaces(edit: Edit, other: Edit) -> bool:
    """Whether an edit may replace another one's value: of the same field, or of the whole entity where nobody can say
    what of it is a copy."""
    return edit.entity == other.entity and (edit.field == other.field or (edit.whole and edit.doubtful))


def _later(name: str, other: str) -> bool:
    """Whether an operation is a later one of the same terminal."""
    (terminal, number), (author, earlier) = (n.rsplit("/op-", 1) for n in (name, other))
    return terminal == author and int(number) > int(earlier)


def reasons(rows: Iterable[LogRow], closed: Iterable[ConflictRow]) -> Iterator[str]:
    """Why somebody decided a conflict so: whoever answers it is told what the decision itself says."""
    said = {row.name: orjson.loads(row.operation).get("reason") for row in rows}
    for conflict in closed:
        outcome = orjson.loads(conflict.outcome or b"{}")
        name = f"{outcome.get('terminal_id')}/{outcome.get('operation_id')}"
        if outcome.get("resolution") != "superseded" and name in said and outcome.get("reason") != said[name]:
            yield f"{conflict.conflict_id} was decided as {said[name]!r}, and {outcome} is told"


def in_two(
    moved: Iterable[Moved], orders: Mapping[str, Mapping[str, Any]], notices: Iterable[LogRow]
) -> Iterator[str]:
    """Of a line that is in two orders, as one terminal moved it while another changed or moved it, both are told.

    notices: of every node.
    """
    said = [(notice.targets, orjson.loads(notice.message).get("conflict") or {}) for notice in notices]
    told_of = {
        (target, conflict["path"][1], frozenset([conflict["entity_id"], conflict["also_in"]]))
        for targets, conflict in said
        if "also_in" in conflict
        for target in targets
    }
    for one in moved:
        if not all(any(item["id"] == one.line for item in lines_of(orders.get(name))) for name in one.orders):
            continue
        heard = {who for who in (one.mover, *one.others) if (who, one.line, frozenset(one.orders)) in told_of}
        if one.mover not in heard or not heard & one.others:
            yield f"{one} is in both orders, and only {sorted(heard)} are told"


def told(notices: Iterable[LogRow], ledger: Ledger) -> Iterator[str]:
    """Everybody whose value lost by rule is told. Copies of one operation, under two writers, are no loss of it.

    A field of a line that somebody changed is decided by itself, and told of by itself, whatever became of the line:
    whoever is told that it lost needs not be told again, and of whoever prevailed in it nothing was lost. Nor was of
    whoever left it as it was, and changed another one or another line.
    """
    found = [(notice.targets, orjson.loads(notice.message).get("conflict")) for notice in notices]
    settled = [(to, one) for to, one in found if one is not None and one["state"] == "settled"]
    decided = {
        (side["terminal_id"], side["operation_id"], tuple(one["path"]))
        for to, one in settled
        for side in one["candidates"]
        if side["terminal_id"] in to or _without_version(side["data"]) == _without_version(one["local_data"])
    }
    for to, conflict in settled:
        path, shown = tuple(conflict["path"]), _without_version(conflict["local_data"])
        if path == ("deleted_at",):
            continue
        sides = [((c["terminal_id"], c["operation_id"]), _without_version(c["data"])) for c in conflict["candidates"]]
        prevailing = {operation for operation, said in sides if said == shown}
        for operation, said in sides:
            if operation in prevailing or operation[0] in to:
                continue
            apart = ledger.changed_among(
                _apart(path, said, shown), name_of(*operation), (conflict["entity_id"], *path)
            )
            if not all((*operation, (*path, name)) in decided for name in apart):
                yield f"{operation[0]} is not told that it lost {conflict['id']}"


def _without_version(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "version"}


def _apart(path: Sequence[str], said: Mapping[str, Any], shown: Mapping[str, Any]) -> list[str]:
    """The fields in which what is said and shown of a line differ; of anything else, one that no line has."""
    if len(path) != 2:
        return [""]
    one, other = (
        {name: value for line in data.get(path[0]) or [] for name, value in line.items()} for data in (said, shown)
    )
    return [name for name in one.keys() | other.keys() if one.get(name, ABSENT) != other.get(name, ABSENT)]
