"""A code lets in whoever knows it, once, for ten minutes; who does not know it neither finds nor ends it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.pairing import LIVES_MS, MOST, TRIES, TRIES_MS, Invitation, Invitations, Tries
from node.wire.pairing import (
    ALPHABET,
    HUB,
    LENGTH,
    NAME,
    NEWCOMER,
    key_of,
    name_of,
    new_code,
    proof,
    proves,
    read_code,
)

DICE = random.Random(1)
CODE = new_code(DICE.randbytes)
KEY = key_of(CODE)


def invited(code: str = CODE, key: bytes = KEY) -> Invitations:
    invitations = Invitations()
    invitations.put(Invitation(code=code, key=key, kind="node", terminal_id=None, until_ms=LIVES_MS))
    return invitations


def shown(
    invitations: Invitations, given: str, certificate: str = "ff", nonce: str = "n", said: str = "pos-1"
) -> bool:
    return invitations.proved(name_of(CODE), given, certificate, nonce, said, now_ms=0) is not None


def test_who_knows_the_code_is_let_in_once() -> None:
    invitations, right = invited(), proof(KEY, NEWCOMER, "ff", "n", "pos-1")
    found = invitations.proved(name_of(CODE), right, "ff", "n", "pos-1", now_ms=LIVES_MS - 1)
    assert found is not None
    invitations.used(found)
    assert not shown(invitations, right)


def test_a_proof_is_of_one_certificate_one_nonce_and_one_newcomer() -> None:
    """A false hub cannot pass on what it is shown, nor what the hub says: each is about another certificate."""
    right = proof(KEY, NEWCOMER, "ff", "n", "pos-1")
    assert shown(invited(), right)
    assert not shown(invited(), right, certificate="fe")
    assert not shown(invited(), right, nonce="m")
    assert not shown(invited(), right, said="pos-2")
    assert not shown(invited(), right, nonce="npos", said="-1")
    assert not shown(invited(), proof(KEY, HUB, "ff", "n", "pos-1"))
    assert not proves(right, KEY, HUB, "ff", "n", "pos-1")


def test_no_number_of_wrong_tries_ends_a_code() -> None:
    """A stranger makes any number of them, for every name that there is."""
    invitations = invited()
    for _ in range(1_000):
        assert not shown(invitations, "0" * 64)
        assert invitations.told(CODE[:-1] + "!", now_ms=0) is None
    assert shown(invitations, proof(KEY, NEWCOMER, "ff", "n", "pos-1"))


def test_a_code_is_not_found_within_its_life_by_whoever_may_ask_as_fast_as_a_node_can_answer() -> None:
    answers_a_second = 20_000  # several times what a node on a fast machine does
    secret = len(ALPHABET) ** (LENGTH - NAME)
    assert LIVES_MS / 1000 * answers_a_second / secret < 1e-7


NEIGHBOURS = ("10.0.0.7", "::ffff:10.0.0.7", "2001:db8::1", "2001:db8::ffff:1", "fe80::1%eth0", "unknown")


@pytest.mark.parametrize("address", NEIGHBOURS)
def test_a_network_that_tried_wrongly_waits_and_no_other_one_does(address: str) -> None:
    tries = Tries()
    for number in range(TRIES):
        assert tries.wait_ms(address, number) == 0
        tries.failed(address, number)
    assert tries.wait_ms(address, TRIES) == TRIES_MS - TRIES
    assert tries.wait_ms("10.0.0.8", TRIES) == 0
    assert tries.wait_ms("2001:db8:0:1::1", TRIES) == 0
    assert tries.wait_ms(address, TRIES_MS) == 0
    tries.failed(address, TRIES_MS)
    assert tries.wait_ms(address, TRIES_MS) == 0


def test_who_takes_addresses_at_will_is_one_network() -> None:
    tries = Tries()
    for number in range(TRIES):
        tries.failed(f"2001:db8::{number:x}", 0)
        tries.failed(("10.0.0.7", "::ffff:10.0.0.7")[number % 2], 0)
    assert tries.wait_ms("2001:db8::1234", 0)
    assert tries.wait_ms("10.0.0.7", 0)


def test_a_code_is_worth_nothing_after_its_time() -> None:
    right = proof(KEY, NEWCOMER, "ff", "n", "pos-1")
    assert invited().proved(name_of(CODE), right, "ff", "n", "pos-1", now_ms=LIVES_MS) is None
    assert invited().told(CODE, now_ms=LIVES_MS) is None
    assert invited().told(CODE, now_ms=LIVES_MS - 1) is not None


@given(st.text(max_size=20))
def test_whatever_is_told_for_a_code_is_a_wrong_try(told: str) -> None:
    for code in (told, name_of(CODE) + told):
        assert invited().told(code, now_ms=0) is None or code == CODE


def test_codes_are_bounded_and_the_newest_stay() -> None:
    invitations, codes = Invitations(), []
    for number in range(2 * MOST):
        code = f"{number:02}00-0000-0000"
        codes.append(code)
        invitations.put(Invitation(code=code, key=KEY, kind="node", terminal_id=None, until_ms=LIVES_MS))
    assert [code for code in codes if invitations.told(code, now_ms=0)] == codes[MOST:]


@given(st.binary(min_size=12, max_size=12), st.integers(0, 2**20))
def test_a_code_is_read_however_it_was_written_down(drawn: bytes, dice: int) -> None:
    code = new_code(lambda _: drawn)
    hand = random.Random(dice)
    worse = {"0": "0Oo", "1": "1IiLl"}
    written = "".join(hand.choice(worse.get(letter, letter + letter.lower())) for letter in code if letter != "-")
    for gap in range(hand.randrange(4)):
        place = hand.randrange(len(written) + 1)
        written = written[:place] + hand.choice(" -") + written[place:]
        assert read_code(written) == code, gap
    assert read_code(written) == code


@given(st.text(max_size=20))
def test_what_is_no_code_is_none(text: str) -> None:
    found = read_code(text)
    assert found is None or (len(found) == 14 and read_code(found) == found)
