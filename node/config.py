"""The configuration: one TOML file with named sections, every limit in it with its default.

Command-line flags win over the file. Unknown sections, keys and values of the wrong type are refused by name.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, fields, frozen
from cattrs import Converter, transform_error
from cattrs.gen import make_dict_structure_fn

from crdt.engine import ENGINES
from node.core.session import Permissions
from node.errors import ConfigError
from strategies.policy import EntityPolicy, PolicyError, Registry, policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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
class EntityConfig:
    """[entities.<type>]: an entity type, in the protocol document's words."""

    priority: str
    requires_lock: bool
    conflict_resolution: str
    audit_required: bool = True
    fields: dict[str, str] = field(factory=dict)


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
    terminals: dict[str, list[str]] = field(factory=lambda: dict(DEFAULT_TERMINALS))
    entities: dict[str, EntityConfig] = field(factory=dict)

    def with_flags(self, **flags: Any) -> Config:
        """The same with command-line flags of [node] that were given (not None)."""
        return evolve(self, node=evolve(self.node, **{k: v for k, v in flags.items() if v is not None}))

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
        for section in (self.limits, self.time):
            for attribute in fields(type(section)):
                if getattr(section, attribute.name) <= 0:
                    raise ConfigError(f"{attribute.name} must be positive")
        registry = self.registry()
        for name, writes in self.terminals.items():
            unknown = [entity for entity in writes if entity != "*" and registry.get(entity) is None]
            if unknown:
                raise ConfigError(f"[terminals] {name} may write unknown entity types {', '.join(unknown)}")
        return self


def _policy(name: str, entity: EntityConfig) -> EntityPolicy:
    return policy(
        name,
        priority=entity.priority,
        requires_lock=entity.requires_lock,
        conflict_resolution=entity.conflict_resolution,
        audit_required=entity.audit_required,
        fields=entity.fields,
    )


# ------------------------------------------------------------------ reading


def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)

    def strict(*kinds: type) -> Any:
        def structure(value: Any, _: Any) -> Any:
            if type(value) not in kinds:
                raise TypeError(f"expected {kinds[0].__name__}, got {type(value).__name__}")
            return kinds[0](value)

        return structure

    converter.register_structure_hook(str, strict(str))
    converter.register_structure_hook(bool, strict(bool))
    converter.register_structure_hook(int, strict(int))
    converter.register_structure_hook(float, strict(float, int))
    for section in (NodeSection, LimitsSection, TimeSection, HttpSection, EntityConfig, Config):
        converter.register_structure_hook(
            section,
            make_dict_structure_fn(section, converter, _cattrs_forbid_extra_keys=True),
        )
    return converter


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
        wrong = "; ".join(transform_error(error, path="", format_exception=_say))
        raise ConfigError(f"{name}: {wrong}") from error
    terminals = {**DEFAULT_TERMINALS, **config.terminals}
    return evolve(config, terminals=terminals).check()


def _say(error: BaseException, _: type | None) -> str:
    if isinstance(error, KeyError):
        return f"missing key {error.args[0]}"
    return str(error)


def example_toml() -> str:
    """A commented configuration that says what the defaults are (`comanda init` writes it)."""
    defaults = Config()
    lines = [
        "# Configuração do Comanda. Cada linha mostra o valor padrão; apague o que não quiser mudar.",
        "# Comanda's configuration. Every line shows the default; delete what you do not want to change.",
    ]
    for name in ("node", "limits", "time", "http"):
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
        "# Tipos de entidade além dos documentados. / Entity types besides the documented ones.",
        "# [entities.reservations]",
        '# priority = "medium"',
        "# requires_lock = false",
        '# conflict_resolution = "merge_changes"',
        "",
    ]
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
