"""What must hold at every moment of a simulated evening, and what must hold at its end."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import orjson
from attrs import define, field

from crdt.records import name_of
from node.core.entities.entity import Entity
from node.core.history.explain import explain
from node.core.history.verify import Verification
from node.core.links.contents import OTHERWISE
from node.core.log.entries import NO_POSITION
from node.core.operations.quarantine import BAD
from node.simulation import operation_rules
from node.simulation.holdings import Holdings
from node.simulation.intentions import REGISTERS
from node.simulation.machine import Machine
from node.simulation.writer_clocks import WriterClocks
from storage.audit import chain_walk
from storage.records import UPDATE_KINDS
from storage.sqlite.history_reader import HistoryReader
from strategies.kinds.kind import ABSENT

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator, Mapping

    from node.core.log.group import Group
    from node.simulation.intentions import Ledger
    from node.simulation.terminal import Terminal
    from storage.records import EntityRow, LockRow, LogRow
    from storage.sqlite.reader import Reader
    from strategies.view import View

ALL = 1_000_000
VIEWED = ("orders", "products", "customers", "cashier_operations")
OUTBOX_BOUND = 2_000_000
"""Bytes that may wait on one connection: the node hands a slow one no more after OUTBOX_HIGH, plus answers."""

WINDOW_MARKS = 8
"""What may be under way beyond the window: the end of each class's state, and what counts as passed with it."""

UNSIGNED = b'"proof":""'
"""An operation between nodes without its origin's signature: every node here signs. Nobody's data reads so."""

LATE_MS = 5_000
"""How long a slow disk may keep a lease from being stored: it runs from when it was decided."""


class Violation(Exception):
    """An invariant does not hold. Its text says which, where and with what."""


@define
class Grant:
    """The lease an authority granted last on one entity. until_ms: on the authority's monotonic clock, in the life of
    its process that began with `start`. ends_ms: the same in simulated time. offset_ms: how its clock was set
    when it granted it."""

    terminal: str
    lock_id: str
    until_ms: int
    start: int
    ends_ms: int
    offset_ms: int


