"""The configuration: one TOML file with named sections, every limit in it with its default.

Command-line flags win over the file. Unknown sections, keys and values of the wrong type are refused by name.
"""

from __future__ import annotations

import math
import os
import re
import tomllib
from functools import partial
from typing import TYPE_CHECKING, Any, get_origin

from attrs import evolve, field, fields, frozen, has
from cattrs import BaseConverter, Converter, ForbiddenExtraKeysError, transform_error
from cattrs.cols import list_structure_factory, mapping_structure_factory
from cattrs.gen import make_dict_structure_fn

from crdt.engine import ENGINES
from node.core.history.conservation import Conservation
from node.core.sessions.identity import Permissions
from node.errors import ConfigError
from strategies.kinds.kind import FieldKind
from strategies.policy import DOCUMENTED, EntityPolicy, PolicyError, Registry, policy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    _Hook = Callable[[Any, Any], Any]

LINK_TOKEN = "COMANDA_LINK_TOKEN"
"""Environment variable with the token this node shows to the nodes it dials."""

DEEPEST_JSON = 128
"""Largest json_depth: orjson writes at most 254 levels, and a value goes out inside messages and records."""


@frozen
class NodeSection:
    """[node]: who this node is and where it listens."""

    id: str | None = None
    data: str = "comanda-data"
    host: str = "localhost"
    port: int = 8001
    engine: str = "y_py"
    insecure: bool = False


@frozen
class LimitsSection:
    """[limits]: a bound on everything."""

    rate_per_second: int = 2_000
    rate_burst: int = 5_000
    message_bytes: int = 1_048_576
    json_depth: int = 32
    connections: int = 2_000
    connections_per_address: int = 500
    terminals: int = 10_000
    window_rows: int = 1_024
    resident_entities: int = 10_000
    ring_rows: int = 16_384
    ring_bytes: int = 33_554_432
    outbox_bytes: int = 16_777_216
    lease_ms_default: int = 30_000
    lease_ms_max: int = 600_000
    version_jump: int = 1_000
    bulk_items: int = 1_000
    fields: int = 1_000


@frozen
class TimeSection:
    """[time]: clocks and intervals."""

    max_skew_ms: int = 60_000
    max_offset_ms: int = 86_400_000
    status_interval_s: float = 5.0
    metrics_interval_s: float = 10.0
    probe_ms: int = 500
    idle_ping_s: float = 20.0
    idle_timeout_s: float = 60.0


@frozen
class HttpSection:
    """[http]: browsers. origins: pages besides the node's own that may connect."""

    origins: list[str] = field(factory=list)


@frozen
class LinksSection:
    """[links]: other nodes. upstream: the node above in the tree, which grants locks. peers: nodes side by side."""

    upstream: str | None = None
    peers: list[str] = field(factory=list)
    token: str | None = None
    backoff_ms: int = 50
    backoff_max_ms: int = 800
    connect_timeout_ms: int = 1_000
    ping_s: float = 1.0
    silence_s: float = 5.0
    paused_s: float = 15.0


@frozen
class FieldConfig:
    """[entities.<type>.fields]: a field's kind, as `stock = "counter"` or as a table.

    ranks: of a progress, the least advanced first. lower: terminal types that may take a progress back.
    """

    kind: str
    ranks: list[str] = field(factory=list)
    lower: list[str] = field(factory=lambda: ["pos"])


@frozen
class EntityConfig:
    """[entities.<type>]: an entity type, in the protocol document's words; of a documented one only what differs.

    groups: fields that are one value together.
    """

    priority: str | None = None
    requires_lock: bool | None = None
    conflict_resolution: str | None = None
    audit_required: bool | None = None
    fields: dict[str, FieldConfig] = field(factory=dict)
    groups: list[list[str]] = field(factory=list)


DEFAULT_TERMINALS: Mapping[str, list[str]] = {
    "pos": ["*"],
    "kds": ["orders"],
    "waiter": ["orders", "customers"],
    "monitor": [],
}
"""Terminal type -> entity types it may write; "*" is all of them."""


