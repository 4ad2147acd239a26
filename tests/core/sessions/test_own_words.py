"""A text that is taken for a confirmation by one comparison is what the codec reads as the same confirmation."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.core.log.entries import NOTICE, PASSED
from node.core.sessions.own_words import OwnWords
from node.errors import InvalidMessage
from node.wire.codec import decode
from node.wire.messages import SyncConfirmation
from tests.limits import LIMITS

IDS = st.from_regex(r"[A-Za-z0-9._:@#/+=~|-]{1,6}", fullmatch=True) | st.sampled_from(
    ["type", "sync_confirmation", "operation_id", "terminal_id", "e", "pos-1", ":", "n"]
)
SCRAPS = st.sampled_from(
    [
        '"type":"sync_confirmation"',
        '"terminal_id":"pos-1"',
        '"extra":{"e":1}',
        '"operation_id":"old"',
        '"x":"\\u0065"',
    ]
)


def text_of(operation_id: str, scraps: list[str], place: int, gap: str) -> str:
    members = [*scraps[:place], f'"operation_id":{gap}"{operation_id}"', *scraps[place:]]
    return "{" + f",{gap}".join(['"type":"sync_confirmation"', *members]) + gap + "}"


@settings(max_examples=400, deadline=None)
@given(
    ids=st.tuples(IDS, IDS),
    scraps=st.lists(SCRAPS, max_size=3),
    place=st.integers(0, 3),
    gap=st.sampled_from(["", " ", "\n"]),
)
def test_what_it_takes_the_codec_reads_the_same(
    ids: tuple[str, str], scraps: list[str], place: int, gap: str
) -> None:
    learned, said = text_of(ids[0], scraps, place, gap), text_of(ids[1], scraps, place, gap)
    words, message = OwnWords(), decode(learned, LIMITS)
    assert isinstance(message, SyncConfirmation)
    words.learn(learned, message)
    if words.confirms(said, ids[1]):
        assert decode(said, LIMITS) == SyncConfirmation(ids[1], message.terminal_id)


def test_the_documents_own_client_is_understood_by_comparison() -> None:
    words = OwnWords()
    text = '{"type":"sync_confirmation","operation_id":"%s","terminal_id":"kds-1"}'
    message = decode(text % "op-1", LIMITS)
    assert isinstance(message, SyncConfirmation)
    assert not words.confirms(text % "op-1", "op-1"), "nothing is learned yet"
    words.learn(text % "op-1", message)
    assert words.confirms(text % "op-2", "op-2")
    assert not words.confirms(text % "op-3", "op-2")


@pytest.mark.parametrize("text", ["", "op-1", '"op-1"', "{}"])
def test_a_client_that_has_confirmed_nothing_confirms_nothing_by_a_bare_id(text: str) -> None:
    assert not OwnWords().confirms(text, "op-1")
    with pytest.raises(InvalidMessage):
        decode(text, LIMITS)


@pytest.mark.parametrize("nothing", [PASSED, ""])
def test_no_row_under_way_is_confirmed_by_nothing(nothing: str) -> None:
    words = OwnWords()
    text = orjson.dumps({"type": "sync_confirmation", "operation_id": "op-1"}).decode()
    words.learn(text, SyncConfirmation("op-1", None))
    assert not words.confirms(text.replace("op-1", ""), nothing)
    assert NOTICE not in text


@pytest.mark.parametrize("more", ['"timestamp":"2026-01-15T10:30:00Z"', '"seq":5'])
def test_what_says_more_than_the_row_is_read_each_time(more: str) -> None:
    words, text = OwnWords(), '{"type":"sync_confirmation","operation_id":"op-1",' + more + "}"
    message = decode(text, LIMITS)
    assert isinstance(message, SyncConfirmation)
    words.learn(text, message)
    assert not words.confirms(text, "op-1")


PIECES = st.sampled_from(['"', "\\", ",", ":", "{", "}", "\n", "\x00", "\x7f", "ã", "🥑", "a", "pos-1"])
AS_IT_IS = '{"type":"sync_confirmation","operation_id":"%s","terminal_id":"pos-1"}'


@settings(max_examples=400, deadline=None)
@given(
    operation_id=st.lists(PIECES, min_size=1, max_size=5).map("".join)
    | st.sampled_from(['x","terminal_id":"pos-9', 'x","operation_id":"y', 'x"}', "\\u0065", 'a","seq":"'])
)
def test_an_id_of_another_that_is_no_plain_text_confirms_nothing_as_it_is(operation_id: str) -> None:
    """Another terminal chose the id. What a client writes that escapes nothing is read as JSON, or is none."""
    words, first = OwnWords(), AS_IT_IS % "op-1"
    learned = decode(first, LIMITS)
    assert isinstance(learned, SyncConfirmation)
    words.learn(first, learned)
    if words.confirms(AS_IT_IS % operation_id, operation_id):
        assert decode(AS_IT_IS % operation_id, LIMITS) == SyncConfirmation(operation_id, "pos-1")


@pytest.mark.parametrize("operation_id", ['a"b', "a\\b", 'x","terminal_id":"pos-9', "a\nb", "\x00"])
def test_what_is_no_json_is_no_confirmation(operation_id: str) -> None:
    words, first = OwnWords(), AS_IT_IS % "op-1"
    words.learn(first, SyncConfirmation("op-1", "pos-1"))
    assert not words.confirms(AS_IT_IS % operation_id, operation_id)