@define(eq=False)
class Checks:
    """Watches every commit, every confirmation and every lease of one store. excused: operations that were confirmed
    by a node which was set back to a backup before anybody else had them, and the entities that they touch."""

    confirmed: dict[str, str] = field(factory=dict)
    """Name of an operation -> who was told."""
    excused: dict[str, set[tuple[str, str]]] = field(factory=dict)
    given_up: set[tuple[str, str, str]] = field(factory=set)
    """Leases that somebody asked to release: entity type, id, terminal."""
    set_back: set[str] = field(factory=set)
    """Nodes whose database was put back to what it was."""
    kept: list[tuple[str, str]] = field(factory=list)
    """(node, operation id) of refused writes that a node said it keeps."""
    machines: Sequence[Machine] = ()
    damaged: Collection[str] = ()
    """Operations that arrived damaged at some node."""
    _bases: dict[tuple[str, str, str], tuple[int, ...]] = field(factory=dict)
    """(node, other node, its epoch) -> the positions up to which that log need not be looked at: where the node
    began with it, and then what the node was found to hold."""
    clocks: WriterClocks = field(factory=WriterClocks)
    holdings: Holdings = field(factory=Holdings)
    last_row_ms: int = 0
    _unsigned: bytes = b""
    """The first frame with an operation that had no signature."""
    _versions: dict[tuple[str, str, str], int] = field(factory=dict)
    _grants: dict[tuple[str, str, str], Grant] = field(factory=dict)
    _tokens: dict[tuple[str, int], int] = field(factory=dict)
    _holders: dict[tuple[str, int, int], tuple[str, str, str]] = field(factory=dict)
    """Fencing token -> what was granted with it, and to whom."""

    # ------------------------------------------------------------------ always

    def committed(self, machine: Machine, group: Group) -> None:
        """A group is durable and its answers have left."""
        node = machine.node_id
        _faultless(machine)
        self._signed()
        self.holdings.committed(machine, group)
        if group.rows:
            self.last_row_ms = machine.clockwork.now_ms
        for entity in group.commit.entities:
            key = (node, entity.entity_type, entity.entity_id)
            before = self._versions.get(key, 0)
            if entity.version < before:
                raise Violation(f"{node}: version of {' '.join(key[1:])} goes back from {before} to {entity.version}")
            self._versions[key] = entity.version
        for lock in group.commit.locks:
            self._lock(machine, lock)
        for row in group.commit.parked:
            if row.state == BAD and row.name not in self.damaged:
                raise Violation(f"{node}: {row.name} came whole and is kept out: {row.reason}")
        for problem in (*self.clocks.stored(node, group.rows), *self._causes(machine, group)):
            raise Violation(f"{node}: {problem}")
        self._leases(machine)
        self._bounded(machine)

    def carried(self, frame: bytes) -> None:
        """Somebody sent something."""
        if UNSIGNED in frame:  # told at the next commit: what is raised in a node is taken for a fault of its own
            self._unsigned = self._unsigned or frame

    def _signed(self) -> None:
        if self._unsigned:
            raise Violation(f"an operation leaves a node before it is signed: {self._unsigned[:500].decode()}")

    def failed(self, machine: Machine, group: Group) -> None:
        """A group could not be stored."""
        self.clocks.lost(machine.node_id, group.rows)

    def _leases(self, machine: Machine) -> None:
        """A lease that was granted and not released holds until its time is over, whatever clocks say. Of a node
        with an upstream the authority may know better."""
        replica, now = machine.core.replica, machine.now()
        if machine.config.links.upstream is not None:
            return
        if replica.log.group.commit.locks or any(group.commit.locks for group, _ in machine.core._in_flight):
            return  # perhaps just released, or asked for anew
        for (authority, *key), grant in self._grants.items():
            if (
                authority == machine.node_id
                and (*key, grant.terminal) not in self.given_up
                and self._runs(machine, grant)
            ):
                lease = replica.locks.leases.get((key[0], key[1]))
                if lease is None or lease.terminal != grant.terminal or not lease.live(now):
                    raise Violation(f"{authority}: the lease of {grant.terminal} on {' '.join(key)} is cut short")

    def _runs(self, machine: Machine, grant: Grant) -> bool:
        """Whether a lease must still hold. At a restart its rest is measured by the wall clock."""
        if grant.start == machine.starts:
            return machine.now().mono_ms < grant.until_ms - LATE_MS
        since = machine.set_at_start[grant.start :]
        return all(ms == grant.offset_ms for ms in since) and machine.clockwork.now_ms < grant.ends_ms - LATE_MS

    def _causes(self, machine: Machine, group: Group) -> Iterator[str]:
        """Stored positions: not of nodes that were set back, which may learn it late, and compare what they hold."""
        yield from operation_rules.clamped(group.rows)
        for row in group.commit.peers:
            log = (machine.node_id, row.node_id, row.epoch)
            base = self._bases.setdefault(log, row.positions)
            for other in self.machines:
                if other.node_id == row.node_id and not {machine.node_id, row.node_id} & self.set_back:
                    yield from operation_rules.held(machine, row, base, other)
                    if other.alive and other.store.epoch == row.epoch:
                        self._bases[log] = tuple(
                            max(since, upto) if since != NO_POSITION else since
                            for since, upto in zip(base, row.positions, strict=True)
                        )

    def _lock(self, machine: Machine, lock: LockRow) -> None:
        if lock.authority != machine.node_id:
            return
        key, now = (lock.authority, lock.entity_type, lock.entity_id), machine.now()
        held = self._grants.get(key)
        if lock.released:
            if held is not None and held.lock_id == lock.lock_id:
                del self._grants[key]
            return
        self.given_up.discard((lock.entity_type, lock.entity_id, lock.terminal_id))
        token = (lock.authority, lock.epoch)
        new = lock.counter > self._tokens.get(token, 0)
        if held is not None and held.terminal != lock.terminal_id:
            given_up = (*key[1:], held.terminal) in self.given_up
            if held.start == machine.starts and now.mono_ms < held.until_ms and not given_up:
                raise Violation(
                    f"{lock.authority} granted {' '.join(key[1:])} to {lock.terminal_id}, and {held.terminal} has it"
                )
            if not new:
                raise Violation(f"{lock.authority}: token {lock.counter} does not grow")
        self._tokens[token] = max(self._tokens.get(token, 0), lock.counter)
        holder = (lock.entity_type, lock.entity_id, lock.terminal_id)
        if self._holders.setdefault((*token, lock.counter), holder) != holder:
            raise Violation(f"{lock.authority}: token {lock.counter} of epoch {lock.epoch} is granted twice")
        lease = machine.core.replica.locks.leases.get((lock.entity_type, lock.entity_id))
        same = lease is not None and (lease.lock_id, lease.expires_ms) == (lock.lock_id, lock.expires_ms)
        until = lease.deadline_mono_ms if lease is not None and same else now.mono_ms
        left_ms = until - now.mono_ms
        set_since_ms = now.wall_ms + left_ms - lock.expires_ms  # its clock may be set before a lease is stored
        offset_ms = machine.offset_ms - (set_since_ms if abs(set_since_ms) > LATE_MS else 0)
        ends_ms = machine.clockwork.now_ms + left_ms
        self._grants[key] = Grant(lock.terminal_id, lock.lock_id, until, machine.starts, ends_ms, offset_ms)

    def _bounded(self, machine: Machine) -> None:
        core, limits = machine.core, machine.config.limits
        most = limits.resident_entities + len(core.replica.log.group.touched) + 64
        sizes = {
            "ring rows": (len(core.log.ring.rows), limits.ring_rows),
            "entities in memory": (len(core.replica.residents.entities), most),
            "rows under way": (
                max((s.delivery.window.under_way for s in core.sessions.online.values()), default=0),
                limits.window_rows + WINDOW_MARKS,
            ),
            "bytes waiting": (
                max((holder.end.outbox_bytes for holder in machine.door.holders.values()), default=0),
                OUTBOX_BOUND,
            ),
        }
        for what, (size, bound) in sizes.items():
            if size > bound:
                raise Violation(f"{machine.node_id}: {size} {what}, more than {bound}")

    def booted(self, machine: Machine) -> None:
        """A node has started: its log is whole."""
        self.clocks.started(machine.node_id)
        self.holdings.booted(machine)
        self._chained(machine)

    def _chained(self, machine: Machine) -> None:
        for finding in chain_walk.verify(machine.reader):
            if machine.node_id in self.set_back and "cut before a start" in finding.what:
                continue  # as it should say
            raise Violation(f"{machine.node_id}: the audit chain is broken at {finding.seq}: {finding.what}")

    def was_confirmed(self, terminal: Terminal, machine: Machine, message: Mapping[str, Any]) -> None:
        operation = name_of(terminal.name, message["operation_id"])
        self.confirmed.setdefault(operation, f"{terminal.name} by {machine.node_id}")

    def was_refused(self, terminal: Terminal, machine: Machine, message: Mapping[str, Any]) -> None:
        if message.get("kept"):
            self.kept.append((machine.node_id, name_of(terminal.name, message["operation_id"])))

    # ------------------------------------------------------------------ set back

    def before_loss(self, machine: Machine, others: Iterable[Machine]) -> None:
        """`machine` is about to be set back: what only it has may be gone."""
        held = {id for other in others if other.alive for id in _operations(other)}
        mine = _operations(machine)
        self.excused |= {operation: mine[operation] for operation in sorted(mine.keys() - held)}
        self.set_back.add(machine.node_id)
        self.forget(machine)

    def forget(self, machine: Machine) -> None:
        """It begins again from an older state: versions and leases may be older."""
        node = machine.node_id
        self._versions = {key: v for key, v in self._versions.items() if key[0] != node}
        self._grants = {key: g for key, g in self._grants.items() if key[0] != node}
        self.kept = [(n, operation) for n, operation in self.kept if n != node]

    # ------------------------------------------------------------------ at the end

    def parked(self, machine: Machine) -> list[str]:
        """What a node's quarantine holds; but for what came damaged and was then lost by who had it whole."""
        return [
            row.name
            for row in machine.core.replica.quarantine
            if row.name not in self.excused
            and (
                not self.set_back
                or any(
                    m.core.replica.held.digests.holds(row.entity_type, row.link_key) for m in self.machines if m.alive
                )
            )
        ]

    def at_end(self, machines: Sequence[Machine], terminals: Sequence[Terminal], ledger: Ledger) -> None:
        """All nodes have met: they hold and show the same, which is what was meant, and nothing confirmed is gone."""
        self._signed()
        written = {machine.node_id: machine.logged("operation") for machine in machines}
        logs = [_log(machine, written[machine.node_id]) for machine in machines]
        archived = {row.link_key: row for m in machines for row in m.archived_once if row.kind == "operation"}
        if archived:
            ever = [*logs, set(_facts(archived.values()))]
            logs = [log | _without_rows(machine, ever) for machine, log in zip(machines, logs, strict=True)]
        shown = [_shown(machine) for machine in machines]
        views = {m.node_id: {entity_type: _view(m, entity_type) for entity_type in VIEWED} for m in machines}
        refused = {r.name for m in machines for r in m.logged("refused")}
        for machine, log, found in zip(machines, logs, shown, strict=True):
            node = machine.node_id
            _faultless(machine)
            late = {row["seq"] for row in machine.reader.queries.ask("SELECT seq FROM proofs")}
            for problem in operation_rules.proven(machine.reader.audit(limit=ALL, kinds=("operation",)), late):
                raise Violation(f"{node}: {problem}")
            if machine.core.replica.keyring.waiting:
                raise Violation(f"{node}: a key was changed: {machine.core.replica.keyring.offered}")
            if parked := self.parked(machine):
                raise Violation(f"{node}: operations are left in quarantine: {parked}")
            if two := [said for said in machine.core.replica.contradictions if said.endswith(OTHERWISE)]:
                raise Violation(f"{node}: linked nodes made other entities of the same operations: {two}")
            if machine.core.links.twins:
                raise Violation(f"{node}: a twin was reported: {machine.core.links.twins}")
            _same(f"{machines[0].node_id} and {node} hold different operations", logs[0], log)
            _same(f"{machines[0].node_id} and {node} show different things", shown[0], found)
            held = {entry[0] for entry in log}
            gone = {operation for operation in self.confirmed if operation not in held} - self.excused.keys()
            if gone:
                told = {operation: self.confirmed[operation] for operation in sorted(gone)}
                raise Violation(f"{node}: confirmed and lost: {told}")
            for problem in ledger.problems(held, views[node], refused, _undecided(machine)):
                raise Violation(f"{node}: {problem}")
            self._chained(machine)
            _reloaded(machine)
        rows = written[machines[0].node_id]
        # A node may have got what another one has archived with an entity, and has no row of it.
        by_key = {row.link_key: row for m in machines for row in written[m.node_id]}
        everywhere = list(by_key.values())
        only_archived = [archived[key] for key in archived.keys() - by_key.keys()]
        entities = _entities(machines[0])
        by_name = {terminal.name: terminal for terminal in terminals}
        # A node that dies before it has looked where else a line is looks no more. What is archived it does not see.
        quiet = all(m.starts == 1 and not m.disk.read_failures and not m.archived for m in machines)
        moved = ledger.moved({row.name for row in everywhere}) if quiet else ()
        notices = [notice for machine in machines for notice in machine.logged("notice")]
        silent = {machine.node_id: operation_rules.deleted_silently(machine.logged("state")) for machine in machines}
        for problem in (
            *operation_rules.named(rows),
            *operation_rules.counted(everywhere, entities, only_archived),
            *operation_rules.replaced(rows, by_name, ledger, silent),
            *operation_rules.ranked([*everywhere, *only_archived], entities),
            *operation_rules.kept(everywhere, entities),
            *operation_rules.told(machines[0].logged("notice"), ledger),
            *(operation_rules.in_two(moved, views[machines[0].node_id]["orders"], notices) if ledger.exact else ()),
            *operation_rules.disputed(
                everywhere,
                _open(machines[0]),
                views[machines[0].node_id],
                ledger.edits if ledger.exact else {},
                refused,
            ),
            *(operation_rules.hidden(rows, entities, ledger.deletions) if ledger.exact else ()),
            *(operation_rules.brought_back(everywhere, entities, ledger.restored, refused) if ledger.exact else ()),
            *(operation_rules.reborn(rows, entities, ledger.births) if ledger.exact else ()),
        ):
            raise Violation(problem)
        for machine in machines:
            for problem in operation_rules.reasons(everywhere, machine.reader.conflicts("closed", limit=ALL)):
                raise Violation(f"{machine.node_id}: {problem}")
        for node, operation in self.kept:
            machine = next(machine for machine in machines if machine.node_id == node)
            if operation not in {row.name for row in machine.logged("refused", "operation")}:
                raise Violation(f"{node}: {operation} was refused and said to be kept, and is not")
        held = {entry[0] for entry in logs[0]}
        # What is gone may be on screens: nobody knows of it any more.
        lost = {key for operation, keys in self.excused.items() if operation not in held for key in keys}
        for terminal in terminals:
            for untold in self._untold(terminal):
                raise Violation(f"{terminal.name}: was never told of {untold}")
            if terminal.unanswered:
                raise Violation(f"{terminal.name}: never answered: {sorted(terminal.unanswered)}")
            for entity_type in VIEWED:
                view = {
                    i: {k: v for k, v in e.items() if k != "version"}
                    for i, e in views[terminal.machine.node_id][entity_type].items()
                }
                screen = terminal.shown(entity_type)
                for entity_id in {i for t, i in lost if t == entity_type}:
                    view.pop(entity_id, None)
                    screen.pop(entity_id, None)
                _same(f"{terminal.name} and its node show different {entity_type}", screen, view)

    def _untold(self, terminal: Terminal) -> Iterator[str]:
        """Conflicts of which its node was to tell a terminal that has been there all evening."""
        if terminal.life or terminal.came or terminal.machine.node_id in self.set_back:
            return
        for notice in terminal.machine.logged("notice"):
            conflict = orjson.loads(notice.message).get("conflict")
            if conflict is not None and terminal.name in notice.targets and conflict["id"] not in terminal.conflicts:
                yield str(conflict["id"])

    def retrievable(self, machine: Machine, rng: random.Random, count: int = 4) -> None:
        """Of some fields: every value that somebody wrote is found by `explain`, and `verify` finds nothing wrong.

        A copy of a value that was replaced before the log's first row is told of in the archive, as that value is.
        """
        registry = machine.config.registry()
        with closing(HistoryReader(machine.store.path)) as history:
            for finding in Verification(history, registry).run():
                raise Violation(f"{machine.node_id}: verify: {finding.where}: {finding.what}")
            before = _written(machine.archived)
            written = sorted(_written(history.reader.audit(limit=ALL, kinds=("operation",))).items())
            for (key, name), operations in rng.sample(written, min(count, len(written))):
                policy = registry.get(key[0])
                assert policy is not None
                rows = history.entity_rows(key, (*UPDATE_KINDS, "refused"))
                found = explain(rows, key, policy, name, machine.config.node.engine, history.entity_base(key))
                told = {*before.get((key, name), {}).values()}
                if found is not None:
                    told.update(orjson.dumps(w.value) for w in found.writings if w.value is not ABSENT)
                for operation, value in sorted(operations.items()):
                    if value not in told:
                        raise Violation(
                            f"{machine.node_id}: explain does not tell of {value!r} by {operation} on {key} {name}"
                        )


