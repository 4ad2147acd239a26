"""The schemas say what the node reads and writes: the document's examples, what a node really says, and the codec."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError

from node.errors import InvalidMessage
from node.rights import MESSAGES, SENT
from node.wire.codec import decode
from node.wire.description.schemas import FROM_NODE, FROM_TERMINAL, document, schemas
from tests.limits import LIMITS
from tests.wire.test_protocol_document import FROM_CLIENTS, FROM_THE_NODE, TEXT, evening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMAS = schemas()
VALIDATORS = {name: Draft7Validator(schema) for name, schema in SCHEMAS.items()}

FREE = {
    "data",
    "local_data",
    "remote_data",
    "resolved_data",
    "versions",
    "shown",
    "performance",
    "changes",
    "before",
    "after",
}
"""Members whose own members are an entity's fields, or a terminal's figures."""

REFUSED_LATER = {("sync_confirmation", "terminal_id"), ("acquire_lock", "timeout")}
"""Members that the codec lets through and the session refuses."""


def spoken_in_the_session() -> Iterator[tuple[str, dict[str, Any]]]:
    """The messages of the document's session of two terminals."""
    session = TEXT[TEXT.index("## A session of two terminals") :]
    for block in re.findall(r"```text\n(.*?)```", session, re.DOTALL):
        for line in re.sub(r"\n    ", " ", block).splitlines():
            found = re.match(r"\S+ ([<>]) (\{.*)", line)
            if found:
                yield FROM_TERMINAL if found[1] == ">" else FROM_NODE, json.loads(found[2])


SESSION = [*spoken_in_the_session()]


def check(direction: str, message: dict[str, Any]) -> None:
    VALIDATORS[f"{direction}.{message['type']}"].validate(message)


def test_there_is_a_schema_for_each_message_of_each_direction() -> None:
    assert {*SCHEMAS} == {f"{FROM_TERMINAL}.{kind}" for kind in MESSAGES} | {f"{FROM_NODE}.{kind}" for kind in SENT}
    for schema in (*SCHEMAS.values(), document()):
        Draft7Validator.check_schema(schema)


@pytest.mark.parametrize("example", FROM_CLIENTS, ids=lambda e: e["type"])
def test_every_example_of_a_terminal_is_of_its_schema(example: dict[str, Any]) -> None:
    check(FROM_TERMINAL, example)
    Draft7Validator(document()).validate(example)


@pytest.mark.parametrize("example", FROM_THE_NODE, ids=lambda e: e["type"])
def test_every_example_of_the_node_is_of_its_schema(example: dict[str, Any]) -> None:
    check(FROM_NODE, example)


def test_every_message_of_the_documents_session_is_of_its_schema() -> None:
    assert len(SESSION) > 50
    for direction, message in SESSION:
        check(direction, message)


def members(schema: dict[str, Any], value: Any, at: str) -> Iterator[str]:
    """Members of a message that its schema does not know."""
    if isinstance(value, list):
        for item in value:
            yield from members(schema.get("items", {}), item, f"{at}[]")
    elif isinstance(value, dict):
        known, more = schema.get("properties", {}), schema.get("additionalProperties")
        for name, member in value.items():
            if name not in known and not isinstance(more, dict):
                yield f"{at}.{name}"
            elif name not in FREE:
                yield from members(known.get(name, more or {}), member, f"{at}.{name}")


def test_whatever_a_node_says_is_of_its_schema_and_has_no_member_that_is_not_in_it(tmp_path: Path) -> None:
    unknown = set()
    for message in evening(tmp_path / "node"):
        if message["type"] == "stats":
            continue
        check(FROM_NODE, message)
        unknown |= {*members(SCHEMAS[f"{FROM_NODE}.{message['type']}"], message, message["type"])}
    assert unknown == set()


def spoilt(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same with each member missing, null or of another type, one at a time; those of its operation too."""
    for name in message:
        yield {other: value for other, value in message.items() if other != name}
        for value in (None, 7, -1, 1.5, True, "", "a b", "x" * 600, [], {}):
            yield {**message, name: value}
    if isinstance(operation := message.get("operation"), dict):
        yield from ({**message, "operation": wrong} for wrong in spoilt(operation))


@pytest.mark.parametrize("example", FROM_CLIENTS, ids=lambda e: e["type"])
def test_what_the_schema_refuses_the_node_refuses_too(example: dict[str, Any]) -> None:
    """The other way round a schema cannot say everything: times, sizes, exact numbers, marks of nodes."""
    differ = []
    for message in spoilt(example):
        kind = message.get("type")
        if kind != example["type"]:
            continue
        try:
            check(FROM_TERMINAL, message)
        except ValidationError as error:
            try:
                decode(json.dumps(message), LIMITS)
            except InvalidMessage:
                continue
            if (kind, error.path[-1] if error.path else "") not in REFUSED_LATER:
                differ.append((error.message, message))
    assert not differ, differ[:3]


@pytest.mark.parametrize("example", FROM_CLIENTS, ids=lambda e: e["type"])
def test_what_the_node_refuses_the_schema_refuses_but_for_times(example: dict[str, Any]) -> None:
    said = set()
    for message in spoilt(example):
        if message.get("type") != example["type"]:
            continue
        try:
            decode(json.dumps(message), LIMITS)
        except InvalidMessage as error:
            if VALIDATORS[f"{FROM_TERMINAL}.{example['type']}"].is_valid(message):
                said.add(error.reason.partition(" ")[0] + " " + (error.where or ""))
    for refusal in said:
        assert refusal.startswith(("not ", "deleted_at ", "expected $.operation.data.")), said
