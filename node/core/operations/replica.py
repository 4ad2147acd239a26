"""Lock, version, document, strategy: what becomes of an operation on this node.

The replica decides and collects; it neither stores nor sends. Every accepted operation ends as one log row in the
current `Group`, together with the entity's new state, the conflicts it raised or closed and the answers that may
leave once the group is durable.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING

import orjson
from attrs import define, evolve, field

from crdt import hlc
from crdt.decimals import total_of
from crdt.records import NewField
from node.core.entities.change import ConflictNews
from node.core.entities.difference import Before, Difference, difference
from node.core.entities.entity import Entity, keys_of
from node.core.entities.field_writes import Authorship, Plan, Stamp
from node.core.entities.writes import RESERVED, Planner
from node.core.locks.lease import Held
from node.core.locks.table import LockTable
from node.core.log.group import Group
from node.core.log.messages import current_message
from node.core.log.rows import (
    blank_row,
    changes_of,
    rendered,
    resolution_id,
    resolution_operation,
    storage_error,
    update_entry,
)
from node.core.operations import held
from node.core.operations.author import Author, absent
from node.core.operations.conflicts import live_conflict
from node.core.operations.memory import Memory
from node.core.operations.notices import refuse, tell
from node.errors import ConflictResolutionFailed, EntityNotFound, InvalidMessage, LockTimeout
from node.wire import outgoing
from node.wire.json_text import kept
from node.wire.messages import ConflictResolution, Operation, effective_version
from storage.records import LogRow, Try, key64, link_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crdt.edits import Edit
    from crdt.records import FieldRecord, Path
    from node.core.ports import Instant
    from strategies.policy import EntityPolicy


@define(eq=False)
class Planned:
    """What an operation will do to one entity. written: the fields it names with their values; unseen: whether
    something its author had not seen is live there."""

    entity: Entity
    plan: Plan
    written: Mapping[str, object]
    unseen: bool


def _late(author: Author, entity: Entity, stamp: Stamp) -> bool:
    """Whether an author writes to an entity after what it wrote there later, by its own clock: the node could not
    store it at first, and was started again since. Its screen shows what was written last."""
    return any(r.terminal == author.terminal_id and r.stamp > stamp.stamp for r in entity.document.records())


@define(eq=False, kw_only=True)
class Replica(Memory):
    """One node's state and its log's head. `head` counts rows given out, `committed` durable ones."""

    locks: LockTable
    clock: hlc.HybridClock
    head: int
    committed: int
    started_at: int = 0
    """The log's head when this node started."""
    group: Group = field(factory=Group)
    offset_ms: int = 0
    """How far the upstream's clock is ahead of this node's; stamps are made with it."""

    # ------------------------------------------------------------------ operations

    def accept(self, operation: Operation, author: Author, now: Instant) -> None:
        """Decide a `data_sync`. Raises WireError where it is refused outright; everything else is in the group."""
        policy = self.registry.get(operation.entity_type)
        if policy is None:
            raise EntityNotFound(f"unknown entity type {operation.entity_type!r}", "$.operation.entity_type")
        if self._duplicate(operation, author):
            return
        author = self.as_it_was(operation, author)
        entities = [self.entity(key) for key in keys_of(operation)]
        lock_status = self._lock_status(policy, entities, operation, author, now)
        if lock_status is None:
            return
        blocked = next((c for e in entities if (c := e.view.frozen_by()) is not None), None)
        if blocked is not None:
            reason = f"{blocked.entity_type} {blocked.entity_id} has an open conflict {blocked.id}"
            refuse(self, operation, author, entities, now, reason, 4010, {"conflict_id": blocked.id})
            return
        stamp, skew = self._stamp(operation, author, now)
        try:
            plans = self._plans(operation, author, entities, stamp, now)
        except EntityNotFound as error:  # its author saw it deleted, and is shown again that it is
            refuse(self, operation, author, entities, now, error.reason, error.code, {"where": error.where})
            return
        self._record(operation, author, policy, plans, stamp, lock_status, now, skew)

    def trying(self, author: Author, entities: Sequence[Entity]) -> Try:
        """What this author knows of these entities now, should its operation not be stored."""
        if author.tried is not None:
            return author.tried
        priority = entities[0].policy.priority_class
        known = min(self.acknowledged(author, entity) for entity in entities)
        return Try(self.head, known, author.received(priority), author.began(priority), author.resumed)

    def not_tried(self, operation: Operation, author: Author) -> None:
        """An operation could not even be decided, and is to be sent again."""
        policy = self.registry.get(operation.entity_type)
        if policy is not None:
            priority = policy.priority_class
            known, received = author.acknowledged(priority), author.received(priority)
            tried = Try(self.committed, known, received, author.began(priority), author.resumed)
            self.note_try(author.terminal_id, operation.id, tried)

    def _duplicate(self, operation: Operation, author: Author) -> bool:
        """Answer an operation id that is already in the log. Raises InvalidMessage if it named another operation."""
        row = self.recent.get(operation.id)
        if row is None:
            return self._archived(operation, author)
        first = orjson.loads(row.operation)
        same = (
            row.terminal_id == author.terminal_id
            and first.get("entity_type") == operation.entity_type
            and first.get("entity_id") == operation.entity_id
            and first.get("operation") == operation.kind
            and first.get("data", {}) == operation.data
        )
        if not same:
            raise InvalidMessage(f"operation id {operation.id} already names another operation", "$.operation.id")
        self.counts.duplicates += 1
        self._confirm(author, row.operation_id, row.version, "duplicate", row.accepted, row.seq)
        if row.via:  # another node accepted it; here it may have been refused, and shown again by its author
            self._show_current(operation, author)
        return True

    def _show_current(self, operation: Operation, author: Author) -> None:
        """Send an author the entities of its operation as they are."""
        node_id, at = self.settings.node_id, hlc.iso(hlc.millis(self.clock.last))
        for entity in (self.entity(key) for key in keys_of(operation)):
            version, dead = entity.document.version, not entity.view.alive
            message = current_message(
                entity.policy, entity.key, entity.shown(), version, dead=dead, node_id=node_id, at=at
            )
            self.group.replies.append((author.recipient, message))
            # On its way like a row: what this terminal has written meanwhile is shown to it again after that.
            self.refusals[author.terminal_id, entity.policy.priority_class] = self.head + 1

    def _archived(self, operation: Operation, author: Author) -> bool:
        kept = held.repeated(self, operation, author.terminal_id)
        if kept is None:
            return False
        self.counts.duplicates += 1
        self._confirm(author, operation.id, kept.version, "duplicate", kept.accepted, 0)
        return True

    def _confirm(
        self, author: Author, operation_id: str, version: int, status: str, accepted: int, seq: int, **extra: object
    ) -> None:
        at = hlc.iso(hlc.millis(accepted))
        message = outgoing.sync_confirmation(operation_id, author.terminal_id, at, version, status, **extra)
        if seq <= self.committed and not self.group.replies:
            author.recipient.reply(message)
        else:
            self.group.replies.append((author.recipient, message))

    def _lock_status(
        self, policy: EntityPolicy, entities: Sequence[Entity], operation: Operation, author: Author, now: Instant
    ) -> str | None:
        """The audit's lock status, or None when the write was refused and kept."""
        if not policy.requires_lock:
            return "none"
        status = "unlocked"
        for entity in entities:
            verdict = self.locks.check(entity.key, author.terminal_id, operation.lock_id, now)
            if isinstance(verdict, Held):
                lease = verdict.lease
                after = " after your lock expired" if verdict.taken_over else ""
                details = {
                    "locked_by": lease.terminal,
                    "locked_until": hlc.iso(lease.expires_ms),
                    "reason": f"Already locked by {lease.terminal}{after}",
                }
                error = "Could not acquire entity lock"
                refuse(self, operation, author, entities, now, error, LockTimeout.code, details)
                return None
            status = verdict
        return status

    def _stamp(self, operation: Operation, author: Author, now: Instant) -> tuple[Stamp, int]:
        wall_ms = now.wall_ms + self.offset_ms
        accepted = self.clock.tick(wall_ms)
        skew = 0
        # Where this clock is ahead (the machine's was set back), the stamp is not: it must not win for that.
        ahead = hlc.millis(accepted) > wall_ms + self.settings.max_skew_ms
        stamp = hlc.pack(wall_ms) if ahead else accepted
        if operation.timestamp_us is not None:
            stamp, skew = hlc.stamp(operation.timestamp_us, wall_ms, self.settings.max_skew_ms)
        return Stamp(author.terminal_id, operation.id, stamp, accepted), skew

    def _plans(
        self, operation: Operation, author: Author, entities: Sequence[Entity], stamp: Stamp, now: Instant
    ) -> list[Planned]:
        """One plan an entity. Changes nothing."""
        if operation.kind == "BULK_UPDATE":
            items = [(item.data, effective_version(item.data, None, "UPDATE")) for item in operation.updates]
        else:
            version = effective_version(operation.data, operation.version, operation.kind)
            items = [(operation.data, version)]
        plans = []
        writer = self._writer(stamp, author)
        for entity, (data, version) in zip(entities, items, strict=True):
            if operation.kind != "DELETE" and data.get("deleted_at") is not None:
                raise InvalidMessage("deleted_at is written by DELETE", "$.operation.data.deleted_at")
            acknowledged = self.acknowledged(author, entity)
            tried = None if author.tried is None else author.tried.head
            seen = entity.seen_by(author.terminal_id, acknowledged, version, tried)
            unseen = not all(map(seen, entity.document.records()))
            planner = Planner(entity, writer, seen, version, self.settings.version_jump)
            if operation.kind == "DELETE":
                plans.append(Planned(entity, planner.delete(data, hlc.iso(now.wall_ms)), {}, unseen))
                continue
            plan = planner.write(data, create=operation.kind == "CREATE")
            written = {name: value for name, value in data.items() if name not in RESERVED}
            plans.append(Planned(entity, plan, written, unseen))
        return plans

    def _writer(self, stamp: Stamp, author: Author) -> Authorship:
        known, known_list = partial(self.last_known, author), partial(self.last_known_list, author)
        return Authorship(stamp, author.terminal_type, known, known_list)

    def _on_its_way(self, author: Author, entity: Entity) -> bool:
        """Whether something that shows this entity otherwise may reach the author after it wrote, or, where that was
        refused, after it wrote first: a row of it, or a refusal of another write of its own. Of refusals before this
        start nothing is known."""
        terminal, priority = author.terminal_id, entity.policy.priority_class
        sent = entity.seq if entity.seq <= author.resumed else entity.delivered_to(terminal)
        refused = self.refusals.get((terminal, priority), self.started_at)
        known, tried = author.received(priority), author.tried
        if tried is not None:
            if entity.seq > tried.head:
                return True
            known = min(known, tried.received)
        return max(sent, refused) > known

    def _record(
        self,
        operation: Operation,
        author: Author,
        policy: EntityPolicy,
        plans: Sequence[Planned],
        stamp: Stamp,
        lock_status: str,
        now: Instant,
        skew: int,
        resolution: ConflictResolution | None = None,
    ) -> None:
        """Carry the plans out in the documents; the row, the confirmation and the notices go into the group."""
        seq = self.head + 1
        news = ConflictNews()
        entities = [planned.entity for planned in plans]
        self.group.tries[author.terminal_id, operation.id] = self.trying(author, entities)
        bulk = operation.kind == "BULK_UPDATE"
        unacknowledged = any(self._on_its_way(author, e) or _late(author, e, stamp) for e in entities)
        carried_out = [self._edit(planned, operation.kind, seq, news) for planned in plans]
        changes = [change for change, _ in carried_out]
        merged = any(planned.unseen for planned in plans) and resolution is None
        status = news.status_of(operation.id) or ("merged" if merged else "applied")
        # Whoever resolves does not know the outcome: it gets its row back like everybody else.
        echo = unacknowledged or resolution is not None or not all(change.as_written for change in changes)
        version = max(entity.document.version for entity in entities)
        row = blank_row(
            "operation", kept(operation.raw), operation.id, operation.entity_type, operation.entity_id, policy
        )
        row.terminal_id, row.user_id = author.terminal_id, operation.user_id or author.user_id
        row.targets = tuple(entity.key[1] for entity in entities) if bulk else ()
        row.stamp, row.accepted, row.version = stamp.stamp, stamp.accepted, version
        row.status, row.lock_status, row.echo = status, lock_status, echo
        row.message = rendered(
            operation, author, policy, entities, changes, version, now.wall_ms, self.settings.node_id
        )
        audit = changes_of(entities, changes, bulk=bulk, skew=skew)
        if any(planned.plan.counts for planned in plans):
            audit["acknowledged"] = self.confirmed(author, entities[0])
            audit["counted"] = {p.entity.key[1]: {n: total_of(a) for n, a in p.plan.counts.items()} for p in plans}
        row.changes = kept(audit)
        edits = [edit for _, edit in carried_out]
        self._linked(row, [update_entry(p.entity.key, e, p.plan.counts) for p, e in zip(plans, edits, strict=True)])
        self.append(row)
        for entity, planned in zip(entities, plans, strict=True):
            entity.touched(seq, author.terminal_id, echo)
            acked = self.confirmed(author, entity)
            entity.movements.row_written(entity.view, seq, author.terminal_id, planned.written, acked, echo=echo)
            self.group.touched[entity.key] = entity
            self.known_entities.add(key64(*entity.key))
        self.remember_operation(row)
        self.counts.operations += 1
        extra: dict[str, object] = {"versions": {e.key[1]: e.document.version for e in entities}} if bulk else {}
        if skew:
            extra["clock_skew_ms"] = skew
        if resolution is not None:
            extra["conflict_id"] = resolution.conflict_id
        self._confirm(author, operation.id, version, status, stamp.accepted, seq, **extra)
        self.group.refusals.append((author.recipient, partial(storage_error, operation, author)))
        tell(self, news, policy, operation.id, author, stamp.accepted, resolution)

    def _linked(self, row: LogRow, entries: list[list[object]]) -> None:
        """What links need of an operation accepted here."""
        row.updates = kept(entries)
        row.origin, row.link_key = self.settings.node_id, link_key(row.operation_id, entries)

    def housekeep(
        self,
        entity: Entity,
        raw: Mapping[str, object],
        doomed: Sequence[FieldRecord],
        added: Sequence[tuple[Path, object]],
        now: Instant,
    ) -> None:
        """An operation of the node itself: it is no change of anybody's, so it makes no version."""
        seq, node_id = self.head + 1, self.settings.node_id
        operation_id, policy = str(raw["id"]), entity.policy
        at = self.clock.tick(now.wall_ms + self.offset_ms)
        version = entity.document.version
        fields = [NewField(path, value, at, node_id, operation_id, version, at, at) for path, value in added]
        paths = list(dict.fromkeys([*(record.path for record in doomed), *(path for path, _ in added)]))
        before, conflicts = Before.of(entity, paths), dict(entity.view.conflicts)
        edit = entity.document.edit(supersede=doomed, fields=fields, n=0)
        entity.changed(edit.removed, edit.added, seq)
        entity.view.refresh(entity.document, paths)
        news = ConflictNews()
        news.compare(conflicts, entity.view.conflicts)
        change = difference(before, entity, "UPDATE", (), {})
        row = blank_row("operation", kept(raw), operation_id, *entity.key, policy)
        row.terminal_id, row.stamp, row.accepted = node_id, at, at
        row.version, row.status, row.echo = entity.document.version, "applied", True
        shown = {**raw, "operation": change.kind, "data": change.data, "version": row.version, "user_id": None}
        row.message = outgoing.data_sync(shown)
        row.changes = kept(changes_of([entity], [change], bulk=False, skew=0))
        self._linked(row, [update_entry(entity.key, edit, {})])
        self.append(row)
        entity.touched(seq, row.terminal_id, True)
        entity.movements.row_written(entity.view, seq, None, {}, 0, echo=True)
        self.group.touched[entity.key] = entity
        self.remember_operation(row)
        author = absent(row.terminal_id)
        tell(self, news, policy, operation_id, author, row.accepted)

    def _edit(self, planned: Planned, kind: str, seq: int, news: ConflictNews) -> tuple[Difference, Edit]:
        """Carry a plan out in the document and bring the view up to date."""
        entity, plan = planned.entity, planned.plan
        touched = [*(r.path for r in plan.supersede), *(f.path for f in plan.fields), *((n,) for n in plan.counts)]
        paths = list(dict.fromkeys(touched))
        before = Before.of(entity, paths)
        conflicts = dict(entity.view.conflicts)
        document = entity.document
        edit = document.edit(supersede=plan.supersede, fields=plan.fields, n=plan.increment, counts=plan.counts)
        entity.changed(edit.removed, edit.added, seq)
        entity.view.refresh(entity.document, paths)
        news.compare(conflicts, entity.view.conflicts)
        return difference(before, entity, kind, plan.named, planned.written), edit

    # ------------------------------------------------------------------ resolution

    def resolve(self, message: ConflictResolution, author: Author, now: Instant) -> None:
        """Decide a `conflict_resolution`. Raises EntityNotFound (unknown), ConflictResolutionFailed (closed)."""
        operation_id = resolution_id(message)
        done = self.recent.get(operation_id)
        if done is not None:
            if orjson.loads(done.operation).get("resolves") != message.conflict_id:
                raise InvalidMessage(f"operation id {operation_id} already names another operation", "$.id")
            self.counts.duplicates += 1
            self._confirm(author, operation_id, done.version, "duplicate", done.accepted, done.seq)
            return
        row = self.conflicts.get(message.conflict_id)
        if row is None:
            raise EntityNotFound(f"unknown conflict {message.conflict_id}", "$.conflict_id")
        entity = self.entity((row.entity_type, row.entity_id))
        operation = resolution_operation(message, row, operation_id, author, now)
        if self._archived(operation, author):
            return
        conflict = live_conflict(entity.view, row)
        if conflict is None:
            raise ConflictResolutionFailed(
                f"conflict {message.conflict_id} is closed" + (f": {row.outcome.decode()}" if row.outcome else ""),
                "$.conflict_id",
                entity_type=row.entity_type,
                entity_id=row.entity_id,
            )
        if message.resolution == "merge" and not message.resolved_data:
            raise ConflictResolutionFailed("merge needs resolved_data", "$.resolved_data")
        lock_status = self._lock_status(entity.policy, [entity], operation, author, now)
        if lock_status is None:
            return
        stamp, skew = self._stamp(operation, author, now)
        seen = entity.seen_by(author.terminal_id, self.acknowledged(author, entity), None)
        writer = self._writer(stamp, author)
        planner = Planner(entity, writer, seen, None, self.settings.version_jump)
        plan = planner.resolve(conflict, message.resolution, message.resolved_data, hlc.iso(now.wall_ms))
        planned = Planned(entity, plan, {}, unseen=False)
        self._record(operation, author, entity.policy, [planned], stamp, lock_status, now, skew, message)

    # ------------------------------------------------------------------ commit

    def append(self, row: LogRow) -> None:
        """Number a row and put it into the current group."""
        self.head += 1
        row.seq = self.head
        self.group.commit.rows.append(row)

    def uncommitted(self) -> set[int]:
        """Link keys of operations whose rows are not durable yet."""
        latest = takewhile(lambda row: row.seq > self.committed, reversed(self.recent.values()))
        return {row.link_key for row in latest if row.link_key is not None}

    def take_group(self) -> Group:
        """The current group, sealed; a new one begins."""
        group, self.group = self.group, Group()
        group.seal()
        group.commit.meta["hlc"] = str(self.clock.last)
        group.commit.meta["hlc_steps"] = orjson.dumps(self.clock.steps).decode()
        return group

    def committed_group(self, group: Group) -> None:
        """The group is durable."""
        if group.rows:
            self.committed = group.rows[-1].seq
        self.forget_recent(self.committed)
        self.let_go(self.committed, self.group.touched)

    def write_as(self, writer: int) -> None:
        """From here on write under another Yjs client id."""
        self.writer = writer
        for entity in self.entities.values():
            entity.document.under(writer)

    def _not_stored(self, tries: Mapping[tuple[str, str], Try], row: LogRow) -> None:
        """A row is undone whose author may send its operation again: rows after the last commit never were."""
        key = (row.terminal_id, row.operation_id)
        if (tried := tries.get(key)) is not None:
            first = self.tried.get(key, tried)
            self.tried[key] = evolve(first, head=min(first.head, self.committed))

    def forget_uncommitted(self, groups: Sequence[Group], writer: int) -> None:
        """A commit failed: everything since the last success is undone in memory, under a fresh writer.

        Documents are dropped and read again from disk when next used.
        """
        self.writer = writer
        self.entities.clear()
        for group in groups:
            for row in group.rows:
                if row.kind == "operation":
                    self.recent.pop(row.operation_id, None)
                    self._not_stored(group.tries, row)
                elif row.kind == "refused":
                    self._not_stored(self.tried, row)
                if row.link_key is not None:
                    self.digests.discard(row.entity_type, row.link_key)
            held.forget(self, group.commit.archived)
        self.head = self.committed
        self.group = Group()