def _same(what: str, one: Any, other: Any) -> None:
    if one != other:
        first = {str(entry) for entry in (one.items() if isinstance(one, dict) else one)}
        second = {str(entry) for entry in (other.items() if isinstance(other, dict) else other)}
        raise Violation(
            f"{what}: only the first: {sorted(first - second)[:3]}; only the second: {sorted(second - first)[:3]}"
        )


def _operations(machine: Machine) -> dict[str, set[tuple[str, str]]]:
    """Every operation of a node's log, and the entities it touches."""
    found: dict[str, set[tuple[str, str]]] = {}
    for row in machine.logged("operation"):
        touched = {(entity_type, entity_id) for entity_type, entity_id, *_ in orjson.loads(row.updates)}
        found.setdefault(row.name, set()).update(touched)
    return found


def _faultless(machine: Machine) -> None:
    """The node contains faults of its own code, so nothing else would show them here."""
    if machine.core.replica.faults.count:
        raise Violation(f"Fault: the own code of {machine.node_id} failed; see the log")


def _reloaded(machine: Machine) -> None:
    """What an entity is in memory it is once it is loaded anew, as it will be after a restart."""
    engine = machine.config.node.engine
    for key, entity in machine.core.replica.residents.entities.items():
        row = machine.reader.entity(*key)
        again = Entity.load(key, entity.policy, row, writer=entity.document.writer, engine=engine)
        here, there = map(_seen_of, (entity.view, again.view))
        if here != there:
            raise Violation(f"{machine.node_id}: {key} is {here} in memory, and {there} loaded anew")


