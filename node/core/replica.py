"""Lock, version, document, strategy: what becomes of an operation on this node.

The replica decides and collects; it neither stores nor sends. Every accepted operation ends as one log row in the
current `Group`, together with the entity's new state, the conflicts it raised or closed and the answers that may
leave once the group is durable.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import orjson
from attrs import define, field, frozen

from crdt import hlc
from node.core.conflicts import ConflictNews, conflict_row
from node.core.entity import Entity, Key
from node.core.group import Group, Recipient
from node.core.locks import Held, LockTable
from node.core.render import Before, Difference, difference, state_message
from node.core.writes import Plan, Planner, Stamp
from node.errors import ConflictResolutionFailed, EntityNotFound, InvalidMessage, LockTimeout
from node.wire import outgoing_messages as outgoing
from node.wire.json_text import kept
from node.wire.messages import ConflictResolution, Operation, effective_version
from storage.records import ConflictRow, EntityRow, LogRow, key64
from strategies.conflict import Conflict
from strategies.policy import EntityPolicy, Registry
from strategies.registers import DELETED_AT, WHOLE

if TYPE_CHECKING:
    from crdt.document import Edit
    from node.core.instant import Instant

READS_KEPT = 100_000
"""Reads over HTTP remembered as seen; forgetting one only makes a later write of that terminal a sibling."""


@frozen
class Author:
    """Who sends an operation. acknowledged: log position confirmed so far, by priority class."""

    terminal_id: str
    terminal_type: str
    user_id: str | None
    acknowledged: Callable[[int], int]
    recipient: Recipient


@frozen
class Needs:
    """What must be read from disk before an operation can be decided."""

    entities: tuple[Key, ...] = ()
    operations: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


@frozen
class Settings:
    """Bounds and identity the replica works with."""

    node_id: str
    engine: str = "y_py"
    max_skew_ms: int = 60_000
    version_jump: int = 1_000
    recent_rows: int = 16_384
    resident_entities: int = 10_000


@define(eq=False)
class Counts:
    """Since the start: for the stats endpoint and the metrics."""

    operations: int = 0
    conflicts: int = 0
    conflicts_resolved: int = 0
    refused: int = 0
    duplicates: int = 0
    cache_hits: int = 0
    cache_misses: int = 0


@define(eq=False)
class Replica:
    """All entities of one node, and the log's head. `head` counts rows given out, `committed` durable ones."""

    settings: Settings
    registry: Registry
    locks: LockTable
    writer: int
    clock: hlc.Clock
    head: int
    committed: int
    known_entities: set[int]
    known_operations: set[int]
    entities: dict[Key, Entity] = field(factory=dict)
    recent: dict[str, LogRow] = field(factory=dict)
    conflicts: dict[str, ConflictRow] = field(factory=dict)
    open_conflicts: dict[Key, list[str]] = field(factory=dict)
    reads: dict[tuple[str, Key], int] = field(factory=dict)
    counts: Counts = field(factory=Counts)
    group: Group = field(factory=Group)

    # ------------------------------------------------------------------ what must be in memory first

    def needs(self, message: Operation | ConflictResolution) -> Needs | None:
        """What has to be fetched before `message` can be decided; None when all is here."""
        if isinstance(message, ConflictResolution):
            return self._needs_of_resolution(message)
        keys = tuple(k for k in self._keys(message) if k not in self.entities and key64(*k) in self.known_entities)
        operations: tuple[str, ...] = ()
        if message.id not in self.recent and key64(message.id) in self.known_operations:
            operations = (message.id,)
        if not keys:
            self.counts.cache_hits += 1
        if not keys and not operations:
            return None
        return Needs(keys, operations)

    def _needs_of_resolution(self, message: ConflictResolution) -> Needs | None:
        operation_id = resolution_id(message)
        operations: tuple[str, ...] = ()
        if operation_id not in self.recent and key64(operation_id) in self.known_operations:
            operations = (operation_id,)
        row = self.conflicts.get(message.conflict_id)
        if row is None:
            return Needs((), operations, (message.conflict_id,))
        key = (row.entity_type, row.entity_id)
        keys = () if key in self.entities else (key,)
        return Needs(keys, operations) if keys or operations else None

    def provide(
        self,
        needs: Needs,
        entities: Mapping[Key, EntityRow],
        operations: Mapping[str, LogRow],
        conflicts: Mapping[str, ConflictRow],
    ) -> None:
        """Take what was fetched. What was asked for and is not there is remembered as not there."""
        for key in needs.entities:
            self.counts.cache_misses += 1
            if key not in self.entities:
                self._load(key, entities.get(key))
        for operation_id in needs.operations:
            row = operations.get(operation_id)
            if row is not None:
                self.recent.setdefault(operation_id, row)
            else:
                self.known_operations.discard(key64(operation_id))
        for conflict in conflicts.values():
            if conflict.conflict_id not in self.conflicts:
                self.remember_conflict(conflict)

    def _load(self, key: Key, row: EntityRow | None) -> Entity | None:
        policy = self.registry.get(key[0])
        if policy is None:
            return None
        entity = Entity.load(key, policy, row, writer=self.writer, engine=self.settings.engine)
        self.entities[key] = entity
        return entity

    def _keys(self, operation: Operation) -> list[Key]:
        if operation.kind == "BULK_UPDATE":
            return [(operation.entity_type, item.entity_id) for item in operation.updates]
        assert operation.entity_id is not None
        return [(operation.entity_type, operation.entity_id)]

    def entity(self, key: Key) -> Entity:
        """The resident entity; an empty one where nobody has written it yet."""
        found = self.entities.pop(key, None) or self._load(key, None)
        if found is None:
            raise EntityNotFound(f"unknown entity type {key[0]!r}", "$.operation.entity_type")
        self.entities[key] = found  # the latest used is the last to be let go
        return found

    def remember_conflict(self, row: ConflictRow) -> None:
        """Note a conflict and, while it is open, that its entity has it."""
        self.conflicts[row.conflict_id] = row
        key = (row.entity_type, row.entity_id)
        of_entity = [c for c in self.open_conflicts.get(key, []) if c != row.conflict_id]
        if row.state == "open":
            of_entity.append(row.conflict_id)
        if of_entity:
            self.open_conflicts[key] = of_entity
        else:
            self.open_conflicts.pop(key, None)

    def has_read(self, terminal_id: str, key: Key, seq: int) -> None:
        """A terminal read an entity over HTTP with its token: it has seen its rows up to `seq`."""
        self.reads.pop((terminal_id, key), None)
        self.reads[terminal_id, key] = seq
        while len(self.reads) > READS_KEPT:
            del self.reads[next(iter(self.reads))]

    # ------------------------------------------------------------------ operations

    def accept(self, operation: Operation, author: Author, now: Instant) -> None:
        """Decide a `data_sync`. Raises WireError where it is refused outright; everything else is in the group."""
        policy = self.registry.get(operation.entity_type)
        if policy is None:
            raise EntityNotFound(f"unknown entity type {operation.entity_type!r}", "$.operation.entity_type")
        if self._duplicate(operation, author):
            return
        entities = [self.entity(key) for key in self._keys(operation)]
        lock_status = self._lock_status(policy, entities, operation, author, now)
        if lock_status is None:
            return
        blocked = next((c for e in entities if (c := e.view.frozen_by()) is not None), None)
        if blocked is not None:
            reason = f"{blocked.entity_type} {blocked.entity_id} has an open conflict {blocked.id}"
            self._refuse(operation, author, entities, now, reason, 4010, {"conflict_id": blocked.id})
            return
        stamp, skew = self._stamp(operation, author, now)
        try:
            plans = self._plans(operation, author, entities, stamp, now)
        except EntityNotFound as error:  # its author saw it deleted, and is shown again that it is
            self._refuse(operation, author, entities, now, error.reason, error.code, {"where": error.where})
            return
        self._carry_out(operation, author, policy, entities, plans, stamp, lock_status, now, skew)

    def _duplicate(self, operation: Operation, author: Author) -> bool:
        """Answer an operation id that is already in the log. Raises InvalidMessage if it named another operation."""
        row = self.recent.get(operation.id)
        if row is None:
            return False
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
                details = {
                    "locked_by": lease.terminal,
                    "locked_until": hlc.iso(lease.expires_ms),
                    "reason": f"Already locked by {lease.terminal}"
                    + (" after your lock expired" if verdict.taken_over else ""),
                }
                code = LockTimeout.code if verdict.taken_over else 4009
                self._refuse(operation, author, entities, now, "Could not acquire entity lock", code, details)
                return None
            status = verdict
        return status

    def _stamp(self, operation: Operation, author: Author, now: Instant) -> tuple[Stamp, int]:
        accepted = self.clock.tick(now.wall_ms)
        skew = 0
        stamp = accepted
        if operation.timestamp_us is not None:
            stamp, skew = hlc.stamp(operation.timestamp_us, now.wall_ms, self.settings.max_skew_ms)
        return Stamp(author.terminal_id, operation.id, stamp, accepted), skew

    def _plans(
        self, operation: Operation, author: Author, entities: Sequence[Entity], stamp: Stamp, now: Instant
    ) -> list[tuple[Plan, Mapping[str, object], bool]]:
        """One plan an entity, with what was written and whether something unseen was live. Changes nothing."""
        at = hlc.iso(now.wall_ms)
        items: list[tuple[Entity, dict[str, object], int | None]]
        if operation.kind == "BULK_UPDATE":
            items = [
                (entity, item.data, effective_version(item.data, None, "UPDATE"))
                for entity, item in zip(entities, operation.updates, strict=True)
            ]
        else:
            version = effective_version(operation.data, operation.version, operation.kind)
            items = [(entities[0], operation.data, version) for _ in range(1)]
        plans: list[tuple[Plan, Mapping[str, object], bool]] = []
        for entity, data, version in items:
            if operation.kind != "DELETE" and data.get("deleted_at") is not None:
                raise InvalidMessage("deleted_at is written by DELETE", "$.operation.data.deleted_at")
            acknowledged = self._acknowledged(author, entity)
            seen = entity.seen_by(author.terminal_id, acknowledged, version)
            unseen = not all(map(seen, entity.document.records()))
            planner = Planner(entity, stamp, seen, version, self.settings.version_jump)
            if operation.kind == "DELETE":
                plan = planner.delete(data, at)
            else:
                plan = planner.write(data, create=operation.kind == "CREATE")
            plans.append((plan, data, unseen))
        return plans

    def _acknowledged(self, author: Author, entity: Entity) -> int:
        """What the author confirmed, or read over HTTP with its token."""
        confirmed = author.acknowledged(entity.policy.priority_class)
        return max(confirmed, self.reads.get((author.terminal_id, entity.key), -1))

    def _carry_out(
        self,
        operation: Operation,
        author: Author,
        policy: EntityPolicy,
        entities: Sequence[Entity],
        plans: Sequence[tuple[Plan, Mapping[str, object], bool]],
        stamp: Stamp,
        lock_status: str,
        now: Instant,
        skew: int,
    ) -> None:
        seq = self.head + 1
        news = ConflictNews()
        changes: list[Difference] = []
        updates = []
        unacknowledged = merged = False
        for entity, (plan, data, unseen) in zip(entities, plans, strict=True):
            unacknowledged |= entity.delivered_to(author.terminal_id) > self._acknowledged(author, entity)
            merged |= unseen
            written = {n: v for n, v in data.items() if n not in ("version", "deleted_at")}
            change, edit = self._edit(entity, plan, operation.kind, written, stamp, seq, news)
            changes.append(change)
            updates.append(update_entry(entity.key, edit))
        status = news.status_of(operation.id) or ("merged" if merged else "applied")
        echo = unacknowledged or not all(change.as_written for change in changes)
        version = max(entity.document.version for entity in entities)
        message = self._rendered(operation, author, policy, entities, changes, version, now)
        row = self._row(kept(operation.raw), operation.id, operation.entity_type, operation.entity_id, policy)
        row.terminal_id, row.user_id = author.terminal_id, operation.user_id or author.user_id
        row.stamp, row.accepted, row.version = stamp.stamp, stamp.accepted, version
        row.status, row.lock_status, row.echo = status, lock_status, echo
        row.message, row.updates = message, kept(updates)
        if operation.kind == "BULK_UPDATE":
            row.targets = tuple(entity.key[1] for entity in entities)
        row.changes = kept(_changes(entities, changes, bulk=operation.kind == "BULK_UPDATE", skew=skew))
        self._append(row)
        for entity in entities:
            entity.touched(seq, author.terminal_id, echo)
            self.group.touched[entity.key] = entity
            self.known_entities.add(key64(*entity.key))
        self.known_operations.add(key64(operation.id))
        self.recent[operation.id] = row
        self.counts.operations += 1
        extra: dict[str, object] = {}
        if operation.kind == "BULK_UPDATE":
            extra["versions"] = {entity.key[1]: entity.document.version for entity in entities}
        if skew:
            extra["clock_skew_ms"] = skew
        self._confirm(author, operation.id, version, status, stamp.accepted, seq, **extra)
        self.group.refusals.append((author.recipient, partial(_storage_error, operation, author)))
        self._tell(news, policy, operation.id, author, stamp.accepted)

    def _edit(
        self,
        entity: Entity,
        plan: Plan,
        kind: str,
        written: Mapping[str, object],
        stamp: Stamp,
        seq: int,
        news: ConflictNews,
    ) -> tuple[Difference, Edit]:
        """Carry a plan out in the document and bring the view up to date."""
        paths = list(dict.fromkeys([*(r.path for r in plan.supersede), *(f.path for f in plan.fields)]))
        before = Before.of(entity, paths)
        conflicts = dict(entity.view.conflicts)
        edit = entity.document.edit(supersede=plan.supersede, fields=plan.fields, n=plan.increment)
        for record in edit.removed:
            entity.seqs.pop(record.id, None)
        for record in edit.added:
            entity.seqs[record.id] = seq
        entity.view.refresh(entity.document, paths)
        news.compare(conflicts, entity.view.conflicts)
        if kind == "DELETE":
            written = {}
        return difference(before, entity, kind, plan.named, written), edit

    def _rendered(
        self,
        operation: Operation,
        author: Author,
        policy: EntityPolicy,
        entities: Sequence[Entity],
        changes: Sequence[Difference],
        version: int,
        now: Instant,
    ) -> bytes:
        """The `data_sync` every other terminal gets: what the author sent, with the shown outcome as `data`."""
        shown = {
            **operation.raw,
            "terminal_id": author.terminal_id,
            "user_id": operation.user_id or author.user_id,
            "version": version,
        }
        if operation.timestamp is None:
            shown["timestamp"] = hlc.iso(now.wall_ms)
        if operation.requires_lock is None:
            shown["requires_lock"] = policy.requires_lock
        if operation.priority is None:
            shown["priority"] = policy.priority
        if operation.kind == "BULK_UPDATE":
            items = zip(entities, changes, strict=True)
            shown["data"] = {
                "updates": [{"entity_id": e.key[1], "data": c.data} for e, c in items if c.kind != "DELETE"]
            }
        else:
            shown["operation"] = changes[0].kind
            shown["data"] = changes[0].data
        return outgoing.data_sync(shown)

    # ------------------------------------------------------------------ resolution

    def resolve(self, message: ConflictResolution, author: Author, now: Instant) -> None:
        """Decide a `conflict_resolution`. Raises EntityNotFound (unknown) or ConflictResolutionFailed (closed)."""
        operation_id = resolution_id(message)
        done = self.recent.get(operation_id)
        if done is not None and done.terminal_id == author.terminal_id:
            self.counts.duplicates += 1
            self._confirm(author, operation_id, done.version, "duplicate", done.accepted, done.seq)
            return
        row = self.conflicts.get(message.conflict_id)
        if row is None:
            raise EntityNotFound(f"unknown conflict {message.conflict_id}", "$.conflict_id")
        entity = self.entity((row.entity_type, row.entity_id))
        conflict = self._live_conflict(entity, row)
        if conflict is None:
            raise ConflictResolutionFailed(
                f"conflict {message.conflict_id} is closed" + (f": {row.outcome.decode()}" if row.outcome else ""),
                "$.conflict_id",
                entity_type=row.entity_type,
                entity_id=row.entity_id,
            )
        if message.resolution == "merge" and not message.resolved_data:
            raise ConflictResolutionFailed("merge needs resolved_data", "$.resolved_data")
        operation = resolution_operation(message, row, operation_id, author, now)
        lock_status = self._lock_status(entity.policy, [entity], operation, author, now)
        if lock_status is None:
            return
        stamp, skew = self._stamp(operation, author, now)
        seen = entity.seen_by(author.terminal_id, self._acknowledged(author, entity), None)
        planner = Planner(entity, stamp, seen, None, self.settings.version_jump)
        plan = planner.resolve(conflict, message.resolution, message.resolved_data, hlc.iso(now.wall_ms))
        seq = self.head + 1
        news = ConflictNews()
        change, edit = self._edit(entity, plan, "UPDATE", {}, stamp, seq, news)
        version = entity.document.version
        data_sync = self._rendered(operation, author, entity.policy, [entity], [change], version, now)
        log_row = self._row(kept(operation.raw), operation_id, *entity.key, entity.policy)
        log_row.terminal_id, log_row.user_id = author.terminal_id, author.user_id
        log_row.stamp, log_row.accepted, log_row.version = stamp.stamp, stamp.accepted, version
        log_row.status = news.status_of(operation_id) or "applied"
        log_row.lock_status, log_row.echo = lock_status, True
        log_row.message, log_row.updates = data_sync, kept([update_entry(entity.key, edit)])
        log_row.changes = kept(_changes([entity], [change], bulk=False, skew=skew))
        self._append(log_row)
        entity.touched(seq, author.terminal_id, True)
        self.group.touched[entity.key] = entity
        self.known_operations.add(key64(operation_id))
        self.recent[operation_id] = log_row
        self.counts.operations += 1
        self._confirm(
            author, operation_id, version, log_row.status, stamp.accepted, seq, conflict_id=message.conflict_id
        )
        self.group.refusals.append((author.recipient, partial(_storage_error, operation, author)))
        self._tell(news, entity.policy, operation_id, author, stamp.accepted, resolution=message)

    def _live_conflict(self, entity: Entity, row: ConflictRow) -> Conflict | None:
        """The conflict `row` names, as long as one of its operations is live; None once it is closed."""
        path = tuple(orjson.loads(row.path))
        current = entity.view.conflicts.get(path)
        if current is not None and current.id == row.conflict_id:
            return current
        if current is None or (row.state == "closed" and not row.outcome.startswith(b'{"replaced_by"')):
            return None
        named = set(row.operations)
        left = tuple(r for r in current.candidates if r.operation in named)
        if not left:
            return None
        # Its other operations are gone: what is left of it is decided, what arrived since reopens by itself.
        candidates = left if len(left) > 1 else (current.shown, left[0])
        return Conflict(
            row.conflict_id,
            row.type,
            row.state,
            row.entity_type,
            row.entity_id,
            path,
            candidates,
            row.operations,
            current.prevailing,
        )

    # ------------------------------------------------------------------ telling people

    def _tell(
        self,
        news: ConflictNews,
        policy: EntityPolicy,
        operation_id: str,
        author: Author,
        accepted: int,
        resolution: ConflictResolution | None = None,
    ) -> None:
        """Conflicts raised and closed: their rows, and notices in the log for those who must know."""
        for conflict in news.raised:
            notice = self._notice(policy, conflict.entity_id, operation_id, accepted)
            notice.message = outgoing.sync_conflict(conflict.body())
            notice.targets = conflict.losers() if conflict.state == "settled" else self._deciders(policy, conflict)
            notice.monitors = True
            self._append(notice)
            stored = conflict_row(conflict, notice.seq)
            self.group.commit.conflicts.append(stored)
            self.remember_conflict(stored)
            self.counts.conflicts += 1
        for conflict in news.gone:
            replaced = news.replacement(conflict)
            outcome = (
                {"replaced_by": replaced.id}
                if replaced is not None
                else {
                    "resolution": resolution.resolution if resolution else "superseded",
                    "operation_id": operation_id,
                    "terminal_id": author.terminal_id,
                }
            )
            stored = conflict_row(conflict, self.head, closed_by=operation_id, outcome=orjson.dumps(outcome))
            self.group.commit.conflicts.append(stored)
            self.remember_conflict(stored)
            if replaced is None:
                self.counts.conflicts_resolved += 1
                if conflict.state == "open":
                    self._tell_closed(conflict, policy, operation_id, author, accepted, resolution)

    def _tell_closed(
        self,
        conflict: Conflict,
        policy: EntityPolicy,
        operation_id: str,
        author: Author,
        accepted: int,
        resolution: ConflictResolution | None,
    ) -> None:
        notice = self._notice(policy, conflict.entity_id, operation_id, accepted)
        notice.targets, notice.monitors = self._deciders(policy, conflict), True
        shown = self.entities[conflict.entity_type, conflict.entity_id].shown()
        if conflict.path not in (WHOLE, DELETED_AT):
            shown = {n: shown.get(n) for n in (conflict.path[0], "version")}
        notice.message = outgoing.conflict_closed(
            conflict.id,
            resolution.resolution if resolution else "superseded",
            shown,
            author.terminal_id,
            operation_id,
        )
        self._append(notice)

    def _deciders(self, policy: EntityPolicy, conflict: Conflict) -> tuple[str, ...]:
        """Who is told of an open conflict: its authors, and every terminal that may write the entity type."""
        return (f"write:{policy.entity_type}", *conflict.authors())

    def _refuse(
        self,
        operation: Operation,
        author: Author,
        entities: Sequence[Entity],
        now: Instant,
        error: str,
        code: int,
        details: Mapping[str, object],
    ) -> None:
        """Refuse a write without losing it: a log row keeps it, its author is told and shown what is."""
        policy = entities[0].policy
        accepted = self.clock.tick(now.wall_ms)
        row = self._row(kept(operation.raw), operation.id, operation.entity_type, operation.entity_id, policy)
        row.kind, row.status = "refused", "refused"
        row.terminal_id, row.user_id = author.terminal_id, operation.user_id or author.user_id
        row.accepted = row.stamp = accepted
        row.version = entities[0].document.version
        row.lock_status = "refused" if code == 4009 else "none"
        row.targets = (author.terminal_id,)
        messages = [
            outgoing.sync_error(
                operation.id,
                error,
                operation.entity_type,
                operation.entity_id,
                author.terminal_id,
                code,
                **{**details, "kept": True},
            )
        ]
        at = hlc.iso(now.wall_ms)
        for entity in entities:
            if entity.document.version:
                current = EntityRow(
                    entity_type=entity.key[0],
                    entity_id=entity.key[1],
                    version=entity.document.version,
                    deleted=not entity.view.alive,
                    view=orjson.dumps(entity.shown()),
                    snapshot=b"",
                    seen=b"",
                    seq=entity.seq,
                )
                messages.append(
                    state_message(
                        policy,
                        current,
                        node_id=self.settings.node_id,
                        at=at,
                        operation_id=f"current-{self.settings.node_id}-{self.head + 1}-{entity.key[1]}"[:128],
                    )
                )
        row.message = b"\n".join(messages)
        self._append(row)
        for entity in entities:  # it shows the author the current state: what it writes next comes after that
            entity.touched(row.seq, author.terminal_id, True)
        self.counts.refused += 1

    # ------------------------------------------------------------------ rows

    def _row(
        self, operation: bytes, operation_id: str, entity_type: str, entity_id: str | None, policy: EntityPolicy
    ) -> LogRow:
        return LogRow(
            seq=0,
            kind="operation",
            priority=policy.priority_class,
            entity_type=entity_type,
            entity_id=entity_id,
            operation_id=operation_id,
            terminal_id="",
            user_id=None,
            targets=(),
            monitors=False,
            stamp=0,
            accepted=0,
            version=0,
            status="",
            lock_status="none",
            echo=False,
            operation=operation,
            message=b"",
            changes=b"",
            updates=b"",
        )

    def _notice(self, policy: EntityPolicy, entity_id: str | None, operation_id: str, accepted: int) -> LogRow:
        row = self._row(b"", operation_id, policy.entity_type, entity_id, policy)
        row.kind, row.status = "notice", "notice"
        row.accepted = row.stamp = accepted
        return row

    def _append(self, row: LogRow) -> None:
        self.head += 1
        row.seq = self.head
        self.group.commit.rows.append(row)

    # ------------------------------------------------------------------ commit

    def take_group(self) -> Group:
        """The current group, sealed; a new one begins."""
        group, self.group = self.group, Group()
        group.seal()
        group.commit.meta["hlc"] = str(self.clock.last)
        return group

    def committed_group(self, group: Group) -> None:
        """The group is durable."""
        if group.rows:
            self.committed = group.rows[-1].seq
        over = len(self.recent) - self.settings.recent_rows
        if over > 0:
            for operation_id in list(self.recent)[:over]:
                if self.recent[operation_id].seq <= self.committed:
                    del self.recent[operation_id]
        if len(self.entities) > self.settings.resident_entities:
            self._let_go()

    def _let_go(self) -> None:
        """Drop the entities used longest ago, a tenth at a time; they are read from disk when next needed.

        What y-py keeps of a document that was written to stays (hazard 7).
        """
        for key, entity in list(self.entities.items())[: max(1, self.settings.resident_entities // 10)]:
            if entity.seq <= self.committed and key not in self.group.touched:
                del self.entities[key]

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
        self.head = self.committed
        self.group = Group()


def update_entry(key: Key, edit: Edit) -> list[object]:
    """What a link sends of one entity's update: [type, id, base64, before-vector, [writer, first, end]]."""
    before = {str(writer): clock for writer, clock in edit.before.items()}
    return [*key, b64encode(edit.update).decode(), before, [edit.writer, *edit.span]]


def _changes(
    entities: Sequence[Entity], changes: Sequence[Difference], *, bulk: bool, skew: int
) -> dict[str, object]:
    """The audit's `changes`; of a BULK_UPDATE by entity id. A clamped clock is noted beside them."""
    if bulk:
        audit: dict[str, object] = {
            "before": {e.key[1]: c.before for e, c in zip(entities, changes, strict=True)},
            "after": {e.key[1]: c.after for e, c in zip(entities, changes, strict=True)},
        }
    else:
        audit = {"before": changes[0].before, "after": changes[0].after}
    if skew:
        audit["clock_skew_ms"] = skew
    return audit


def _storage_error(operation: Operation, author: Author) -> bytes:
    return outgoing.sync_error(
        operation.id,
        "the node could not store this operation; send it again",
        operation.entity_type,
        operation.entity_id,
        author.terminal_id,
        1011,
        retry=True,
    )


def resolution_id(message: ConflictResolution) -> str:
    """The operation id of a resolution: its own `id`, or one of its content, so that a resend is a duplicate."""
    if message.id is not None:
        return message.id
    content = orjson.dumps(
        [message.conflict_id, message.resolution, message.resolved_data], option=orjson.OPT_SORT_KEYS
    )
    return f"resolution-{key64(content.decode()):016x}"


def resolution_operation(
    message: ConflictResolution, row: ConflictRow, operation_id: str, author: Author, now: Instant
) -> Operation:
    """A resolution as the operation it is in the log and for every other terminal."""
    raw: dict[str, object] = {
        "id": operation_id,
        "entity_type": row.entity_type,
        "entity_id": row.entity_id,
        "operation": "UPDATE",
        "data": message.resolved_data or {},
        "timestamp": hlc.iso(now.wall_ms),
        "terminal_id": author.terminal_id,
        "user_id": author.user_id,
        "resolves": message.conflict_id,
        "resolution": message.resolution,
    }
    return Operation(
        id=operation_id,
        entity_type=row.entity_type,
        entity_id=row.entity_id,
        kind="UPDATE",
        data=message.resolved_data or {},
        version=None,
        timestamp=hlc.iso(now.wall_ms),
        timestamp_us=None,
        terminal_id=author.terminal_id,
        user_id=author.user_id,
        requires_lock=None,
        priority=None,
        lock_id=None,
        raw=raw,
    )
