"""A code lets in whoever knows it, once, for ten minutes; who does not know it gets a few tries."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from node.core.pairing import LIVES_MS, MOST, TRIES, Invitation, Invitations
from node.wire.pairing import HUB, NEWCOMER, key_of, name_of, new_code, proof, proves, read_code

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


def test_wrong_tries_end_a_code() -> None:
    right = proof(KEY, NEWCOMER, "ff", "n", "pos-1")
    for wrong in range(TRIES + 1):
        invitations = invited()
        for place in range(wrong):
            if place % 2:
                assert not shown(invitations, "0" * 64)
            else:
                assert invitations.told(CODE[:-1] + "!", now_ms=0) is None
        assert shown(invitations, right) is (wrong < TRIES)


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