def _seen_of(view: View) -> tuple[bool, dict[str, object], list[dict[str, object]]]:
    return view.alive, view.fields, [view.conflicts[path].body() for path in sorted(view.conflicts)]


def operations(reader: Reader) -> list[tuple[Any, ...]]:
    """Every operation of a log with its author, its times, where it was accepted and its lock status."""
    return _facts(reader.audit(limit=ALL, kinds=("operation",)))


def _facts(rows: Iterable[LogRow]) -> list[tuple[Any, ...]]:
    return [
        (
            r.name,
            r.link_key,
            r.origin,
            r.terminal_id,
            r.user_id,
            r.stamp,
            r.accepted,
            r.lock_status,
            r.operation,
        )
        for r in rows
    ]


def _open(machine: Machine) -> list[dict[str, Any]]:
    """The conflicts that nobody has decided yet, as terminals are told of them."""
    return [orjson.loads(conflict.body) for conflict in machine.reader.conflicts("open", limit=ALL)]


def _undecided(machine: Machine) -> list[frozenset[str]]:
    """The operations of each."""
    return [
        frozenset(name_of(c["terminal_id"], c["operation_id"]) for c in one["candidates"]) for one in _open(machine)
    ]


def _log(machine: Machine, rows: Iterable[LogRow]) -> set[tuple[Any, ...]]:
    found = _facts(rows)
    if len(set(found)) != len(found):
        raise Violation(f"{machine.node_id}: an operation is in the log twice")
    return set(found)


