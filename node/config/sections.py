"""The sections of the configuration and the default of every setting.

A default stands here only, or in `links.py` and `conservation.py` beside it: the core, the listener and the codec are
handed these values and have none of their own. These three files import nothing else of the node but its errors and
rights, so that every part of the node may import them.
"""

from __future__ import annotations

import ipaddress
import math
import re
from datetime import UTC
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import evolve, field, fields

from crdt.classes import frozen
from crdt.engine import DEFAULT, ENGINES, INSTALLED
from crdt.hlc import Zone
from node.addresses import listening_host
from node.config.addresses import address_of
from node.config.conservation import Conservation
from node.config.hubs import HubsSection
from node.config.links import LinksSection
from node.config.upkeep import BackupSection, DiskSection, LogSection, RetentionSection
from node.errors import ConfigError
from node.rights import EVERY, REPORTS, VERBS, Rights, unknown
from strategies.kinds.kind import FieldKind
from strategies.policy import DOCUMENTED, EntityPolicy, PolicyError, Registry, policy

if TYPE_CHECKING:
    from collections.abc import Mapping

DEEPEST_JSON = 128
"""Largest json_depth: orjson writes at most 254 levels, and a value goes out inside messages and records."""


DEVICE = r"(?:con|prn|aux|nul|(?:com|lpt)[0-9])"
"""What Windows takes for a device: the name of no file and no folder there."""

SITE = re.compile(rf"(?!{DEVICE}\Z)[a-z0-9][a-z0-9_-]{{0,63}}\Z", re.ASCII)
REALMS = "realms"
"""The folder of head office's data directory with a data directory for each store that it keeps."""

SITE_SAID = "up to 64 of a-z, 0-9, - and _, beginning with a letter or digit, and no device of Windows (con, nul)"
"""A site names a folder at head office, on any system."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@frozen
class NodeSection:
    """[node]: who this node is and where it listens. Flags of `comanda serve` win over it (sources.py).

    id: None takes the name that the data directory was made with, or draws one.
    site: the store that this is a node of, its realm: nodes of one realm are linked, and no others. None is a store
        without a name.
    data: the data directory.
    engine: the CRDT engine, "y_py" or "pycrdt"; y_py where it is installed.
    machine: "standard" or "small". On a small one no limit is above SMALL's, and memory is given back sooner.
    insecure: serve addresses beyond loopback without tokens.
    """

    id: str | None = None
    site: str | None = None
    data: str = "comanda-data"
    host: str = "localhost"
    port: int = 8001
    engine: str = DEFAULT
    machine: str = "standard"
    insecure: bool = False

    @property
    def realm(self) -> str:
        """The site's name, "" without one."""
        return self.site or ""


@frozen
class TlsSection:
    """[tls]: what the node shows to those who connect, and to the nodes it dials that ask for it. PEM files.

    certificate: its chain, the node's own first; with it the node speaks TLS.
    key: None where the certificate's file holds it.
    client_ca: authorities. With it nobody connects without a certificate of one of them.
    """

    certificate: str | None = None
    key: str | None = None
    client_ca: str | None = None


@frozen
class Listen:
    """[[listen]]: an address where the node listens, in the place of the one in [node].

    tls: None is yes where there is a certificate.
    """

    host: str
    port: int = 8001
    tls: bool | None = None


