"""Where each setting comes from: a flag wins over the environment, that over the file, and that over the default.

A setting `[section] key` is `COMANDA_SECTION_KEY` in the environment. A section whose names people choose is one
setting: `COMANDA_TERMINALS`, `COMANDA_ENTITIES`, `COMANDA_LISTEN`, `COMANDA_CONSERVATION`, and in [links] `at` and
`may_speak_for`; such a variable stands in the place of all that the file says there. Text stands as it is, a list of
texts also with commas (`a,b`), everything else as TOML has it. An empty variable is none.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from attrs import asdict, fields, has, resolve_types

from crdt.classes import frozen
from node.addresses import MASK, without_password
from node.config.reading import find, read_toml, single, structured, unknown_key
from node.config.sections import Config, NodeSection
from node.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "COMANDA_"
LINK_TOKEN = "COMANDA_LINK_TOKEN"
"""An earlier name of COMANDA_LINKS_TOKEN. A link without its token would only be refused, so it is told."""

FLAGS: Mapping[tuple[str, str], str] = {
    ("node", "host"): "--host",
    ("node", "port"): "--port",
    ("node", "data"): "--data",
    ("node", "id"): "--id",
    ("node", "engine"): "--engine",
    ("node", "insecure"): "--insecure",
    ("links", "upstream"): "--upstream",
    ("links", "peers"): "--peer",
    ("tls", "certificate"): "--tls-cert",
    ("tls", "key"): "--tls-key",
    ("tls", "client_ca"): "--tls-client-ca",
    ("log", "format"): "--log-format",
    ("log", "verbose"): "--verbose",
}
"""The settings of which `comanda serve` has a flag."""

BY_NAME = ("terminals", "entities")
"""Sections with names from people, each name shown by itself."""

SECRETS = ("token",)


@frozen
class Key:
    """One setting. name: "" where the section as a whole is one. kind: its type."""

    section: str
    name: str
    kind: Any

    @property
    def variable(self) -> str:
        return PREFIX + "_".join(filter(None, (self.section, self.name))).upper()

    @property
    def place(self) -> tuple[str, str]:
        return self.section, self.name

    def __str__(self) -> str:
        return ".".join(filter(None, self.place))


def keys() -> Iterator[Key]:
    """Every setting there is."""
    for section in fields(resolve_types(Config)):
        if section.type is not None and has(section.type):
            for attribute in fields(resolve_types(section.type)):
                yield Key(section.name, attribute.name, attribute.type)
        else:
            yield Key(section.name, "", section.type)


@frozen
class Source:
    """Where a value comes from.

    layer: flag, environment, file or default. where: the flag, the variable or the file.
    """

    layer: str
    where: str | None = None


DEFAULT = Source("default")


@frozen
class Settings:
    """The configuration in force. file: the one that was read. sources: of every setting that is no default."""

    config: Config
    file: Path | None
    sources: Mapping[tuple[str, str], Source]

    def rows(self) -> list[dict[str, Any]]:
        """Every setting, JSON types, secrets masked: key, value, source, where, variable, flag."""
        told = asdict(self.config, filter=lambda attribute, value: value is not None)
        found = []
        for key in keys():
            section = told[key.section]
            if key.name or key.section not in BY_NAME or not section:
                found.append(self._row(key, str(key), section.get(key.name) if key.name else section, key.place))
            else:
                found += [self._row(key, f"{key}.{name}", section[name], (key.section, name)) for name in section]
        return found

    def _row(self, key: Key, said: str, value: Any, place: tuple[str, str]) -> dict[str, Any]:
        source = self.sources.get(place, DEFAULT)
        return {
            "key": said,
            "value": _masked(key.name, value),
            "source": source.layer,
            "where": source.where,
            "variable": key.variable,
            "flag": FLAGS.get(place),
        }


def settings(
    environment: Mapping[str, str], file: Path | None = None, flags: Mapping[tuple[str, str], Any] | None = None
) -> Settings:
    """The configuration of a file, an environment and flags. Raises ConfigError.

    file: None takes the one that is found. flags: of FLAGS, those that were given.
    """
    said = from_environment(environment)
    flags = _tls_together(flags or {})
    place = ("node", "data")
    file = file or find(Path(flags.get(place) or said.get(place) or NodeSection().data))
    document = read_toml(file) if file is not None else {}
    sources = {place: Source("file", str(file)) for place in _places(document)}
    variables = {key.place: key.variable for key in keys()}
    for layer, values, names in (("environment", said, variables), ("flag", flags, FLAGS)):
        for place, value in values.items():
            section, name = place
            _put(document, place, value)
            said_here = [place] if name else _places({section: value})
            sources |= dict.fromkeys(said_here, Source(layer, names[place]))
    _check_listen(document, sources)
    told = dict.fromkeys(source.where for source in sources.values() if source.where is not None)
    return Settings(structured(document, ", ".join(told) or "configuration"), file, sources)


def from_environment(environment: Mapping[str, str]) -> dict[tuple[str, str], Any]:
    """By setting, as a file would have it. Raises ConfigError, which names every variable that is wrong.

    A variable that begins with no section is none of ours: tests and other tools have theirs.
    """
    by_variable = {key.variable: key for key in keys()}
    sections = sorted({key.section.upper() for key in by_variable.values()})
    ours = re.compile(rf"{PREFIX}({'|'.join(sections)})(_|\Z)")
    found: dict[tuple[str, str], Any] = {}
    wrong: list[str] = []
    if environment.get(LINK_TOKEN):
        wrong.append(f"{LINK_TOKEN} is COMANDA_LINKS_TOKEN")
    for variable in sorted(environment):
        text = environment[variable]
        key = by_variable.get(variable)
        if key is None:
            if ours.match(variable):
                wrong.append(unknown_key(variable, by_variable))
        elif text:
            value = _value(text, key.kind)
            try:
                single({key.section: {key.name: value} if key.name else value})
            except ConfigError as error:
                wrong.append(f"{variable}: {error}")
            found[key.place] = value
    if wrong:
        raise ConfigError("; ".join(wrong))
    return found


def _value(text: str, kind: Any) -> Any:
    """What a variable says, as TOML types; the text itself where it is none of them."""
    if kind is str or (str in get_args(kind) and get_origin(kind) not in (list, dict)):
        return text
    if kind == list[str] and not text.lstrip().startswith("["):
        return [item.strip() for item in text.split(",")]
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return document["value"] if len(document) == 1 else text


def _places(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a document says something of: each section as a whole, and each name in it."""
    for section, said in document.items():
        yield section, ""
        if isinstance(said, dict):
            yield from ((section, name) for name in said)


