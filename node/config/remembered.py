"""The part of a configuration that a data directory remembers, so that it can be read without the file.

A node stores it at each start. `comanda verify` and `comanda archive` use it where no `--config` is given: what an
entity shows, and when a time without an offset was, follow from the configuration that was in force.
"""

from __future__ import annotations

from typing import Any

import orjson
from attrs import asdict

from node.config.reading import structured
from node.config.sections import Config
from node.errors import ConfigError


def remembered(config: Config) -> str:
    """What is stored of a configuration: entity types, sums and the zone. Any engine reads what any other wrote."""
    kept: dict[str, Any] = {
        "time": {"zone": config.time.zone},
        "entities": {name: _said(entity) for name, entity in config.entities.items()},
        "conservation": [_said(rule) for rule in config.conservation],
    }
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode()


def shared(config: Config) -> dict[str, Any]:
    """What all nodes of a store have in common, as a file would say it: a node that joins takes it over."""
    return {
        "time": {"zone": config.time.zone},
        "locks": _said(config.locks),
        "terminals": {name: _said(terminal) for name, terminal in config.terminals.items()},
        "entities": {name: _said(entity) for name, entity in config.entities.items()},
        "conservation": [_said(rule) for rule in config.conservation],
    }


def recalled(text: str | None) -> Config:
    """The configuration of a stored text; the defaults where none is stored. Raises ConfigError."""
    if text is None:
        return Config()
    try:
        return structured(orjson.loads(text), "the configuration that this data directory remembers")
    except ValueError as error:
        raise ConfigError(f"the configuration that this data directory remembers: {error}") from error


def _said(section: Any) -> dict[str, Any]:
    """A section as a file would say it: TOML has no null."""
    return asdict(section, filter=lambda _, value: value is not None)
