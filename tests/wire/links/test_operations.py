"""What a linked node may say is read strictly: its bytes are hostile too."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from attrs import asdict

from node.config.sections import Config
from node.core.operations.content import check_authorship
from node.core.operations.remote import remote_row
from node.errors import InvalidMessage
from node.wire.json_text import is_number, word
from node.wire.links.handshake import read_established
from node.wire.links.operations import plain_row, remote_operation
from node.wire.links.states import remote_state
from storage.packed import ArchivedOperation, pack_operations
from tests.fuzz.samples import data_sync, link_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from storage.records import LogRow


POLICY = Config().registry().by_type["orders"]


def operation() -> dict[str, Any]:
    return data_sync(("orders", "o-1"), 5, "op-1", "status", "x")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda entry: entry[4].__setitem__(0, True),
        lambda entry: entry[4].__setitem__(1, False),
        lambda entry: entry[3].update({"٣": 1}),
        lambda entry: entry[3].update({"²": 1}),
        lambda entry: entry[3].update({" 5": 1}),
        lambda entry: entry[3].update({"-5": 1}),
        lambda entry: entry[3].update({"9" * 4_000: 1}),
    ],
)
def test_writers_and_clocks_are_plain_numbers(spoil: Callable[[list[Any]], None]) -> None:
    """A writer that is `true` counts as 1 to Python, and would name the operation otherwise than 1 does."""
    message = operation()
    assert remote_operation(message).updates[0].writer == 5
    spoil(message["link"]["updates"][0])
    with pytest.raises(InvalidMessage):
        remote_operation(message)


@pytest.mark.parametrize("change", [{"head": 2**64 - 1}, {"head": -1}, {"clock": -1}, {"authority": "a" * 129}])
def test_a_node_that_says_it_is_somewhere_impossible_is_refused(change: dict[str, Any]) -> None:
    message = link_messages()[0]
    assert read_established(message).head == 3
    message["node"].update(change)
    with pytest.raises(InvalidMessage):
        read_established(message)


def test_an_archived_operation_was_accepted_at_some_time() -> None:
    """A terminal that sends it again is told when."""
    message = next(message for message in link_messages() if "state" in message.get("link", {}))
    assert remote_state(message).archived
    message["operation"]["archived"] = b64encode(
        pack_operations([ArchivedOperation(1, 2, -(2**62), 3, 1, 1)])
    ).decode()
    with pytest.raises(InvalidMessage, match="at no time"):
        remote_state(message)


def test_a_word_that_is_none_is_not_written_out() -> None:
    assert word(orjson.loads(b"[" * 1_020 + b"]" * 1_020), 10) == "[...]"
    assert word({}, 10) == "{...}"
    assert word("é" * 20, 10) == "é" * 10
    assert word(2**64 - 1, 64) == "18446744073709551615"


def test_only_ascii_digits_are_numbers() -> None:
    assert is_number("0")
    assert is_number("9" * 18)
    assert not any(is_number(text) for text in ("", "²", "٣", "-1", "+1", " 1", "1_0", "9" * 19))


PUT: Sequence[object] = (True, False, 0, 1, 1.0, -1, 2**63, "", "x" * 200, "a/b", "AA==", "AB==", [], {}, None, [1])


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Everything in a JSON value, as a container and what it holds it under."""
    for place in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, place
        if isinstance(value[place], dict | list):
            yield from places(value[place])


def test_the_row_of_a_plain_operation_is_that_of_an_operation_that_is_read_closely() -> None:
    """Whatever stands anywhere in the message, or is missing, or comes besides."""
    plain = strange = 0
    text = orjson.dumps(operation() | {"link": operation()["link"] | {"proof": "AAAA"}})
    for number in range(len(list(places(orjson.loads(text))))):
        for put in (*PUT, KeyError, "besides"):
            message = orjson.loads(text)
            holder, place = list(places(message))[number]
            if put is KeyError:
                del holder[place]
            elif put == "besides":
                holder.append("x") if isinstance(holder, list) else holder.update(besides="x")
            else:
                holder[place] = put
            try:
                read = plain_row(message, "hub:1")
            except (KeyError, TypeError, ValueError, AttributeError, InvalidMessage):
                read = None
            strange += read is None
            if read is not None:
                plain += 1
                row, update = read
                remote = remote_operation(message)
                made = remote_row(POLICY, remote, 0, "applied", message=b"", changes=b"", signed="", via="hub:1")
                made.priority = 0
                assert fields_of(row) == fields_of(made)
                assert (update,) == remote.updates
                check_authorship((), remote, 2**42)  # its times are looked at besides
    assert min(plain, strange) > 50


def fields_of(row: LogRow) -> dict[str, tuple[type, object]]:
    return {name: (type(value), value) for name, value in asdict(row).items()}
