"""A node's core from what its disk holds: at a start, and when writing works again after a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson
from attrs import frozen

from crdt import hlc
from node.core.core import Bounds, Core
from node.core.locks.lease import ALONE, BELOW
from node.core.locks.table import LockTable
from node.core.log.ring import Ring
from node.core.operations.digests import Digests
from node.core.operations.key_set import KeySet
from node.core.operations.memory import Settings
from node.core.operations.quarantine import Quarantine
from node.core.operations.replica import Replica
from node.core.ports import Clock, Disk, Timer
from node.core.statistics import Statistics
from node.wire.codec import CodecLimits
from strategies.policy_text import MOST_RECORDED, policy_text

if TYPE_CHECKING:
    from node.config import Config
    from storage.records import Boot
    from storage.sqlite.store import Store
    from strategies.policy import Registry


@frozen
class Draws:
    """Where a node takes what must never come twice. id: epochs, lock ids, instances. writer: Yjs client ids,
    1 .. 2**32 - 1."""

    id: Callable[[], str]
    writer: Callable[[], int]


@frozen
class Surroundings:
    """What a core is put into: its ports, its clock, its chance."""

    disk: Disk
    timer: Timer
    clock: Clock
    draws: Draws


def begin(boot: Boot, config: Config, around: Surroundings, *, epoch: str, writer: int) -> Core:
    """The core of a node that starts. epoch, writer: what `boot` says, unless the node goes on as another one."""
    limits, now = config.limits, around.clock()
    replica = Replica(
        settings=Settings(
            boot.node_id,
            config.node.engine,
            config.time.max_skew_ms,
            config.time.max_offset_ms,
            limits.version_jump,
            limits.ring_rows,
            limits.resident_entities,
        ),
        registry=config.registry(),
        locks=_locks(boot, config, around),
        writer=writer,
        clock=_clock(boot),
        head=boot.head,
        committed=boot.head,
        started_at=boot.head,
        known_entities=KeySet(boot.entity_keys),
        known_operations=KeySet(boot.operation_keys),
        archived_operations=KeySet(boot.archived_keys),
        partial=dict(boot.partial),
        digests=Digests.of(boot.link_keys),
        quarantine=Quarantine.of(boot.parked),
        tried=dict(boot.refused),
    )
    for row in boot.open_conflicts:
        replica.remember_conflict(row)
    return Core(
        boot.node_id,
        replica,
        Ring(limits.ring_rows, limits.ring_bytes, boot.head),
        around.disk,
        around.timer,
        around.clock,
        config.permissions(),
        Bounds(
            limits.rate_per_second,
            limits.rate_burst,
            limits.window_rows,
            CodecLimits(limits.json_depth, limits.bulk_items, limits.fields),
        ),
        Statistics(now.mono_ms),
        boot.class_heads,
        epoch,
        around.draws.id(),
        {row.terminal_id: row for row in boot.cursors},
        {row.node_id: row for row in boot.peers},
        followers={row.node_id: row for row in boot.followers},
        has_upstream=config.links.upstream is not None,
        fresh=lambda: (around.draws.id(), around.draws.writer()),
    )


def note_registry(store: Store, registry: Registry) -> None:
    """What the store is to know of this start's configuration: which fields are counters, and by which policies views
    are made from now on. Raises StorageError."""
    store.note_counters(registry.counters())
    store.note_policies({policy.entity_type: policy_text(policy) for policy in registry.all()}, MOST_RECORDED)


def go_on(core: Core, boot: Boot, config: Config, around: Surroundings) -> int:
    """Writing works again: rebuild clock, leases and conflicts from the last commit, under a fresh writer, which is
    returned."""
    writer = around.draws.writer()
    clock = core.replica.clock  # what it stamped and lost is not stamped again
    locks = _locks(boot, config, around, core.replica.locks)
    core.recovered(writer, locks, boot, clock)
    return writer


def _clock(boot: Boot) -> hlc.HybridClock:
    steps = [(int(before), int(by_ms)) for before, by_ms in orjson.loads(boot.meta.get("hlc_steps", "[]"))]
    return hlc.HybridClock(int(boot.meta.get("hlc", 0)), steps)


def _locks(boot: Boot, config: Config, around: Surroundings, running: LockTable | None = None) -> LockTable:
    limits = config.limits
    table = LockTable(
        boot.node_id,
        int(boot.meta.get("lock_epoch", 1)),
        int(boot.meta.get("lock_counter", 0)),
        lambda: f"lock-{around.draws.id()}",
        limits.lease_ms_default,
        limits.lease_ms_max,
        named=BELOW if config.links.upstream is not None else ALONE,
    )
    return LockTable.restore(table, boot.locks, around.clock(), running)