@frozen
class LimitsSection:
    """[limits]: a bound on everything. Names end in their unit; without one they are counts.

    rate_per_second, rate_burst: messages of one terminal.
    message_bytes, json_depth, fields, bulk_items, bulk_fields: one message. Nothing goes to a terminal above
        message_bytes.
    entity_bytes: an entity's values. It leaves room for what delivering adds, below message_bytes.
    bulk_bytes: the entities of one BULK_UPDATE together, since its row shows them.
    connections, connections_per_address: open at one time.
    terminals: known to the node, connected or not.
    window_rows: sent to one terminal and not confirmed by it.
    resident_entities, resident_bytes: entities in memory, and their documents and views.
    ring_rows, ring_bytes: log rows in memory, as they are sent and, once more, as they were stored.
    quarantine_bytes: operations of linked nodes that cannot be applied; of one node a quarter of it.
    backlog_bytes: waiting to be handled on one connection; its socket is not read while there is more.
    outbox_bytes: queued for one connection; a connection that has more is closed.
    lease_ms_default, lease_ms_max: how long a lock holds.
    leases_per_terminal: locks that one terminal holds at one time.
    version_jump: how far a terminal's `version` may take an entity's ahead at once.
    """

    rate_per_second: int = 2_000
    rate_burst: int = 5_000
    message_bytes: int = 1_048_576
    entity_bytes: int = 1_000_000
    json_depth: int = 32
    connections: int = 2_000
    connections_per_address: int = 500
    terminals: int = 10_000
    window_rows: int = 1_024
    resident_entities: int = 10_000
    resident_bytes: int = 268_435_456
    ring_rows: int = 16_384
    ring_bytes: int = 33_554_432
    quarantine_bytes: int = 67_108_864
    backlog_bytes: int = 4_194_304
    outbox_bytes: int = 16_777_216
    lease_ms_default: int = 30_000
    lease_ms_max: int = 600_000
    leases_per_terminal: int = 256
    version_jump: int = 1_000
    bulk_items: int = 1_000
    bulk_fields: int = 4_000
    bulk_bytes: int = 8_388_608
    fields: int = 1_000


MACHINES = ("standard", "small")

SMALL = {
    "resident_entities": 500,
    "resident_bytes": 8_388_608,
    "ring_rows": 1_024,
    "ring_bytes": 2_097_152,
    "quarantine_bytes": 8_388_608,
    "backlog_bytes": 1_048_576,
    "outbox_bytes": 4_194_304,
}
"""What [limits] has at most on a small machine. What is not in memory is read from the disk."""


@frozen
class TimeSection:
    """[time]: clocks and intervals.

    max_skew_ms: how far what other nodes accepted may take this node's stamps ahead of its clock.
    max_offset_ms: largest difference to the upstream's clock at which this node stamps with the upstream's time.
    status_interval_s: between two statuses, and two pings to one connection.
    metrics_interval_s: between two messages of figures to monitors.
    probe_ms: how long an old connection may take to answer when its terminal connects a second time.
    idle_timeout_s: a connection that was silent for so long is closed.
    realm_rest_s: at head office, how long a store's realm stays open when nobody is connected to it any more.
    zone: where the store is, as IANA names it ("America/Sao_Paulo"). A time without an offset was written there.
    """

    max_skew_ms: int = 60_000
    max_offset_ms: int = 21_600_000
    status_interval_s: float = 5.0
    metrics_interval_s: float = 10.0
    probe_ms: int = 500
    idle_timeout_s: float = 60.0
    realm_rest_s: float = 600.0
    zone: str = "UTC"

    def where(self) -> Zone:
        """The zone with its rules. Raises ConfigError for a name that nobody knows."""
        try:
            return Zone(self.zone, UTC if self.zone == "UTC" else ZoneInfo(self.zone))
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigError(f"[time] zone {self.zone[:64]!r} is no time zone: {error}") from error


@frozen
class HttpSection:
    """[http]: browsers.

    origins: pages besides the node's own that may connect and read, as `https://host`.
    proxies: addresses and networks of proxies whose word is taken for a client's address.
    """

    origins: list[str] = field(factory=list)
    proxies: list[str] = field(factory=list)


@frozen
class LocksSection:
    """[locks].

    broken_by: terminal types that may take a lock from the terminal that has it.
    """

    broken_by: list[str] = field(factory=lambda: ["pos"])


@frozen
class FieldConfig:
    """[entities.<type>.fields]: a field's kind, as `stock = "counter"` or as a table.

    ranks: the values of a progress, the least advanced first.
    lower: terminal types that may take a progress back.
    final: ranks of a progress whose entity only these types may delete, and only having seen that it is so far.
    key: the field that names an element of a keyed list.
    fields: of a keyed list, the fields of its elements that are no plain register: counters and progresses.
    """

    kind: str
    ranks: list[str] = field(factory=list)
    lower: list[str] = field(factory=lambda: ["pos"])
    final: list[str] = field(factory=list)
    key: str = "id"
    fields: dict[str, FieldConfig] = field(factory=dict)

    def kind_of_field(self) -> FieldKind:
        """As the policy has it."""
        fields = {name: of.kind_of_field() for name, of in self.fields.items()}
        return FieldKind(self.kind, tuple(self.ranks), tuple(self.lower), tuple(self.final), self.key, fields)


