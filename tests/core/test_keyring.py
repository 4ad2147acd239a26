"""The first key of a node is its key; what else is said of it waits for somebody who decides."""

from __future__ import annotations

import pytest
from attrs import evolve

from node.core import keyring as module
from node.core.keyring import KEYS_OF_NODE, NODES, Keyring, fingerprint
from node.core.ports import NO_KEY, Signatures
from storage.proofs import FIRST, HASH, Run

OWN = Signatures(b"own", lambda statement: b"", lambda leaf: b"", lambda key, statement, signature: True)


def anybody(node: str) -> bool:
    return True


@pytest.fixture
def meta() -> dict[str, str]:
    return {}


@pytest.fixture
def keyring(meta: dict[str, str]) -> Keyring:
    keyring = Keyring.of("hub", OWN, {})
    keyring.own(meta)
    return keyring


def test_what_is_pinned_and_by_whom_outlasts_a_restart(keyring: Keyring, meta: dict[str, str]) -> None:
    assert keyring.met("n1", b"one", meta) is None
    keyring.told("n1", {"n2": [b"two"]}, meta, anybody)
    assert Keyring.of("hub", OWN, meta).pinned == keyring.pinned
    assert keyring.pinned == {"hub": {b"own": ""}, "n1": {b"one": ""}, "n2": {b"two": "n1"}}


def test_what_another_node_told_is_confirmed_by_the_node_itself(keyring: Keyring, meta: dict[str, str]) -> None:
    keyring.told("n1", {"n2": [b"two"]}, meta, anybody)
    assert keyring.met("n2", b"two", meta) is None
    assert Keyring.of("hub", OWN, meta).pinned["n2"] == {b"two": ""}


def test_whoever_was_first_is_not_outvoted(keyring: Keyring, meta: dict[str, str]) -> None:
    keyring.told("n1", {"n2": [b"two"]}, meta, anybody)
    keyring.told("n1", {"n2": [b"false"]}, meta, anybody)  # nor by who told the first
    keyring.told("n3", {"n2": [b"two", b"false"]}, meta, anybody)
    assert keyring.pinned["n2"] == {b"two": "n1"}
    assert list(keyring.offered["n2"]) == [b"false"]


def test_what_was_told_gives_way_to_what_a_node_proves_and_waits(keyring: Keyring, meta: dict[str, str]) -> None:
    keyring.told("n1", {"n2": [b"false", b"too"]}, meta, anybody)
    assert keyring.met("n2", b"two", meta) is None
    assert Keyring.of("hub", OWN, meta).pinned["n2"] == {b"two": ""}
    assert list(keyring.offered["n2"]) == [b"false", b"too"]
    assert "n1 says" in keyring.offered["n2"][b"false"]
    assert keyring.met("n2", b"other", meta) is not None, "what is proven gives way to nothing"


def test_a_key_that_was_told_of_another_node_gives_way_too(keyring: Keyring, meta: dict[str, str]) -> None:
    """A public key is no secret: whoever tells that it is another node's keeps its own node out."""
    keyring.told("n1", {"n9": [b"two"]}, meta, anybody)
    assert keyring.met("n2", b"two", meta) is None
    assert keyring.pinned["n2"] == {b"two": ""}
    assert "n9" not in keyring.pinned
    assert list(keyring.offered["n9"]) == [b"two"]


def test_keys_are_taken_of_those_alone_for_whom_their_teller_speaks(keyring: Keyring, meta: dict[str, str]) -> None:
    taken = keyring.told("n1", {"n2": [b"two"], "n3": [b"three"]}, meta, lambda node: node == "n3")
    assert taken == ["n3"]
    assert set(keyring.pinned) == {"hub", "n3"}
    assert not keyring.waiting


def test_a_node_that_had_several_keys_is_told_whole_the_first_time(keyring: Keyring, meta: dict[str, str]) -> None:
    keyring.told("n1", {"n2": [b"%d" % n for n in range(20)]}, meta, anybody)
    assert len(keyring.pinned["n2"]) == KEYS_OF_NODE


def test_one_key_is_not_of_two_nodes(keyring: Keyring, meta: dict[str, str]) -> None:
    keyring.met("n1", b"one", meta)
    assert keyring.met("n2", b"one", meta) == f"n2 has the key of n1, {fingerprint(b'one')}"
    keyring.told("n1", {"n3": [b"own"]}, meta, anybody)
    assert "n2" not in keyring.pinned
    assert "n3" not in keyring.pinned