@frozen
class Config:
    """Everything a node is told."""

    node: NodeSection = field(factory=NodeSection)
    limits: LimitsSection = field(factory=LimitsSection)
    time: TimeSection = field(factory=TimeSection)
    http: HttpSection = field(factory=HttpSection)
    links: LinksSection = field(factory=LinksSection)
    terminals: dict[str, list[str]] = field(factory=lambda: dict(DEFAULT_TERMINALS))
    entities: dict[str, EntityConfig] = field(factory=dict)
    conservation: list[Conservation] = field(factory=list)

    def with_flags(self, **flags: Any) -> Config:
        """The same with command-line flags of [node] that were given (not None)."""
        return evolve(self, node=evolve(self.node, **{k: v for k, v in flags.items() if v is not None}))

    def with_links(self, upstream: str | None, peers: Sequence[str]) -> Config:
        """The same with links given on the command line, and the token of the environment."""
        links = self.links
        token = links.token or os.environ.get(LINK_TOKEN)
        return evolve(
            self,
            links=evolve(links, upstream=upstream or links.upstream, peers=[*links.peers, *peers], token=token),
        )

    def registry(self) -> Registry:
        """The documented entity types and the configured ones. Raises ConfigError."""
        try:
            return Registry(_policy(name, entity) for name, entity in self.entities.items())
        except PolicyError as error:
            raise ConfigError(f"[entities] {error}") from error

    def permissions(self) -> dict[str, Permissions]:
        return {name: Permissions(tuple(writes)) for name, writes in self.terminals.items()}

    def check(self) -> Config:
        """Raise ConfigError for values no type can refuse; returns itself."""
        if self.node.engine not in ENGINES:
            raise ConfigError(f"[node] engine {self.node.engine!r} is none of {', '.join(ENGINES)}")
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
        if self.links.upstream is not None and self.links.upstream in self.links.peers:
            raise ConfigError(f"[links] {self.links.upstream} is the upstream; it cannot be a peer too")
        registry = self.registry()
        for rule in self.conservation:
            rule.check(registry)
        for name, writes in self.terminals.items():
            unknown = [entity for entity in writes if entity != "*" and registry.get(entity) is None]
            if unknown:
                raise ConfigError(f"[terminals] {name} may write unknown entity types {', '.join(unknown)}")
        return self


def _policy(name: str, entity: EntityConfig) -> EntityPolicy:
    """What is configured of an entity type, on what the protocol document says of it."""
    base = next((p for p in DOCUMENTED if p.entity_type == name), None)
    words = dict(base.documented()) if base is not None else {"audit_required": True}
    for word in ("priority", "requires_lock", "conflict_resolution", "audit_required"):
        given = getattr(entity, word)
        if given is not None:
            words[word] = given
        elif word not in words:
            raise ConfigError(f"[entities.{name}] {word}: is missing")
    kinds = dict(base.kinds.declared) if base is not None else {}
    if words["conflict_resolution"] == "manual_resolution":
        kinds = {}
    for field_name, told in entity.fields.items():
        kinds[field_name] = FieldKind(told.kind, tuple(told.ranks), tuple(told.lower))
    return policy(
        name,
        priority=str(words["priority"]),
        requires_lock=bool(words["requires_lock"]),
        conflict_resolution=str(words["conflict_resolution"]),
        audit_required=bool(words["audit_required"]),
        fields=kinds,
        groups=entity.groups,
    )


# ------------------------------------------------------------------ reading


_TOML_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "table"}


