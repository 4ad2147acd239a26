"""Replicas that hold the same operations show the same, whatever the order of arrival; no write disappears.

Local writes go through the real planner with what their author had seen; updates travel as the links will carry them,
through the gap guard. The model beside it knows only who had seen what.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crdt.edits import Applied, Edit, Gap
from crdt.engine import DEFAULT
from crdt.hlc import pack
from node.core.entities.entity import Entity
from node.core.entities.last_known import KnownList
from node.core.entities.reach import Evidence, Reach, reach_of
from node.core.entities.writes import Authorship, Planner, Stamp
from node.errors import EntityNotFound
from strategies.paths import DELETED_AT
from strategies.policy import DOCUMENTED
from strategies.strategy import unseen_by
from strategies.view import view_of
from tests.scenarios.seeds import EXAMPLES

if TYPE_CHECKING:
    from crdt.records import FieldRecord

NOW = 1_700_000_000_000


def writer_of(stamp: Stamp) -> Authorship:
    return Authorship(stamp, "pos", lambda _, __: None, lambda _, __: KnownList(None, None, -1, {}), lambda *_: False)


class Node:
    """One replica of one entity, and a terminal that sits on it."""

    def __init__(self, number: int, policy: Any) -> None:
        self.number = number
        self.entity = Entity.load((policy.entity_type, "e"), policy, None, writer=100 + number, engine=DEFAULT)
        self.seq = 0
        self.acknowledged = 0
        self.parked: list[tuple[str, Edit]] = []

    def deliver(self, operation: str, edit: Edit) -> bool:
        entity = self.entity
        result = entity.document.apply(edit.update, edit.before)
        if isinstance(result, Gap):
            self.parked.append((operation, edit))
            return False
        if isinstance(result, Applied):
            self.seq += 1
            entity.records_replaced(result.removed, result.added, self.seq, "")
            paths = {record.path for record in (*result.added, *result.removed)}
            entity.view.refresh(entity.document, paths)
        return True


def deleted_for(entity: Entity, seen: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """What the authors of deletions had seen: whoever saw the deletions and creates again starts over that too."""
    deletions = [record for record in entity.document.siblings(DELETED_AT) if record.id in seen]
    records = [record for record in entity.document.records() if record.path != DELETED_AT]
    return {r.id for r in records if any(not unseen_by(deletion, [r]) for deletion in deletions)}


class Store:
    """Nodes that write apart and exchange in any order."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.policy = rng.choice(DOCUMENTED)
        self.nodes = [Node(number, self.policy) for number in range(rng.randrange(2, 6))]
        self.log: list[tuple[int, str, Edit]] = []
        self.written: dict[tuple[int, int], FieldRecord] = {}
        self.killers: dict[tuple[int, int], str] = {}

    def write(self) -> None:
        rng, node = self.rng, self.rng.choice(self.nodes)
        entity = node.entity
        if entity.view.frozen_by() is not None and rng.random() < 0.8:
            return self.resolve(node)
        number = len(self.log)
        terminal, operation = f"t-{node.number}-{rng.randrange(2)}", f"op-{number}"
        written, accepted = pack(NOW + rng.randrange(-50, 50)), pack(NOW + number)
        stamp = Stamp(terminal, operation, written, accepted, accepted, written, "timestamp")
        version = rng.choice([None, None, rng.randrange(1, entity.document.version + 3)])
        acknowledged = rng.choice([node.seq, node.acknowledged, -1])
        sent = rng.choice([acknowledged, node.seq])
        seen = entity.seen_by(terminal, reach_of(entity, terminal, version, Evidence(acknowledged, sent)))
        latest = acknowledged if version is None else max(sent, acknowledged)
        may_see = {r.id for r in entity.document.records() if r.terminal == terminal or entity.seqs[r.id] <= latest}
        planner = Planner(
            entity,
            Authorship(
                stamp, "pos", lambda _, __: None, lambda _, __: KnownList(None, None, -1, {}), lambda *_: False
            ),
            seen,
            version,
            1_000,
        )
        data = {name: rng.randrange(4) for name in rng.sample("abc", rng.randrange(1, 3))}
        try:
            if rng.random() < 0.12:
                plan = planner.delete({}, "2026-01-15T10:00:00.000Z")
            else:
                create = rng.random() < 0.2
                if create:
                    may_see |= deleted_for(entity, may_see)
                plan = planner.write(data, create=create)
        except EntityNotFound:
            return None
        assert {r.id for r in plan.supersede} <= may_see, "superseded without having been seen"
        return self._carry_out(node, plan, operation)

    def resolve(self, node: Node) -> None:
        entity = node.entity
        if not entity.view.conflicts:
            return
        conflict = self.rng.choice(list(entity.view.conflicts.values()))
        number = len(self.log)
        at = pack(NOW + number)
        stamp = Stamp("manager", f"op-{number}", at, at, at, at, "timestamp")
        planner = Planner(entity, writer_of(stamp), entity.seen_by("manager", Reach(node.seq)), None, 1_000)
        side = self.rng.choice(["accept_local", "accept_remote"])
        plan = planner.resolve(conflict, side, None, "2026-01-15T10:00:00.000Z")
        named = set(conflict.operations)
        assert all(r.name in named or r.path != conflict.path for r in plan.supersede)
        self._carry_out(node, plan, stamp.operation)

    def _carry_out(self, node: Node, plan: Any, operation: str) -> None:
        entity = node.entity
        edit = entity.document.edit(supersede=plan.supersede, fields=plan.fields, n=plan.increment)
        node.seq += 1
        entity.records_replaced(edit.removed, edit.added, node.seq, "")
        self.killers.update((record.id, operation) for record in edit.removed)
        self.written.update((record.id, record) for record in edit.added)
        entity.view.refresh(entity.document, {r.path for r in (*edit.added, *edit.removed)})
        self.log.append((node.number, operation, edit))

    def exchange(self) -> None:
        if not self.log:
            return
        _, operation, edit = self.rng.choice(self.log)
        self.rng.choice(self.nodes).deliver(operation, edit)

    def settle(self) -> None:
        """Every operation reaches every node, shuffled, some twice."""
        for node in self.nodes:
            rest = [(operation, edit) for _, operation, edit in self.log]
            rest += self.rng.sample(rest, len(rest) // 3)
            self.rng.shuffle(rest)
            rest += node.parked
            while rest:
                node.parked = []
                for operation, edit in rest:
                    node.deliver(operation, edit)
                assert len(node.parked) < len(rest)
                rest = node.parked


def shown(node: Node) -> object:
    view = node.entity.view
    conflicts = {c.id: (c.state, c.type, c.body(), c.losers()) for c in view.conflicts.values()}
    return view.alive, dict(sorted(view.fields.items())), node.entity.document.version, conflicts


@settings(max_examples=EXAMPLES * 2, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_views_versions_conflicts_and_losers_are_the_same_everywhere_and_no_write_disappears(seed: int) -> None:
    rng = random.Random(seed)
    store = Store(rng)
    for _ in range(rng.randrange(3, 60)):
        choice = rng.random()
        if choice < 0.5:
            store.write()
        elif choice < 0.58:
            store.resolve(rng.choice(store.nodes))
        elif choice < 0.9:
            store.exchange()
        else:
            node = rng.choice(store.nodes)
            node.acknowledged = node.seq
    store.settle()
    first = shown(store.nodes[0])
    for node in store.nodes:
        assert shown(node) == first, (store.policy.entity_type, node.number)
        fresh = view_of("x", "e", store.policy, node.entity.document)
        assert (fresh.alive, fresh.fields) == (node.entity.view.alive, node.entity.view.fields)
    live = {record.id for record in store.nodes[0].entity.document.records()}
    for identity, record in store.written.items():
        assert (identity in live) != (identity in store.killers), (record, "neither kept nor superseded")
