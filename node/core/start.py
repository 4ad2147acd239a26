"""A node's core from what its disk holds: at a start, and when writing works again after a failure."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import orjson

from crdt import hlc
from node.config.remembered import remembered
from node.core.admission import Admission
from node.core.clock import NodeClock
from node.core.core import Core, Limits
from node.core.delivery.cursors import Cursors
from node.core.digests import Digests, KeySet
from node.core.entities.residents import Residents
from node.core.guarded import guarded
from node.core.keyring import Keyring
from node.core.links import history
from node.core.links.budget import minute_of
from node.core.links.links import Links
from node.core.links.pace import Pace
from node.core.locks.lease import ALONE, BELOW
from node.core.locks.table import LockTable
from node.core.log.log import Log
from node.core.log.ring import Ring
from node.core.log.view import LogView
from node.core.monitors import own_terminals
from node.core.operations.held import Held, repeated
from node.core.operations.origins import Origins
from node.core.operations.quarantine import Quarantine
from node.core.operations.replica import Replica, Settings
from node.core.sessions.sessions import Bounds
from node.core.statistics import Counts
from node.core.terminal_clocks import TerminalClocks
from node.errors import ConfigError
from node.wire.codec import CodecLimits
from node.wire.fitting import HEADROOM
from storage.signer import Signer
from strategies.policy_text import MOST_RECORDED, policy_text

if TYPE_CHECKING:
    from node.config.sections import Config
    from node.core.ports import Signatures, Surroundings
    from storage.records import Boot
    from storage.sqlite.store import Store

logger = logging.getLogger("comanda.core")

REALM = "realm"
"""The fact that names the store whose log a database holds (storage/sqlite/meta.py)."""

RECOVERY_MS = 1_000
"""How often a node whose disk failed tries to write. Once it can, it goes on (`go_on`)."""


def begin(boot: Boot, config: Config, around: Surroundings, *, epoch: str, writer: int) -> Core:
    """The core of a node that starts. Its owners are built in the order of node/core/README.md.

    epoch, writer: those of `boot`, unless the node goes on as another log, or under another writer.
    """
    limits = config.limits
    registry = config.registry()
    replica = Replica(
        settings=Settings(
            boot.node_id, limits.version_jump, _entity_bytes(config), limits.bulk_bytes, config.node.realm
        ),
        registry=registry,
        log=Log(boot.head),
        clock=NodeClock(_clock(boot), config.time.max_skew_ms),
        terminal_clocks=TerminalClocks.load({row.terminal_id: row.clock for row in boot.cursors}, around.clock()),
        residents=Residents(
            registry=registry,
            engine=config.node.engine,
            writer=writer,
            most=limits.resident_entities,
            most_bytes=limits.resident_bytes,
            known=KeySet(boot.entity_keys),
            counts=Counts(),
        ),
        held=Held(
            most=limits.ring_rows,
            most_bytes=limits.ring_bytes,
            known=KeySet(boot.operation_keys),
            archived=KeySet(boot.archived_keys),
            told=KeySet(boot.told_keys),
            doubled=KeySet(repeated(boot.operation_keys)),
            partial=dict(boot.partial),
            digests=Digests.of(boot.link_keys),
        ),
        locks=_locks(boot, config, around),
        origins=Origins.of(boot.node_id, config.links.may_speak_for, boot.meta),
        keyring=Keyring.of(boot.node_id, around.signatures, boot.meta),
    )
    around = guarded(around, replica.faults)
    replica.knowledge.first_attempts.update(boot.refused)
    replica.conflicts.start_again(boot.open_conflicts)
    replica.quarantine = Quarantine.of(boot.parked, limits.quarantine_bytes)
    core = Core(
        replica=replica,
        around=around,
        log=LogView(
            ring=Ring(limits.ring_rows, limits.ring_bytes, boot.head),
            registry=registry,
            node_id=boot.node_id,
            class_heads=boot.class_heads,
            conflicts=replica.open_conflicts,
            clock=around.clock,
            faults=replica.faults,
            message_bytes=limits.message_bytes,
        ),
        cursors=Cursors.begin(
            boot.cursors, boot.followers, boot.class_heads, hlc.millis(int(boot.meta.get("hlc", 0)))
        ),
        limits=Limits(
            sessions=Bounds(limits.rate_per_second, limits.rate_burst, limits.window_rows, limits.terminals),
            codec=CodecLimits(
                limits.json_depth,
                limits.bulk_items,
                limits.fields,
                config.time.where(),
                bulk_fields=limits.bulk_fields,
            ),
            max_offset_ms=config.time.max_offset_ms,
            has_upstream=config.links.upstream is not None,
            outbox_bytes=limits.outbox_bytes,
            backlog_bytes=limits.backlog_bytes,
        ),
        permissions=config.permissions(),
    )
    core.damaged = boot.damaged
    for said in boot.damaged:
        logger.error("damaged in the database, and passed over: %(damage)s", {"damage": said})
    replica.knowledge.everybody = core.cursors.everybody
    replica.knowledge.elsewhere = core.cursors.elsewhere
    core.links = Links(
        node=core,
        epoch=epoch,
        peers={row.node_id: row for row in boot.peers},
        window_rows=config.links.window_rows,
        backlog_bytes=limits.backlog_bytes,
        max_offset_ms=config.time.max_offset_ms,
        minute=minute_of(config.links),
        pace=Pace.of(config.links),
        fresh=lambda: (around.draws.id(), around.draws.writer()),
        own_terminals=lambda: own_terminals(core),
        terminals=core.sessions,
    )
    core.links.go_on_with_history(boot.meta.get(history.META, ""))
    core.links.heads.begin(boot.heads, (boot.head, boot.chain))
    return core


def admission(core: Core, config: Config) -> Admission[Any]:
    """Who may connect to this node; nobody is connected yet."""
    return Admission(
        node_id=core.node_id,
        realm=config.node.realm,
        kinds=core.permissions,
        nodes=core.cursors.nodes,
        most=config.limits.terminals,
        statistics=core.statistics,
    )


def note_config(store: Store, config: Config) -> None:
    """Store what follows from the configuration: which fields are counters, by which policies views are made from now
    on, and what whoever reads the data directory later has to know. Raises StorageError."""
    registry = config.registry()
    store.note_counters(registry.counters())
    store.note_config(remembered(config))
    store.note_policies({policy.entity_type: policy_text(policy) for policy in registry.all()}, MOST_RECORDED)


def note_realm(store: Store, boot: Boot, config: Config) -> None:
    """Store whose log this is. A log without a name takes one; a name stays, since the rows are that store's.

    Raises ConfigError for another name, and StorageError.
    """
    realm, stored = config.node.realm, boot.meta.get(REALM, "")
    if stored == realm:
        return
    if stored:
        said = f"is {realm!r}" if realm else "is missing"
        raise ConfigError(
            f"[node] site {said}, and {store.directory} holds the data of {stored!r}: set it back, or start "
            "in another data directory"
        )
    store.set_meta({REALM: realm})
    boot.meta[REALM] = realm


def note_key(store: Store, boot: Boot, key: Signatures) -> None:
    """Store that this key is one of this node's, and have the store sign with it. Raises StorageError."""
    facts: dict[str, str] = {}
    Keyring.of(boot.node_id, key, boot.meta).own(facts)
    if facts:
        store.set_meta(facts)
        boot.meta.update(facts)
    store.sign_as(Signer(key.sign, key.seal))


def go_on(core: Core, boot: Boot, config: Config, around: Surroundings) -> int:
    """Writing works again: go on from the last commit, under a fresh writer. Returns that writer."""
    writer = around.draws.writer()
    core.recovered(boot, _locks(boot, config, around, core.replica.locks), writer)
    return writer


def _entity_bytes(config: Config) -> int:
    """What an entity may have, so that a terminal can be sent all of it in one message."""
    limits = config.limits
    return min(limits.entity_bytes, max(limits.message_bytes - HEADROOM, limits.message_bytes // 2))


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
        max_of_terminal=limits.leases_per_terminal,
        named=BELOW if config.links.upstream is not None else ALONE,
    )
    return LockTable.restore(table, boot.locks, around.clock(), running)