def test_what_somebody_trusts_is_taken_beside_what_was_and_what_was_can_be_forgotten(
    keyring: Keyring, meta: dict[str, str]
) -> None:
    keyring.met("n1", b"old", meta)
    keyring.met("n1", b"new", meta)
    assert not keyring.trust("n1", fingerprint(b"never offered"), meta)
    assert keyring.trust("n1", fingerprint(b"new"), meta)
    assert (keyring.waiting, keyring.met("n1", b"new", meta), keyring.met("n1", b"old", meta)) == (0, None, None)
    assert keyring.forget("n1", fingerprint(b"old"), meta)
    assert Keyring.of("hub", OWN, meta).pinned["n1"] == {b"new": ""}
    assert keyring.met("n1", b"old", meta) is not None


def test_nobody_tells_a_node_its_own_key_unless_it_lost_its_log(keyring: Keyring, meta: dict[str, str]) -> None:
    keyring.told("n1", {"hub": [b"false"]}, meta, anybody)
    assert keyring.pinned["hub"] == {b"own": ""}
    keyring.lost = True
    keyring.told("n1", {"hub": [b"before"]}, meta, anybody)
    keyring.told("n2", {"hub": [b"later"]}, meta, anybody)
    assert keyring.pinned["hub"] == {b"own": "", b"before": "n1"}


def test_the_tables_are_bounded(keyring: Keyring, meta: dict[str, str]) -> None:
    for number in range(NODES + 5):
        keyring.told("n1", {f"m{number}": [b"%d" % number]}, {}, anybody)
        keyring.told("n1", {"m0": [b"x%d" % number]}, {}, anybody)
    assert len(keyring.pinned) == NODES
    assert len(keyring.offered["m0"]) == KEYS_OF_NODE


def test_a_node_without_a_key_pins_nobodys(meta: dict[str, str]) -> None:
    keyring = Keyring.of("plain", NO_KEY, {})
    keyring.own(meta)
    keyring.told("n1", {"n2": [b"two"]}, meta, anybody)
    assert keyring.met("n1", b"one", meta) is None
    assert (keyring.pinned, meta) == ({}, {})


def test_a_key_that_is_said_to_be_of_many_nodes_fills_nothing(
    keyring: Keyring, meta: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NODES", 5)
    for number in range(20):
        keyring.told("n1", {f"false-{number}": [b"own", b"own"]}, meta, anybody)
    assert [f"false-{number}" for number in range(5)] == list(keyring.offered)
    assert keyring.waiting == 5


def test_a_key_that_is_told_twice_at_once_is_no_alarm(keyring: Keyring, meta: dict[str, str]) -> None:
    keyring.told("n1", {"n2": [b"two", b"two"]}, meta, anybody)
    assert (keyring.pinned["n2"], keyring.waiting) == ({b"two": "n1"}, 0)


def test_nodes_that_somebody_made_up_keep_nobody_out_who_proves_its_key(
    keyring: Keyring, meta: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NODES", 5)
    keyring.met("n1", b"one", meta)
    keyring.told("n1", {f"false-{number}": [b"%d" % number] for number in range(20)}, meta, anybody)
    assert len(keyring.pinned) == 5
    for name in ("n2", "n3", "n4"):
        assert keyring.met(name, name.encode(), meta) is None
    assert keyring.met("n5", b"five", meta) == "the keys of 5 nodes are known already"
    assert list(Keyring.of("hub", OWN, meta).pinned) == ["hub", "n1", "n2", "n3", "n4"]


def test_the_signature_of_the_last_commit_of_a_run_proves_the_run(meta: dict[str, str]) -> None:
    first, second, third = ((b"%d" % n * HASH, b"signature %d" % n) for n in range(3))
    run = Run("n1", FIRST, [first, second, third])
    asked: list[bytes] = []

    def verify(key: bytes, statement: bytes, signature: bytes) -> bool:
        asked.append(statement)
        return (key, statement, signature) == (b"one", *run.statements()[-1])

    keyring = Keyring.of("hub", evolve(OWN, verify=verify), {})
    assert not keyring.take(run), "nobody knows the key"
    keyring.met("n1", b"one", meta)
    assert not keyring.take(Run("n1", FIRST, [first, second, (third[0], b"bad")]))
    assert not keyring.take(Run("n1", FIRST, [first, (second[0], b"bad"), third]))
    assert not keyring.take(Run("n1", FIRST, [first, second]))
    assert not keyring.take(Run("n1", b"x" * HASH, [first, second, third]))
    assert keyring.take(run)
    asked.clear()
    assert keyring.take(Run("n1", FIRST, [first, second])), "it is a part of what is proven"
    assert asked == []
    assert not keyring.take(Run("n1", FIRST, [first, (second[0], b"bad")])), "no node would take this from us"
    keyring.forget("n1", fingerprint(b"one"), meta)
    assert not keyring.take(run)