def _expect(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise TypeError(f"expected {_TOML_TYPES[kinds[0]]}, got {_TOML_TYPES.get(type(value), 'a date or time')}")
    return value


def _converter() -> Converter:
    """Strict: cattrs' own hooks take a string for a list of its letters, and 1 for true."""
    converter = Converter(forbid_extra_keys=True)
    converter.register_structure_hook(str, lambda value, _: _expect(value, str))
    converter.register_structure_hook(bool, lambda value, _: _expect(value, bool))
    converter.register_structure_hook(int, lambda value, _: _expect(value, int))
    converter.register_structure_hook(float, lambda value, _: float(_expect(value, float, int)))
    section = partial(make_dict_structure_fn, _cattrs_forbid_extra_keys=True)
    converter.register_structure_hook_factory(_is_list, partial(_of_kind, list, list_structure_factory))
    converter.register_structure_hook_factory(_is_dict, partial(_of_kind, dict, mapping_structure_factory))
    converter.register_structure_hook_factory(has, partial(_of_kind, dict, section))
    table = converter.get_structure_hook(FieldConfig)
    converter.register_structure_hook(
        FieldConfig, lambda value, cls: FieldConfig(value) if type(value) is str else table(value, cls)
    )
    return converter


def _is_list(cls: Any) -> bool:
    return bool(get_origin(cls) is list)


def _is_dict(cls: Any) -> bool:
    return bool(get_origin(cls) is dict)


def _of_kind(kind: type, factory: Callable[..., Any], cls: Any, converter: BaseConverter) -> _Hook:
    """cattrs' own hook for this collection or section, behind a check that it is one."""
    inner = factory(cls, converter)
    return lambda value, _: inner(_expect(value, kind), cls)


def load(path: Path) -> Config:
    """The configuration in a TOML file. Raises ConfigError naming the file, the section and the key."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return parse(text, str(path))


def parse(text: str, name: str = "configuration") -> Config:
    """The configuration in a TOML text."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from error
    try:
        config: Config = _converter().structure(document, Config)
    except Exception as error:
        wrong = [_place(said) for said in transform_error(error, path="", format_exception=_say)]
        raise ConfigError(f"{name}: {'; '.join(wrong)}") from error
    terminals = {**DEFAULT_TERMINALS, **config.terminals}
    try:
        return evolve(config, terminals=terminals).check()
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def _say(error: BaseException, _: type | None) -> str:
    if isinstance(error, KeyError):
        return "is missing"
    if isinstance(error, ForbiddenExtraKeysError):
        return f"unknown: {', '.join(sorted(error.extra_fields))}"
    return str(error)


def _place(said: str) -> str:
    """`expected string, got integer @ .entities['x'].priority` as `[entities.x] priority: expected string, ...`."""
    what, _, path = said.rpartition(" @ ")
    steps = re.findall(r"\['(.*?)'\]|([^.\[\]]+)", path)
    names = [quoted or plain for quoted, plain in steps]
    if not names:
        return what
    depth = 2 if names[0] == "entities" else 1
    return f"[{'.'.join(names[:depth])}] {'.'.join(names[depth:])}".rstrip() + f": {what}"


def example_toml() -> str:
    """A commented configuration that says what the defaults are (`comanda init` writes it)."""
    defaults = Config()
    lines = [
        "# Configuração do Comanda. Cada linha mostra o valor padrão; apague o que não quiser mudar.",
        "# Comanda's configuration. Every line shows the default; delete what you do not want to change.",
    ]
    for name in ("node", "limits", "time", "http", "links"):
        section = getattr(defaults, name)
        lines += ["", f"[{name}]"]
        for attribute in fields(type(section)):
            value = getattr(section, attribute.name)
            shown = _toml(value)
            lines.append(f"{attribute.name} = {shown}" if value is not None else f"# {attribute.name} = ")
    lines += ["", "# O que cada tipo de terminal pode gravar. / What each terminal type may write.", "[terminals]"]
    lines += [f"{name} = {_toml(writes)}" for name, writes in DEFAULT_TERMINALS.items()]
    lines += [
        "",
        "# Um pedido não volta atrás sozinho: de dois estados escritos ao mesmo tempo fica o mais avançado, e o que",
        "# está pago continua pago. Só os tipos em `lower` podem voltar. Sem esta regra fica o último escrito, como",
        "# diz o documento do protocolo.",
        "# An order does not go back by itself: of two statuses written at once the more advanced one stays, and",
        "# what is paid stays paid. Only the types in `lower` may go back. Without this rule the last write stays.",
        "[entities.orders.fields.status]",
        'kind = "progress"',
        'ranks = ["pending", "preparing", "ready", "served", "delivered", "cancelled", "paid"]',
        'lower = ["pos"]',
        "",
        "# Campos que valem juntos, como um só. / Fields that are one value together.",
        "# [entities.orders]",
        '# groups = [["total", "discount"]]',
        "",
        "# Tipos de entidade além dos documentados. / Entity types besides the documented ones.",
        "# [entities.reservations]",
        '# priority = "medium"',
        "# requires_lock = false",
        '# conflict_resolution = "merge_changes"',
        '# fields = { seats = "counter", guests = "keyed_list" }',
        "",
        "# Somas que têm de fechar (`comanda verify`). / Sums that must come out (`comanda verify`).",
        "# [[conservation]]",
        '# name = "drawer"',
        '# of = "cashier_operations"',
        '# amount = "amount"',
        '# sign = { field = "type", plus = ["opening", "deposit", "sale"], minus = ["withdrawal"] }',
        '# group_by = "drawer_id"',
        '# equals = "drawers.balance"',
        "",
    ]
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