def _put(document: dict[str, Any], place: tuple[str, str], value: Any) -> None:
    """TOML has no null: None takes away what a layer below says."""
    section, name = place
    if not name:
        document[section] = value
        return
    table = document.setdefault(section, {})
    if isinstance(table, dict):  # else the file is refused
        table[name] = value
        if value is None:
            del table[name]


def _tls_together(flags: Mapping[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
    """A certificate of the command line takes no key from elsewhere."""
    alone = {("tls", "key"): None} if ("tls", "certificate") in flags else {}
    return {**alone, **flags}


def _check_listen(document: dict[str, Any], sources: Mapping[tuple[str, str], Source]) -> None:
    """Raise ConfigError for a host or port of a flag or a variable that would have no effect beside [[listen]]."""
    for place in (("node", "host"), ("node", "port")):
        source = sources.get(place, DEFAULT)
        if document.get("listen") and source.layer in ("flag", "environment"):
            raise ConfigError(f"{source.where} does not go with the [[listen]] of the configuration")


def _masked(name: str, value: Any) -> Any:
    if name in SECRETS and value is not None:
        return MASK
    if isinstance(value, dict):
        return {_masked("", key): _masked(key, inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_masked("", inner) for inner in value]
    return without_password(value) if isinstance(value, str) else value