@frozen
class EntityConfig:
    """[entities.<type>]: an entity type in the protocol's words. A documented type needs only what differs.

    groups: lists of fields that are one value together.
    """

    priority: str | None = None
    requires_lock: bool | None = None
    conflict_resolution: str | None = None
    audit_required: bool | None = None
    fields: dict[str, FieldConfig] = field(factory=dict)
    groups: list[list[str]] = field(factory=list)


@frozen
class TerminalConfig:
    """[terminals]: the rights of a terminal type, as `kds = ["orders"]` (what it writes) or as a table.

    write, resolve: entity types, "*" for all; who writes a type resolves its conflicts, unless it is said otherwise.
    read: entity types, "audit" and "metrics".
    operate: "archive", "backup", "keys", "publish", "quarantine", "tokens", "*" for all.
    """

    write: list[str] | None = None
    resolve: list[str] | None = None
    read: list[str] | None = None
    operate: list[str] | None = None

    def given(self) -> dict[str, list[str]]:
        """What is said, by verb."""
        return {verb: said for verb in VERBS if (said := getattr(self, verb)) is not None}

    def rights(self) -> Rights:
        """All of them. What is not said of reading is every entity."""
        said = self.given()
        return Rights(**{"resolve": said.get("write", ()), "read": (EVERY,), **said})


DEFAULT_TERMINALS: Mapping[str, TerminalConfig] = {
    "pos": TerminalConfig(write=["*"], read=["*", "audit", "metrics"]),
    "kds": TerminalConfig(write=["orders"], read=["*"]),
    "waiter": TerminalConfig(write=["orders", "customers"], read=["*"]),
    "monitor": TerminalConfig(write=[], read=["*", "audit", "metrics"]),
}


@frozen
class Permissions:
    """What a terminal type may do.

    breaks_locks: whether it may take a lock from the terminal that has it.
    """

    rights: Rights
    breaks_locks: bool = False

    def may_write(self, entity_type: str) -> bool:
        return self.rights.may("write", entity_type)


