"""When a node signs what it accepted: whatever crashes in between, a row that may leave has a proof, and only of what
its node wrote."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import pytest

from storage.audit.chain_walk import verify
from storage.proofs import SIGNATURE, leaf_of, statement_of
from storage.records import Commit
from storage.signer import MOST_UNSIGNED, Signer
from storage.sqlite.reader import Reader
from tests.storage.rows import open_store, row, tamper

if TYPE_CHECKING:
    from pathlib import Path

    from storage.records import LogRow
    from storage.sqlite.store import Store


class Key:
    """Signs by noting what it signed."""

    def __init__(self, secret: bytes = b"secret") -> None:
        self.secret = secret
        self.said: dict[bytes, bytes] = {}

    def signer(self) -> Signer:
        return Signer(self._sign, lambda leaf: blake2b(leaf, key=self.secret, digest_size=20).digest())

    def _sign(self, statement: bytes) -> bytes:
        signature = b"%064d" % len(self.said)
        self.said[statement] = signature
        return signature

    def proves(self, one: LogRow) -> bool:
        if not one.proof:
            return False
        statement, signature = statement_of(leaf_of(one), one.proof)
        return self.said.get(statement) == signature


@pytest.fixture
def key() -> Key:
    return Key()


def opened(directory: Path, key: Key) -> Store:
    store = open_store(directory)
    store.boot()
    store.sign_as(key.signer())
    return store


def write(store: Store, count: int = 1, *, sign: bool = False, **changed: object) -> list[LogRow]:
    """One commit of operations that were accepted here."""
    fields = {"link_key": 1, "origin": "node-a", "updates": b"[]", **changed}
    made = [row(store.head + n, **fields) for n in range(1, count + 1)]
    store.commit(Commit(rows=made, sign=sign))
    return made


def read(store: Store) -> list[LogRow]:
    """All rows as links are sent them."""
    reader = Reader(store.path)
    found = list(reader.history(0, store.head, 1_000))
    assert found == [] or [one.seq for one in reader.linked([1])] == [one.seq for one in found if one.link_key]
    reader.close()
    return found


def test_operations_are_signed_together_and_each_is_proven(directory: Path, key: Key) -> None:
    store = opened(directory, key)
    made = [one for _ in range(MOST_UNSIGNED - 1) for one in write(store)]
    assert not key.said
    assert not any(one.proof for one in read(store))
    made += write(store)
    assert len(key.said) == 1
    assert all(map(key.proves, made)), "in memory"
    assert all(map(key.proves, read(store))), "on the disk"
    assert not list(verify(Reader(store.path)))
    store.close()


@pytest.mark.parametrize("why", [{"sign": True}, {"via": "node-b:1", "origin": "node-b", "proof": b"theirs"}])
def test_what_may_leave_with_a_commit_is_signed_by_then(directory: Path, key: Key, why: dict[str, object]) -> None:
    store = opened(directory, key)
    write(store, 3)
    assert not key.said
    write(store, 2, **why)  # type: ignore[arg-type]
    assert all(key.proves(one) for one in read(store) if not one.via)
    assert [one.proof for one in read(store) if one.via] == [b"theirs" for _ in range(2) if "via" in why]
    store.close()


@pytest.mark.parametrize("before", [0, 1, MOST_UNSIGNED - 1, MOST_UNSIGNED, MOST_UNSIGNED + 5])
@pytest.mark.parametrize("end", ["abandon", "close"])
def test_what_was_not_signed_is_after_the_next_start(directory: Path, key: Key, before: int, end: str) -> None:
    store = opened(directory, key)
    for _ in range(before):
        write(store)
        store.commit(Commit(rows=[row(store.head + 1, kind="notice", entity_id=None)]))
    getattr(store, end)()
    store = opened(directory, key)
    write(store, sign=True)
    assert all(key.proves(one) for one in read(store) if one.kind == "operation")
    store.close()


def test_a_commit_that_fails_changes_nothing_of_what_waits(directory: Path, key: Key) -> None:
    store = opened(directory, key)
    write(store)
    with pytest.raises(Exception, match="does not follow"):
        store.commit(Commit(rows=[row(99, link_key=1)], sign=True))
    (first,) = read(store)
    assert not first.proof
    write(store, sign=True)
    assert all(map(key.proves, read(store)))
    store.close()


def test_what_a_disk_holds_and_this_node_did_not_accept_is_not_signed(
    directory: Path, key: Key, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever writes the database anew, chain and all, has no secret for the seal."""
    theirs = opened(directory, Key(b"another"))
    write(theirs)
    theirs.abandon()
    store = opened(directory, key)
    assert "row 1 is not signed" in caplog.text
    write(store, sign=True)
    first, second = read(store)
    assert not first.proof
    assert key.proves(second)
    store.close()


def test_the_seal_is_in_the_chain(directory: Path, key: Key) -> None:
    store = opened(directory, key)
    write(store)
    store.close()
    tamper(directory / "comanda.db", "UPDATE log SET seal = zeroblob(20)")
    assert [finding.seq for finding in verify(Reader(directory / "comanda.db"))] == [1]


def test_pruned_rows_leave_no_proof(directory: Path, key: Key) -> None:
    store = opened(directory, key)
    write(store, MOST_UNSIGNED - 1)
    write(store)
    held = store.connection.execute("SELECT COUNT(*), MIN(LENGTH(proof)) FROM proofs").fetchone()
    assert held == (MOST_UNSIGNED - 1, SIGNATURE + 20 + 6 * 21)
    store.prune(10)
    assert store.connection.execute("SELECT MIN(seq) FROM proofs").fetchone() == (11,)
    store.close()


def test_a_row_that_waits_gets_its_proof_wherever_it_is_held_also_after_a_failed_commit(
    tmp_path: Path, key: Key
) -> None:
    """A node that goes on after a failure reads again what waits, and has rows in memory that links will be sent."""
    store = opened(tmp_path, key)
    (waiting,) = write(store)
    store.boot()
    (signed,) = write(store, sign=True)
    assert key.proves(waiting)
    assert key.proves(signed)
    store.close()


def test_a_database_that_was_set_back_gives_no_proof_to_a_row_that_it_has_otherwise(tmp_path: Path, key: Key) -> None:
    signer = key.signer()
    one, other = (row(1, link_key=1, origin="node-a", updates=b"[]", terminal_id=name) for name in ("a", "b"))
    signer.stored(signer.take([one], now=False))
    other.seal = signer.seal(leaf_of(other))
    assert not signer.found([other])
    signer.stored(signer.take([], now=True))
    assert key.proves(other)
    assert not one.proof
