"""What a log ended with is held elsewhere, so that a log which is written anew is found out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from attrs import evolve
from click.testing import CliRunner

from node.cli import audit as command
from node.cli import main
from node.core.links.heads import HEAD_INTERVAL_MS, HEARD_INTERVAL_MS, TOLD
from node.core.ports import NO_KEY
from node.runtime.keys import signatures
from node.wire.links.heads import head_fields, heads_message
from storage.audit.chain_walk import verify
from storage.chain import GENESIS, chain_hash
from storage.proofs import head_statement
from storage.sqlite.heads import ALL_KEPT_MS, DAY_MS, KEPT_MS
from storage.sqlite.reader import Reader
from tests.harness import Client, World
from tests.mesh import Mesh
from tests.rogue import Rogue
from tests.storage.rows import tamper

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from storage.records import HeadRow

SALE = ("cashier_operations", "sale-1")


class Store:
    """A hub with some sales, and a leaf that holds its signed heads."""

    def __init__(self, directory: Path) -> None:
        self.mesh = Mesh(directory, 2, [(1, 0, True)])
        self.hub, self.leaf = self.mesh.worlds
        self.caixa = Client(self.hub, "caixa-1").connect()
        self.settle()
        self.caixa.do(*SALE, "CREATE", {"amount": 100, "type": "sale"})
        for number in range(2, 5):
            self.caixa.do("cashier_operations", f"sale-{number}", "CREATE", {"amount": number, "type": "sale"})
        self.settle()
        self.hour()

    def settle(self) -> None:
        self.mesh.settle(self.caixa.receive)

    def hour(self) -> None:
        for world in self.mesh.worlds:
            world.advance(HEAD_INTERVAL_MS)
        self.settle()

    def held(self) -> list[HeadRow]:
        """What the leaf holds of the hub."""
        return self.leaf.reader.heads("n0")

    def stop(self) -> None:
        self.caixa.disconnect()
        self.mesh.wires[0].cut()
        self.hub.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.mesh.close()


def write_anew(world: World, *, epoch: str | None = None) -> None:
    """Change the amount of the first sale in a stopped node's log, and compute every hash after it. Nothing that is
    kept of signed heads stays."""
    reader, chain, statements = Reader(world.store.path), GENESIS, ["DELETE FROM heads"]
    for seq, row, _ in reader.chained_rows():
        assert row is not None
        if row.entity_id == "sale-1":
            row.operation = row.operation.replace(b"100", b"5")
        chain = chain_hash(chain, row)
        said = f"operation = X'{row.operation.hex()}', hash = X'{chain.hex()}'"
        statements.append(f"UPDATE log SET {said} WHERE seq = {seq}")
    reader.close()
    statements.append(f"UPDATE meta SET value = '{chain.hex()}' WHERE key = 'chain'")
    if epoch is not None:
        statements.append(f"UPDATE meta SET value = '{epoch}' WHERE key = 'epoch'")
    tamper(world.store.path, *statements)


def audited(directory: Path, monkeypatch: pytest.MonkeyPatch, held: list[dict[str, object]] | None) -> Any:
    """`comanda audit verify`, against another node that holds these heads."""
    monkeypatch.setattr(command, "ask", lambda url, path: {"heads": held})
    against = [] if held is None else ["--against", "http://leaf"]
    return CliRunner().invoke(main, ["audit", "verify", "--data", str(directory), *against])


def test_a_head_is_signed_at_the_start_each_hour_and_at_an_archive_and_kept_by_the_other_node(store: Store) -> None:
    first = store.held()[-1]
    assert first.says == (store.hub.store.epoch, store.hub.store.head, store.hub.store.chain)
    store.hour()
    assert store.held()[-1] == first  # nothing has come since
    store.caixa.do(*SALE, "UPDATE", {"note": "x"})
    store.settle()
    assert store.held()[-1] == first
    store.hour()
    second = store.held()[-1]
    assert second.seq == store.hub.store.head > first.seq
    store.caixa.do(*SALE, "UPDATE", {"note": "y"})
    store.hub.core.pruned([], 0)
    for world in store.mesh.worlds:
        world.advance(HEARD_INTERVAL_MS)
    store.settle()
    assert store.held()[-1].seq == store.hub.store.head > second.seq
    assert store.hub.reader.heads("n1")[-1].node_id == "n1"


def test_a_log_that_was_written_anew_proves_itself_and_not_what_another_node_holds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [head_fields(head) for head in store.held()]
    store.stop()
    good = audited(store.hub.directory, monkeypatch, held)
    assert good.exit_code == 0, good.output
    write_anew(store.hub)
    alone = audited(store.hub.directory, monkeypatch, None)
    assert alone.exit_code == 0, alone.output  # the chain is whole
    result = audited(store.hub.directory, monkeypatch, held)
    assert result.exit_code == 1
    assert "seq 4: row 4 is another one than this node signed at 2026-01-15T11:00:0" in result.output
    store.hub.boot()


def test_a_node_whose_log_was_written_anew_hears_of_it_from_the_others(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.stop()
    write_anew(store.hub)
    store.hub.boot()
    assert list(verify(store.hub.reader)) == []
    store.settle()
    *_, alarm = store.hub.core.links.heads.alarms
    assert alarm.startswith("n1 holds the head of row 4 ")
    assert "and this log has another row there" in alarm
    assert "the log is not the one that it was" in caplog.text


def test_another_epoch_hides_no_rewriting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    held = [head_fields(head) for head in store.held()]
    store.stop()
    write_anew(store.hub, epoch="fresh")
    result = audited(store.hub.directory, monkeypatch, held)
    assert result.exit_code == 1
    assert "earlier epoch: was it restored?" in result.output
    store.hub.boot()
    store.settle()
    assert "under an earlier epoch" in store.hub.core.links.heads.alarms[0]


def test_a_key_that_the_database_does_not_know_hides_nothing_either(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [head_fields(head) for head in store.held()]
    store.stop()
    write_anew(store.hub)
    tamper(store.hub.store.path, "UPDATE meta SET value = '{}' WHERE key = 'keys'")
    result = audited(store.hub.directory, monkeypatch, held)
    assert result.exit_code == 1
    assert "signed with a key that this node does not know as its own" in result.output
    forged = [{**head, "signature": "00" * 64} for head in held]
    assert "a head is kept that nobody signed so" in audited(store.hub.directory, monkeypatch, forged).output
    store.hub.boot()


def test_an_honest_nodes_log_raises_no_alarm_over_restarts(store: Store) -> None:
    for number in range(3):
        store.caixa.do(*SALE, "UPDATE", {"note": str(number)})
        store.hour()
        store.caixa.disconnect()
        store.mesh.crash(number % 2)
        store.caixa.connect()
        store.settle()
    assert [world.core.links.heads.alarms for world in store.mesh.worlds] == [[], []]
    assert store.leaf.core.links.heads.latest["n0"]


def test_a_rogue_puts_no_heads_under_another_name_and_pushes_none_out(store: Store, tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    key = signatures(tmp_path / "key")
    rogue = Rogue(store.leaf, key=key).connect()
    before = store.held()
    head = before[-1]
    lie = evolve(head, hash=bytes(32), key=key.public)
    lies = [
        evolve(lie, signature=key.sign(head_statement(lie))),  # of n0, by the rogue's key
        evolve(lie, key=head.key, signature=key.sign(head_statement(lie))),  # as if by n0's
        evolve(head, hash=bytes(32)),
        head,  # n0's own, told by somebody else
    ]
    for one in lies:
        rogue.say(orjson.loads(heads_message([one])))
    own = evolve(lie, node_id="rogue", epoch="rogue-epoch")
    for seq in range(1, 20):
        one = evolve(own, seq=seq)
        rogue.say(orjson.loads(heads_message([evolve(one, signature=key.sign(head_statement(one)))])))
    store.settle()
    assert store.held() == before
    assert len(store.leaf.reader.heads("rogue")) == 1
    assert store.leaf.core.links.heads.alarms == []
    assert not rogue.closed


def test_old_heads_are_thinned_to_one_a_day_and_the_latest_is_never_let_go(store: Store) -> None:
    head = store.held()[-1]
    start = head.received_ms // DAY_MS * DAY_MS
    hours = [evolve(head, seq=n + 10, received_ms=start + n * 3_600_000) for n in range(24 * 10)]
    for one in hours:
        store.leaf.core.replica.log.group.commit.heads.append(one)
        store.leaf.settle()
    kept = [one for one in store.held() if one in hours]
    recent = [one for one in hours if one.received_ms >= hours[-1].received_ms - ALL_KEPT_MS]
    assert kept[-len(recent) :] == recent
    assert len(kept) - len(recent) == len({one.received_ms // DAY_MS for one in kept[: -len(recent)]}) == 7
    last = evolve(head, seq=999, received_ms=hours[-1].received_ms + KEPT_MS + DAY_MS)
    store.leaf.core.replica.log.group.commit.heads.append(last)
    store.leaf.settle()
    assert store.held() == [last]


def test_a_node_without_a_key_signs_no_head(tmp_path: Path) -> None:
    plain = World(tmp_path, node_id="plain", has_key=False)
    Client(plain, "pos-1").connect().do(*SALE, "CREATE", {"amount": 1})
    plain.advance(HEAD_INTERVAL_MS)
    plain.settle()
    assert plain.around.signatures is NO_KEY
    assert plain.reader.heads("plain") == []
    plain.close()


def test_old_heads_that_another_node_holds_take_the_place_of_no_newer_one(store: Store) -> None:
    links = store.hub.core.links
    for number in range(TOLD + 2):
        store.caixa.do(*SALE, "UPDATE", {"note": f"{number}"})
        store.settle()
        store.hour()
    own = store.hub.reader.heads("n0")
    assert len(own) > TOLD
    link = links.by_node["n1"]
    links.heads.receive(link, orjson.loads(heads_message(own[:TOLD])))
    store.settle()
    assert links.heads.latest["n0"] == own[-TOLD:]
    links.heads.begin([*own[TOLD:], *own[:TOLD]], links.heads.end)
    assert links.heads.latest["n0"] == own[-TOLD:]


def test_a_head_that_is_held_already_keeps_no_newer_one_out(store: Store) -> None:
    first = store.held()[-1]
    store.caixa.do(*SALE, "UPDATE", {"note": "x"})
    store.settle()
    store.leaf.advance(HEARD_INTERVAL_MS)
    links = store.leaf.core.links
    links.heads.receive(links.by_node["n0"], orjson.loads(heads_message([first])))
    store.hub.core.pruned([], 0)
    store.settle()
    for world in store.mesh.worlds:
        world.advance(1_000)
    store.settle()
    assert store.held()[-1].seq == store.hub.store.head > first.seq


def test_a_head_is_looked_for_before_its_signature_is_checked(store: Store) -> None:
    """A neighbour tells all that it holds whenever a link begins."""
    world, checked = store.leaf, list[bytes]()

    def verify(key: bytes, statement: bytes, signature: bytes) -> bool:
        checked.append(statement)
        return True

    world.core.around = evolve(world.core.around, signatures=evolve(world.core.around.signatures, verify=verify))
    link = world.core.links.by_node["n0"]
    for _ in range(3):
        world.core.links.heads.receive(link, orjson.loads(heads_message(store.held())))
    assert checked == []
    world.core.links.heads.receive(link, orjson.loads(heads_message([evolve(store.held()[-1], hash=bytes(32))])))
    assert len(checked) == 1
