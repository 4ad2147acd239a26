"""What a linked node may say is read strictly: its bytes are hostile too."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from node.errors import InvalidMessage
from node.wire.json_text import is_number, word
from node.wire.links.handshake import read_established
from node.wire.links.operations import remote_operation
from node.wire.links.states import remote_state
from storage.packed import ArchivedOperation, pack_operations
from tests.fuzz.samples import data_sync, link_messages

if TYPE_CHECKING:
    from collections.abc import Callable


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
