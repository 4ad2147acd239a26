"""Reading a TOML file into sections. Every mistake is named by file, section and key, all of them at once."""

from __future__ import annotations

import difflib
import re
import tomllib
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

from attrs import evolve, fields, has
from cattrs import BaseConverter, Converter, ForbiddenExtraKeysError, transform_error
from cattrs.cols import list_structure_factory, mapping_structure_factory
from cattrs.gen import make_dict_structure_fn

from node.config.sections import DEFAULT_TERMINALS, Config, FieldConfig, TerminalConfig, TimeSection
from node.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    _Hook = Callable[[Any, Any], Any]

_REMOVED: dict[tuple[type, str], str] = {
    (TimeSection, "idle_ping_s"): "had no effect and was removed, delete the line"
}
"""Settings of earlier versions, which a file may still name: (section, key) -> what the error says of it."""


NAME = "comanda.toml"
"""The file that is read without being named."""


def find(data: Path) -> Path | None:
    """The configuration that is there: of the current directory, else of the data directory."""
    return next((path for path in (Path(NAME), data / NAME) if path.is_file()), None)


def load(path: Path) -> Config:
    """The configuration in a TOML file. Raises ConfigError naming the file, the section and the key."""
    return structured(read_toml(path), str(path))


def parse(text: str, name: str = "configuration") -> Config:
    """The configuration in a TOML text. Raises ConfigError; `name` says in its text where the TOML came from."""
    return structured(_document(text, name), name)


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says, not checked. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return _document(text, str(path))


def _document(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from error


def single(document: dict[str, Any]) -> Config:
    """What a document says, each setting by itself: whether they go together is not checked. Raises ConfigError."""
    try:
        config: Config = _converter().structure(document, Config)
    except Exception as error:
        wrong = [_place(line) for line in transform_error(error, path="", format_exception=_say)]
        raise ConfigError("; ".join(wrong)) from error
    return config


def structured(document: dict[str, Any], name: str) -> Config:
    """The configuration of a TOML document that was read. Raises ConfigError."""
    try:
        config = single(document)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error
    said = {
        name: DEFAULT_TERMINALS.get(name, TerminalConfig()).given() | t.given()
        for name, t in config.terminals.items()
    }
    terminals = {**DEFAULT_TERMINALS, **{name: TerminalConfig(**given) for name, given in said.items()}}
    try:
        return evolve(config, terminals=terminals).check().sized()
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def _say(error: BaseException, _: type | None) -> str:
    if isinstance(error, KeyError):
        return "is missing"
    if isinstance(error, ForbiddenExtraKeysError):
        removed = {name: _REMOVED[error.cl, name] for name in error.extra_fields if (error.cl, name) in _REMOVED}
        unknown = sorted(error.extra_fields - removed.keys())
        words = [f"{name} {what}" for name, what in sorted(removed.items())]
        known = [attribute.name for attribute in fields(error.cl)]
        said = [f"{name}{_meant(name, known) or _elsewhere(name)}" for name in unknown]
        return "; ".join([*words, *([f"unknown: {', '.join(said)}"] if said else [])])
    return str(error)


def unknown_key(name: str, known: Iterable[str]) -> str:
    """What is said of a name that nothing has."""
    return f"unknown: {name}{_meant(name, known)}"


def _meant(name: str, known: Iterable[str]) -> str:
    nearest = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


def _elsewhere(name: str) -> str:
    """The sections that have a setting of this name."""
    sections = [(one.name, getattr(Config(), one.name)) for one in fields(Config)]
    found = [at for at, section in sections if has(type(section)) and hasattr(section, name)]
    return f" (did you mean [{found[0]}] {name}?)" if found else ""


def _place(line: str) -> str:
    """`expected string, got integer @ .entities['x'].priority` as `[entities.x] priority: expected string, ...`."""
    what, _, path = line.rpartition(" @ ")
    steps = re.findall(r"\['(.*?)'\]|([^.\[\]]+)", path)
    names = [quoted or plain for quoted, plain in steps]
    if not names:
        return what
    depth = 2 if names[0] == "entities" else 1
    return f"[{'.'.join(names[:depth])}] {'.'.join(names[depth:])}".rstrip() + f": {what}"


# ------------------------------------------------------------------ strictness


_TOML_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "table"}


def _expect(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise TypeError(f"expected {_TOML_TYPES[kinds[0]]}, got {_TOML_TYPES.get(type(value), 'a date or time')}")
    return value


@cache
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
    writes = converter.get_structure_hook(list[str])
    rights = converter.get_structure_hook(TerminalConfig)
    converter.register_structure_hook(
        TerminalConfig,
        lambda value, cls: rights(value, cls) if type(value) is dict else TerminalConfig(writes(value, list[str])),
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