@frozen
class Config:
    """Everything a node is told."""

    node: NodeSection = field(factory=NodeSection)
    limits: LimitsSection = field(factory=LimitsSection)
    time: TimeSection = field(factory=TimeSection)
    http: HttpSection = field(factory=HttpSection)
    links: LinksSection = field(factory=LinksSection)
    hubs: HubsSection = field(factory=HubsSection)
    locks: LocksSection = field(factory=LocksSection)
    tls: TlsSection = field(factory=TlsSection)
    backup: BackupSection = field(factory=BackupSection)
    retention: RetentionSection = field(factory=RetentionSection)
    disk: DiskSection = field(factory=DiskSection)
    log: LogSection = field(factory=LogSection)
    listen: list[Listen] = field(factory=list)
    terminals: dict[str, TerminalConfig] = field(factory=lambda: dict(DEFAULT_TERMINALS))
    entities: dict[str, EntityConfig] = field(factory=dict)
    conservation: list[Conservation] = field(factory=list)

    def addresses(self) -> list[Listen]:
        """Where the node listens; each says whether with TLS."""
        with_certificate = self.tls.certificate is not None
        some = self.listen or [Listen(self.node.host, self.node.port)]
        return [one if one.tls is not None else evolve(one, tls=with_certificate) for one in some]

    @property
    def this_machine_only(self) -> bool:
        """Whether it listens on loopback alone."""
        return all(is_loopback(one.host) for one in self.addresses())

    def registry(self) -> Registry:
        """The documented entity types and the configured ones. Raises ConfigError."""
        try:
            return Registry(_policy(name, entity) for name, entity in self.entities.items())
        except PolicyError as error:
            raise ConfigError(f"[entities] {error}") from error

    def permissions(self) -> dict[str, Permissions]:
        """By terminal type."""
        breakers = self.locks.broken_by
        return {name: Permissions(given.rights(), name in breakers) for name, given in self.terminals.items()}

    @property
    def small(self) -> bool:
        return self.node.machine == "small"

    def sized(self) -> Config:
        """The same as its machine can carry it."""
        if not self.small:
            return self
        least = {name: min(most, getattr(self.limits, name)) for name, most in SMALL.items()}
        return evolve(self, limits=evolve(self.limits, **least))

    def check(self) -> Config:
        """Raise ConfigError for values no type can refuse; returns itself."""
        if self.node.site is not None and SITE.match(self.node.site) is None:
            raise ConfigError(f"[node] site {self.node.site[:128]!r} is no name of a site: {SITE_SAID}")
        if self.links.office is not None and self.node.site is None:
            raise ConfigError("[links] office wants [node] site: head office keeps each store apart by its name")
        if self.node.engine not in ENGINES:
            raise ConfigError(f"[node] engine {self.node.engine!r} is none of {', '.join(ENGINES)}")
        if self.node.engine not in INSTALLED:
            raise ConfigError(f"[node] engine {self.node.engine} is not installed here; {', '.join(INSTALLED)} is")
        if self.node.machine not in MACHINES:
            raise ConfigError(f"[node] machine {self.node.machine!r} is none of {', '.join(MACHINES)}")
        address_of("[node] host", self.node.host, listening_host)
        for one in self.listen:
            address_of("[[listen]] host", one.host, listening_host)
        if not 0 <= self.node.port <= 65_535:
            raise ConfigError(f"[node] port {self.node.port} is none")
        for name in ("limits", "time", "links"):
            section = getattr(self, name)
            for attribute in fields(type(section)):
                value = getattr(section, attribute.name)
                if not isinstance(value, int | float):
                    continue
                if not (value > 0 and math.isfinite(value)):
                    raise ConfigError(f"[{name}] {attribute.name} must be positive and finite, not {value}")
        if self.limits.json_depth > DEEPEST_JSON:
            raise ConfigError(f"[limits] json_depth is at most {DEEPEST_JSON}, not {self.limits.json_depth}")
        if self.limits.lease_ms_default > self.limits.lease_ms_max:
            raise ConfigError("[limits] lease_ms_default is more than lease_ms_max")
        self.links.check()
        self.hubs.check()
        if self.hubs.database is not None and self.tls.client_ca is not None:
            raise ConfigError("[hubs] passes connections on, and [tls] client_ca asks who connects for a certificate")
        self.backup.check()
        self.retention.check()
        self.disk.check()
        self.log.check()
        self.time.where()
        if self.tls.certificate is None and (self.tls.key is not None or self.tls.client_ca is not None):
            raise ConfigError("[tls] certificate is missing")
        for one in self.addresses():
            if not 0 <= one.port <= 65_535:
                raise ConfigError(f"[[listen]] port {one.port} is none")
            if one.tls and self.tls.certificate is None:
                raise ConfigError(f"[[listen]] {one.host} speaks TLS, and [tls] certificate is missing")
        registry = self.registry()
        for rule in self.conservation:
            rule.check(registry)
        types = [policy.entity_type for policy in registry.all()]
        if taken := [name for name in (EVERY, *REPORTS) if name in types]:
            raise ConfigError(f"[entities.{taken[0]}]: a right is named so, and no entity type may be")
        for name, given in self.terminals.items():
            if strange := unknown(given.given(), types):
                raise ConfigError(f"[terminals] {name}: nothing is named so: {', '.join(strange)}")
        strangers = [name for name in self.locks.broken_by if name not in self.terminals]
        if strangers:
            raise ConfigError(f"[locks] broken_by names unknown terminal types {', '.join(strangers)}")
        return self


def _policy(name: str, entity: EntityConfig) -> EntityPolicy:
    """The policy of an entity type: the documented one, if any, changed by what is configured. Raises ConfigError."""
    base = next((p for p in DOCUMENTED if p.entity_type == name), None)
    words = dict(base.documented()) if base is not None else {"audit_required": True}
    for word in ("priority", "requires_lock", "conflict_resolution", "audit_required"):
        value = getattr(entity, word)
        if value is not None:
            words[word] = value
        elif word not in words:
            raise ConfigError(f"[entities.{name}] {word}: is missing")
    kinds = dict(base.kinds.declared) if base is not None else {}
    if words["conflict_resolution"] == "manual_resolution":
        kinds = {}
    for name_of_field, kind in entity.fields.items():
        kinds[name_of_field] = kind.kind_of_field()
    return policy(
        name,
        priority=str(words["priority"]),
        requires_lock=bool(words["requires_lock"]),
        conflict_resolution=str(words["conflict_resolution"]),
        audit_required=bool(words["audit_required"]),
        fields=kinds,
        groups=entity.groups,
    )