def _without_rows(machine: Machine, logs: Sequence[set[tuple[Any, ...]]]) -> set[tuple[Any, ...]]:
    """Operations that came to this node with the state of their entities, as others had archived them. Others have
    rows of them, or had: whoever archived one, and was set back since, has it with the state too."""
    digests = machine.core.replica.held.digests
    return {fact for log in logs for fact in log if digests.holds(orjson.loads(fact[-1])["entity_type"], fact[1])}


def _view(machine: Machine, entity_type: str) -> dict[str, dict[str, Any]]:
    rows = machine.reader.entities(entity_type, None, ALL)
    return {row.entity_id: orjson.loads(row.view) for row in rows}


def _entities(machine: Machine) -> list[EntityRow]:
    """Live and dead ones of every type."""
    return [
        row
        for policy in machine.core.replica.registry.all()
        for row in machine.reader.entities(policy.entity_type, None, ALL, deleted=True)
    ]


def _shown(machine: Machine) -> dict[str, object]:
    """What every node that holds the same operations must agree on, bytes as they are."""
    found: dict[str, object] = {}
    for row in _entities(machine):
        found[f"{row.entity_type} {row.entity_id}"] = (row.deleted, row.version, row.view)
    for conflict in machine.reader.conflicts("open", limit=ALL):
        found[f"conflict {conflict.conflict_id}"] = orjson.loads(conflict.body)
    return found


def _written(rows: Iterable[LogRow]) -> dict[tuple[tuple[str, str], str], dict[str, bytes]]:
    """Which operations wrote what into which field."""
    written: dict[tuple[tuple[str, str], str], dict[str, bytes]] = {}
    for row in rows:
        operation = orjson.loads(row.operation or b"{}")
        data = operation.get("data") if operation.get("operation") in ("CREATE", "UPDATE") else None
        if isinstance(data, dict) and row.entity_id is not None:
            for name in REGISTERS:
                if name in data:
                    field_ = ((row.entity_type, row.entity_id), name)
                    written.setdefault(field_, {})[row.name] = orjson.dumps(data[name])
    return written
