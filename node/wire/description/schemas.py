"""A JSON Schema for each message, made from the classes that the codec reads and the functions that write.

Members that are not in a schema are allowed: whoever reads a message ignores what he does not know.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs

from node.wire import messages, outgoing
from node.wire.codec import TYPES
from node.wire.description.shapes import ADDED, INNER, ROW, SHAPES, Schema

DRAFT = "http://json-schema.org/draft-07/schema#"

CALLED = {"kind": "operation"}
"""Fields of the message classes under their names on the wire."""

WITHIN = {"raw", "timestamp_us", "assumed_zone", "writes", "replaced", "size", "updates"}
"""Fields of the message classes that are no members of their own."""

READ_BY = {
    "ping": messages.Ping,
    "data_sync": messages.DataSync,
    "sync_confirmation": messages.SyncConfirmation,
    "conflict_resolution": messages.ConflictResolution,
    "acquire_lock": messages.AcquireLock,
    "release_lock": messages.ReleaseLock,
}
"""The class of each message of a terminal."""

WRITTEN_BY = {
    "conflict_resolution" if name == "conflict_closed" else name: function
    for name, function in inspect.getmembers(outgoing, inspect.isfunction)
    if function.__module__ == outgoing.__name__ and name != "compact_json"
}
"""The function that writes each message of the node."""

FROM_TERMINAL, FROM_NODE = "from_terminal", "from_node"

BULK: Schema = {
    "type": "object",
    "required": ["updates"],
    "properties": {
        "updates": {
            **SHAPES["updates"],
            "items": {
                "type": "object",
                "required": ["entity_id", "data"],
                "properties": {"entity_id": SHAPES["entity_id"], "data": SHAPES["data"]},
            },
        }
    },
}


def schemas() -> dict[str, Schema]:
    """Every message by its direction and type, such as `from_terminal.ping`."""
    found = {f"{FROM_TERMINAL}.{kind}": _read(kind) for kind in TYPES}
    return found | {f"{FROM_NODE}.{kind}": _written(kind) for kind in WRITTEN_BY}


def document() -> Schema:
    """All of them in one JSON Schema, which takes any message of either direction."""
    return {
        "$schema": DRAFT,
        "title": "Comanda: messages between a terminal and a node",
        "anyOf": [{"$ref": f"#/definitions/{name}"} for name in schemas()],
        "definitions": schemas(),
    }


def said_of(thing: Any) -> str:
    """The first paragraph of a docstring."""
    return " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())


# ------------------------------------------------------------------ from terminals


def _read(kind: str) -> Schema:
    cls = READ_BY[kind]
    if kind == "data_sync":
        return _message(kind, said_of(cls), {"operation": operation()}, ["operation"])
    properties, required = _fields(cls)
    schema = _message(kind, said_of(cls), properties, required)
    if kind == "sync_confirmation":  # by name, or by place
        schema["required"].remove("operation_id")
        schema["anyOf"] = [
            {"required": ["operation_id"], "properties": {"operation_id": {"type": "string"}}},
            {"required": ["seq"], "properties": {"seq": {"type": "integer"}}},
        ]
    return schema


def operation() -> Schema:
    """An operation as a terminal sends it."""
    properties, _ = _fields(messages.Operation)
    bulk = {"properties": {"operation": {"const": "BULK_UPDATE"}}}
    single = {"required": ["entity_id"], "properties": {"entity_id": SHAPES["entity_id"]}}
    return {
        "type": "object",
        "description": said_of(messages.Operation),
        "required": ["id", "entity_type", "operation"],
        "properties": properties,
        "allOf": [
            {"if": bulk, "then": {"required": ["data"], "properties": {"data": BULK}}, "else": single},
            {
                "if": {"properties": {"operation": {"enum": ["CREATE", "UPDATE"]}}},
                "then": {"required": ["data"], "properties": {"data": {"type": "object"}}},
            },
        ],
    }


def _fields(cls: Any) -> tuple[dict[str, Schema], list[str]]:
    """The members of a class of messages.py, and which of them have to be there."""
    hints = get_type_hints(cls, vars(messages) | {"Mapping": Mapping})
    fields = [field for field in attrs.fields(cls) if field.init and field.name not in WITHIN]
    properties = {CALLED.get(f.name, f.name): _member(CALLED.get(f.name, f.name), hints[f.name]) for f in fields}
    optional = {CALLED.get(f.name, f.name) for f in fields if f.default is not attrs.NOTHING}
    if cls is messages.Operation:
        properties = {name: _or_null(schema) if name not in NEEDED else schema for name, schema in properties.items()}
    return properties, [name for name in properties if name not in optional]


NEEDED = ("id", "entity_type", "operation")


# ------------------------------------------------------------------ from the node


def _written(kind: str) -> Schema:
    function = WRITTEN_BY[kind]
    hints = get_type_hints(function, vars(outgoing) | {"Mapping": Mapping})
    given = [name for name, one in inspect.signature(function).parameters.items() if one.kind is not one.VAR_KEYWORD]
    properties = {name: _member(name, hints[name]) for name in given}
    if kind == "data_sync":
        properties["operation"] = ROW
    if kind == "conflict_resolution":  # also by a write, or by whoever wrote otherwise
        properties["resolution"] = {"type": "string", "description": "Which side was taken, or superseded."}
    properties |= {name: schema for name, schema in INNER.items() if name in properties}
    required = [*given, *(["state"] if kind == "conflict_resolution" else [])]
    return _message(kind, said_of(function), {**properties, **ADDED.get(kind, {})}, required)


# ------------------------------------------------------------------ both


def _message(kind: str, what: str, properties: dict[str, Schema], required: list[str]) -> Schema:
    return {
        "type": "object",
        "title": kind,
        "description": what,
        "required": ["type", *required],
        "properties": {"type": {"const": kind}, **properties},
    }


def _member(name: str, annotation: Any) -> Schema:
    """The shape of a name; with null where the annotation has it, and free where that is Any."""
    if annotation is Any:
        return {"description": SHAPES[name]["description"]}
    union = get_origin(annotation) in (Union, UnionType)
    return _or_null(SHAPES[name]) if union and NoneType in get_args(annotation) else SHAPES[name]


def _or_null(schema: Schema) -> Schema:
    if "enum" in schema:
        return schema if None in schema["enum"] else {**schema, "enum": [*schema["enum"], None]}
    kind = schema.get("type")
    return schema if kind is None or isinstance(kind, list) else {**schema, "type": [kind, "null"]}
