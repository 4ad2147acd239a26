"""A rogue node beside an honest leaf: nothing of anybody else changes, and what it did is its own."""

from __future__ import annotations

from array import array
from base64 import b64decode, b64encode
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from attrs import evolve

from crdt import hlc
from node.config.sections import Config, EntityConfig, FieldConfig
from node.core.digests import bucket_of
from node.core.links import link
from node.core.links.budget import EPOCH_INTERVAL_MS, MINUTE_MS
from node.core.links.feed import LINK_MESSAGE_BYTES
from node.core.log.messages import audit_entry
from node.core.operations import quarantine
from node.core.operations.quarantine import BAD, DROPPED, WAITING
from node.wire.links.states import PART_BYTES, state_messages, state_operation
from storage.chain import GENESIS, chain_hash
from storage.packed import ArchivedOperation, pack_operations
from storage.records import key64
from tests.harness import START_MS, Client, World
from tests.mesh import Mesh, moved, shown
from tests.rogue import Rogue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ORDER, SALE = ("orders", "mesa-1"), ("cashier_operations", "sale-1")
PRODUCT, CUSTOMER = ("products", "cola"), ("customers", "maria")


class Store:
    """A hub, an honest leaf below it, some of everything in both, and a rogue below the hub."""

    def __init__(self, directory: Path) -> None:
        self.mesh = Mesh(directory, 2, [(1, 0, True)])
        self.hub, self.leaf = self.mesh.worlds
        self.caixa, self.pos = Client(self.hub, "caixa-1").connect(), Client(self.leaf, "pos-2").connect()
        self.settle()
        self.caixa.do(*SALE, "CREATE", {"amount": 100, "type": "sale"})
        self.caixa.do(
            *ORDER, "CREATE", {"status": "pending", "total": 30, "items": [{"id": "1", "name": "Feijoada"}]}
        )
        self.caixa.do(*PRODUCT, "CREATE", {"name": "Cola", "stock": 12})
        self.caixa.do(*CUSTOMER, "CREATE", {"name": "Maria", "phone": "1"})
        self.settle()
        self.pos.do(*PRODUCT, "UPDATE", {"stock": 10})
        self.pos.do(*CUSTOMER, "UPDATE", {"phone": "2"})
        self.settle()
        self.rogue = Rogue(self.hub).connect()
        self.settle()
        self.before = shown(self.hub)
        assert self.before == shown(self.leaf)

    def settle(self) -> None:
        self.mesh.settle(lambda: self.caixa.receive() + self.pos.receive())

    def play(self, *messages: dict[str, Any]) -> None:
        self.rogue.say(*messages)
        self.settle()

    @property
    def unchanged(self) -> bool:
        return shown(self.hub) == shown(self.leaf) == self.before

    @property
    def reasons(self) -> list[str]:
        """Why its operations are not applied."""
        rows = list(self.hub.core.replica.quarantine)
        assert all(row.state in (BAD, WAITING) and row.via == "rogue:rogue-epoch" for row in rows)
        return [row.reason for row in rows]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.mesh.close()


def _sibling(store: Store, key: tuple[str, str], *path: str) -> Any:
    return store.rogue.document(key).siblings(path)[0]


def _copy(store: Store, operation: str, key: tuple[str, str]) -> str:
    return next(r.name for r in store.rogue.document(key).records() if operation in r.operation)


UNSAID: dict[str, Callable[[Store], dict[str, Any]]] = {
    "an empty UPDATE changes a field": lambda s: s.rogue.operation(ORDER, {}, [(("total",), 1)]),
    "an empty UPDATE changes the whole": lambda s: s.rogue.operation(SALE, {}, [((), {"amount": 1, "type": "sale"})]),
    "a note changes the amount": lambda s: s.rogue.operation(
        SALE, {"note": "x"}, [((), {"amount": 1, "type": "sale", "note": "x"})]
    ),
    "an empty UPDATE empties the whole": lambda s: s.rogue.operation(SALE, {}, [((), {})]),
    "a note drops the amount": lambda s: s.rogue.operation(
        SALE, {"note": "x"}, [((), {"type": "sale", "note": "x"})]
    ),
    "a field of a whole entity": lambda s: s.rogue.operation(SALE, {"amount": 1}, [(("amount",), 1)]),
    "a whole entity of fields": lambda s: s.rogue.operation(ORDER, {"total": 1}, [((), {"total": 1})]),
    "another value than it says": lambda s: s.rogue.operation(ORDER, {"total": 30}, [(("total",), 1)]),
    "another field than it says": lambda s: s.rogue.operation(ORDER, {"status": "ready"}, [(("total",), 1)]),
    "removes what it does not name": lambda s: s.rogue.operation(
        ORDER, {"status": "ready"}, [(("status",), "ready")], removes=[_sibling(s, ORDER, "total")]
    ),
    "removes what it names, and writes nothing": lambda s: s.rogue.operation(
        ORDER, {"total": 5}, [], removes=[_sibling(s, ORDER, "total")]
    ),
    "removes an item that it does not name": lambda s: s.rogue.operation(
        ORDER, {}, removes=[_sibling(s, ORDER, "items", "1")]
    ),
    "adds an item that it does not say": lambda s: s.rogue.operation(
        ORDER, {"items": []}, [(("items", "2"), ["m", {"id": "2", "name": "Pinga"}])]
    ),
    "an item that is another one": lambda s: s.rogue.operation(
        ORDER, {"items": [{"id": "1", "name": "Feijoada"}]}, [(("items", "1"), ["m", {"id": "1", "name": "Pinga"}])]
    ),
    "a step of one counts a thousand": lambda s: s.rogue.operation(
        PRODUCT, {"stock": {"$inc": -1}}, [(("@counted",), {"stock": -1000})], counts={"stock": Decimal(-1000)}
    ),
    "counts what it does not name": lambda s: s.rogue.operation(
        PRODUCT, {"name": "Cola"}, [(("@counted",), {"stock": -9})], counts={"stock": Decimal(-9)}
    ),
    "counts without a record": lambda s: s.rogue.operation(
        PRODUCT, {"stock": {"$inc": -9}}, counts={"stock": Decimal(-9)}
    ),
    "records what it does not count": lambda s: s.rogue.operation(
        PRODUCT, {"stock": {"$inc": -9}}, [(("@counted",), {"stock": -9})]
    ),
    "a group that it does not say": lambda s: s.rogue.operation(
        ORDER, {"total": 30}, [(("@group", "total+tip"), {"total": 30, "tip": 99})]
    ),
    "ranks first": lambda s: s.rogue.operation(
        CUSTOMER, {"phone": "9"}, [(("phone",), "9")], removes=(), record={"rank": 0}
    ),
    "ranks after its acceptance": lambda s: s.rogue.operation(
        CUSTOMER, {"phone": "9"}, [(("phone",), "9")], removes=(), record={"rank": 2**62}
    ),
    "a version far ahead": lambda s: s.rogue.operation(
        ORDER, {"total": 1}, [(("total",), 1)], record={"version": 2**50}
    ),
    "the entity's version jumps": lambda s: s.rogue.operation(ORDER, {"total": 1}, [(("total",), 1)], n=10**6),
    "the entity's version stays": lambda s: s.rogue.operation(ORDER, {"total": 1}, [(("total",), 1)], n=0),
    "a stamp after its acceptance": lambda s: s.rogue.operation(
        ORDER, {"total": 1}, [(("total",), 1)], record={"stamp": 2**62}
    ),
    "another author in the record": lambda s: s.rogue.operation(
        ORDER, {"total": 1}, [(("total",), 1)], record={"terminal": "caixa-1"}
    ),
    "another operation in the record": lambda s: s.rogue.operation(
        ORDER, {"total": 1}, [(("total",), 1)], record={"operation": "caixa-1.op-99"}
    ),
    "another author than it says": lambda s: s.rogue.operation(
        ORDER, {"total": 1}, [(("total",), 1)], raw={"terminal_id": "caixa-1"}
    ),
    "a deletion that saw the future": lambda s: s.rogue.operation(
        ORDER,
        {"deleted_at": "now"},
        [(("deleted_at",), {"at": "now", "saw": ["pos-2/pos-2.op-50"], "by": "pos"})],
        kind="DELETE",
    ),
    "an UPDATE that deletes": lambda s: s.rogue.operation(
        ORDER, {"deleted_at": "now"}, [(("deleted_at",), {"at": "now", "saw": [], "by": "pos"})]
    ),
    "a CREATE that empties": lambda s: s.rogue.operation(
        ORDER, {"status": "x"}, [(("status",), "x")], kind="CREATE", removes=s.rogue.document(ORDER).records()
    ),
    "a decision of no conflict": lambda s: s.rogue.operation(
        CUSTOMER, {}, [(("phone",), "9")], raw={"resolves": "conflict-1", "resolution": "accept_remote"}
    ),
    "a decision of another conflict": lambda s: s.rogue.operation(
        CUSTOMER,
        {},
        [(("phone",), "9")],
        raw={
            "resolves": "conflict-1",
            "resolution": "accept_remote",
            "conflict": {"path": ["phone"], "operations": ["pos-2/pos-2.op-1"]},
        },
    ),
    "a repair of what is whole": lambda s: s.rogue.operation(
        ORDER,
        {},
        removes=[_sibling(s, ORDER, "total")],
        n=0,
        terminal="rogue",
        raw={"repairs": _copy(s, "caixa-1", ORDER)},
    ),
    "a sale that is taken back": lambda s: s.rogue.operation(
        PRODUCT,
        {},
        [(("@settled", f"{_copy(s, 'pos-2', PRODUCT)}:5"), {"stock": 500})],
        n=0,
        terminal="rogue",
        raw={"repairs": _copy(s, "pos-2", PRODUCT)},
    ),
}


@pytest.mark.parametrize("attack", UNSAID)
def test_an_update_that_does_what_its_operation_does_not_say_is_kept_and_not_applied(
    store: Store, attack: str
) -> None:
    store.play(UNSAID[attack](store))
    assert store.unchanged
    assert len(store.reasons) == 1
    assert not store.rogue.closed


@pytest.mark.parametrize(("less", "applied"), [(0, True), (1, True), (2, False)])
def test_a_rank_is_that_of_a_record_which_was_there_also_when_it_is_gone(
    store: Store, less: int, applied: bool
) -> None:
    document = store.rogue.document(CUSTOMER)  # as it is before the next change
    (phone,) = document.siblings(("phone",))
    store.pos.do(*CUSTOMER, "UPDATE", {"phone": "3"})
    store.settle()
    store.before = shown(store.hub)
    write = [(("phone",), "9")]
    store.play(store.rogue.operation(CUSTOMER, {"phone": "9"}, write, record={"rank": phone.rank - less}))
    assert store.unchanged != applied
    assert len(store.reasons) == (not applied)


@pytest.mark.parametrize(("less", "applied"), [(1, True), (2, False)])
def test_a_rank_is_less_by_one_where_it_keeps_a_place(store: Store, less: int, applied: bool) -> None:
    """It may be needed wherever somebody else has a value of this rank, which need not have come here."""
    (phone,) = store.rogue.document(CUSTOMER).siblings(("phone",))
    write = [(("phone",), "9")]
    store.play(store.rogue.operation(CUSTOMER, {"phone": "9"}, write, record={"rank": phone.rank - less}))
    assert store.unchanged != applied
    assert len(store.reasons) == (not applied)


def test_what_it_says_it_may_do(store: Store) -> None:
    store.play(
        store.rogue.operation(ORDER, {"total": 31}, [(("total",), 31)]),
        store.rogue.operation(
            PRODUCT, {"stock": {"$inc": -1}}, [(("@counted",), {"stock": -1})], counts={"stock": Decimal(-1)}
        ),
    )
    assert store.reasons == []
    for world in (store.hub, store.leaf):
        assert world.view("orders")["mesa-1"]["total"] == 31
        assert world.view("products")["cola"]["stock"] == 9


def test_a_whole_entity_whose_author_repeats_what_somebody_changed_since_is_applied_everywhere(store: Store) -> None:
    store.pos.do(*SALE, "UPDATE", {"note": "a"})
    store.settle()
    store.caixa.do(*SALE, "UPDATE", {"note": "b"})
    store.mesh.settle()  # the leaf has it, and its terminal has not read it
    store.pos.do(*SALE, "UPDATE", {"note": "a", "amount": 7})
    store.settle()
    assert store.reasons == []
    assert not list(store.leaf.core.replica.quarantine)
    assert shown(store.hub) == shown(store.leaf) != store.before


# ---------------------------------------------------------------------- for whom it speaks


def withdrawal(store: Store, origin: str) -> dict[str, Any]:
    data = {"amount": 9_999, "type": "withdrawal"}
    return store.rogue.operation(
        ("cashier_operations", "stolen"),
        data,
        [((), data)],
        kind="CREATE",
        terminal="caixa-1",
        link={"origin": origin},
    )


@pytest.mark.parametrize("origin", ["hub", "n9", ""])
def test_it_does_not_speak_for_who_it_is_not(store: Store, origin: str) -> None:
    store.play(withdrawal(store, origin))
    assert store.unchanged
    assert store.reasons == [f"this link does not speak for {origin!r} at $.link.origin"]


@pytest.mark.parametrize("origin", ["n0", "n1"])
def test_who_has_a_key_has_signed_what_it_accepted(store: Store, origin: str) -> None:
    store.play({"type": "speaks_for", "nodes": [origin]}, withdrawal(store, origin))
    assert store.unchanged
    assert store.reasons == [f"{origin} signs what it accepts, and this is not signed at $.link.proof"]


def test_nobody_speaks_for_this_node_itself_also_who_says_so(store: Store) -> None:
    store.play({"type": "speaks_for", "nodes": ["n0", "n9"]}, withdrawal(store, "n0"))
    assert store.unchanged
    assert len(store.reasons) == 1
    assert store.hub.core.replica.origins.speaks_for("rogue") == ["n9"]


def test_a_link_speaks_for_whom_the_configuration_says_and_for_nobody_else(store: Store) -> None:
    store.hub.core.replica.origins.configured = {"rogue": ["n8"]}
    store.play({"type": "speaks_for", "nodes": ["n9"]}, withdrawal(store, "n9"))
    assert store.unchanged


@pytest.mark.parametrize("origin", ["rogue", "n9"])
def test_what_it_writes_in_a_terminals_name_names_it_in_the_audit_and_the_chain(
    store: Store, origin: str, caplog: pytest.LogCaptureFixture
) -> None:
    """caixa-1 is connected to the hub, and could have written it there."""
    store.play({"type": "speaks_for", "nodes": ["n1", "n9"]}, withdrawal(store, origin))
    (row,) = [r for _, r, _ in store.hub.reader.chained_rows() if r is not None and r.entity_id == "stolen"]
    entry = audit_entry(row)
    assert (entry["origin"], entry["via"], entry["signed"]) == (origin, "rogue", "unsigned")
    assert entry["changes"]["online_here"]  # type: ignore[index]
    assert "that terminal is connected here" in caplog.text
    assert "it speaks for n1, which is linked here itself" in caplog.text
    before = chain_hash(GENESIS, row)
    row.via = ""
    assert chain_hash(GENESIS, row) != before


# ---------------------------------------------------------------------- whole entities


STATUS = FieldConfig("progress", ranks=["pending", "ready", "paid"], final=["ready"])
RANKED = {"orders": EntityConfig(fields={"status": STATUS})}


@pytest.mark.parametrize(
    ("what", "key", "data", "beyond"),
    [
        ("a waiter writes products", ("products", "cola"), {"name": "Pinga"}, True),
        ("a waiter takes a status back", ORDER, {"status": "pending"}, True),
        ("a waiter goes on with an order", ORDER, {"status": "paid"}, False),
        ("a waiter writes a plain field", ORDER, {"note": "x"}, False),
        ("a waiter deletes what it had seen to be final", ORDER, {"deleted_at": "mesa-1"}, True),
        ("a waiter deletes what is final since", ORDER, {"deleted_at": ""}, False),
    ],
)
def test_what_an_author_may_not_do_as_this_node_knows_it_is_said_beside_it(
    tmp_path: Path, what: str, key: tuple[str, str], data: dict[str, str], beyond: bool
) -> None:
    """Also once it has gone. It is applied as elsewhere: the rights of today refuse no history."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)], config=evolve(Config(), entities=RANKED))
    hub, leaf = mesh.worlds
    Client(hub, "garcom-1", "waiter").connect().disconnect()
    pos = Client(hub, "pos-1").connect()
    mesh.settle(pos.receive)
    pos.do("orders", "mesa-1", "CREATE", {"status": "ready"})
    pos.do("products", "cola", "CREATE", {"name": "Cola"})
    mesh.settle(pos.receive)
    rogue = Rogue(hub).connect()
    writes: list[tuple[tuple[str, ...], object]] = [((name,), value) for name, value in data.items()]
    kind = "UPDATE"
    if "deleted_at" in data:  # by its own word it is a till, which may
        kind = "DELETE"
        saw = [record.name for record in rogue.document(key).records()] if data["deleted_at"] else []
        data = {"deleted_at": hlc.iso(hub.wall_ms)}
        writes = [(("deleted_at",), {"at": data["deleted_at"], "saw": sorted(saw), "by": "pos"})]
    rogue.say(rogue.operation(key, data, writes, kind=kind, terminal="garcom-1"))
    mesh.settle(pos.receive)
    row = next(row for _, row, _ in hub.reader.chained_rows() if row is not None and row.terminal_id == "garcom-1")
    entry = audit_entry(row)
    assert entry["changes"].get("beyond_rights") == ("waiter" if beyond else None)  # type: ignore[attr-defined]
    assert (entry["via"], hub.core.replica.counts.beyond_rights) == ("rogue", int(beyond))
    assert shown(hub) == shown(leaf)
    mesh.close()


def forged(store: Store) -> dict[str, Any]:
    """The sale of 100, as one of 5, and the next operations of two colleagues as if they were in it."""
    store.rogue.operation(SALE, {}, [((), {"amount": 5, "type": "sale"})])
    return store.rogue.state(SALE, archived=b64encode(pack_operations(guessed(store))).decode())


def guessed(store: Store) -> list[ArchivedOperation]:
    writer = store.leaf.core.replica.residents.writer
    names = [f"{client.name}.op-{number}" for client in (store.pos, store.caixa) for number in range(10)]
    return [ArchivedOperation(key64(name), key64(name, f"{writer}:0"), 1, 0, 1, 1) for name in names]


def colleagues_go_on(store: Store) -> None:
    for client, name in ((store.pos, "mesa-8"), (store.caixa, "mesa-9")):
        assert client.do("orders", name, "CREATE", {"status": "pending"})["status"] == "applied"
        assert client.do("cashier_operations", name, "CREATE", {"amount": 1})["status"] == "applied"
    store.settle()
    for world in (store.hub, store.leaf):
        assert {"mesa-1", "mesa-8", "mesa-9"} == set(world.view("orders"))
        assert {"sale-1", "mesa-8", "mesa-9"} == set(world.view("cashier_operations"))


def test_an_entity_that_nobody_asked_for_is_not_taken(store: Store) -> None:
    store.play(forged(store))
    assert store.unchanged
    assert store.rogue.link.refused == 1
    assert not len(store.hub.core.replica.held.archived)
    colleagues_go_on(store)


def test_no_part_of_an_entity_that_nobody_asked_for_is_kept(store: Store) -> None:
    operation = state_operation("state", SALE)
    parts = [orjson.loads(part) for part in state_messages(operation, bytes(5 * PART_BYTES))]
    kept = []
    for part in parts:
        store.rogue.say(part)
        kept.append(store.rogue.link.parts.size)
    assert kept == [0] * 5
    assert store.rogue.link.refused == 1, "it is said once"
    assert not store.rogue.closed
    assert store.unchanged


VALUES = {"lists": b"[],", "objects": b"{},", "numbers": b"1,", "members": b'{"a":1},', "strings": b'"",'}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("within", [b"[%s1]", b'{"type":"data_sync","operation":[%s1]}'])
def test_no_frame_is_read_whose_values_take_long(
    store: Store, value: str, within: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[int]()

    def loads(text: bytes) -> Any:
        read.append(len(text))
        return orjson.loads(text)

    monkeypatch.setattr(link, "orjson", SimpleNamespace(loads=loads, dumps=orjson.dumps))
    one = VALUES[value]
    store.rogue.link.receive(within % (one * (LINK_MESSAGE_BYTES // len(one) - 100)))
    assert store.rogue.closed
    assert not read
    assert store.unchanged


@pytest.mark.parametrize("restarted", [False, True])
def test_an_entity_that_was_asked_for_is_its_senders_and_drops_no_colleagues_operation(
    store: Store, restarted: bool
) -> None:
    """It makes the hub ask, by saying in a comparison that it holds operations which the hub lacks."""
    keys = sorted(one.link_key for one in guessed(store))
    by_bucket: dict[str, list[int]] = {}
    for key in keys:
        by_bucket.setdefault(str(bucket_of(key)), []).append(key)
    packed = {bucket: b64encode(array("q", each).tobytes()).decode() for bucket, each in by_bucket.items()}
    store.rogue.say({"type": "digest_keys", "entity_type": "cashier_operations", "buckets": packed})
    store.play(forged(store))
    (row,) = [row for _, row, _ in store.hub.reader.chained_rows() if row is not None and row.kind == "state"]
    entry = audit_entry(row)
    assert entry["via"] == "rogue"
    assert entry["changes"] == {"before": {"amount": 100, "type": "sale"}, "after": {"amount": 5, "type": "sale"}}
    if restarted:
        store.mesh.crash(0)
        store.caixa = moved(store.caixa, store.hub)
        store.settle()
    colleagues_go_on(store)


# ---------------------------------------------------------------------- what it may cost


def test_a_claim_of_rows_that_never_were_begins_one_epoch_and_no_second(store: Store) -> None:
    epochs = {store.hub.core.links.epoch}
    for name in range(5):
        rogue = Rogue(store.hub).connect() if name else store.rogue
        rogue.link.host.unlink(rogue.link)
        rogue = Rogue(store.hub)
        rogue.connect(epoch=store.hub.core.links.epoch, positions=[10**9] * 4, mark=10**9, hash="00")
        assert rogue.closed
        store.settle()
        epochs.add(store.hub.core.links.epoch)
        store.hub.advance(61_000)
    assert len(epochs) == 2
    store.settle()
    assert store.unchanged
    store.hub.advance(EPOCH_INTERVAL_MS)
    rogue = Rogue(store.hub)
    rogue.connect(epoch=store.hub.core.links.epoch, positions=[10**9] * 4, mark=10**9, hash="00")
    assert store.hub.core.links.epoch not in epochs


@pytest.mark.parametrize("number", [2**62 - 1, START_MS * 2])
def test_it_hides_no_other_nodes_terminals(store: Store, number: int) -> None:
    store.leaf.core.sessions.mark_changed()
    store.leaf.core.links.neighbours.say(force=True)
    store.settle()
    assert "pos-2" in store.hub.core.links.neighbours.terminals()
    store.play({"type": "terminal_status_update", "nodes": {"n1": [number, {}], "n7": [number, {}]}})
    assert store.hub.core.links.neighbours.terminals()["pos-2"]["status"] == "online"  # type: ignore[index]
    assert "n7" not in store.hub.core.links.neighbours.nodes


def test_a_list_of_a_node_that_is_linked_here_comes_from_that_node(store: Store) -> None:
    store.leaf.core.links.neighbours.say(force=True)
    store.settle()
    store.play({"type": "terminal_status_update", "nodes": {"n1": [store.hub.wall_ms + 1_000, {}]}})
    assert "pos-2" in store.hub.core.links.neighbours.terminals()


@pytest.mark.parametrize("holder", ["caixa", "pos"])
def test_it_neither_releases_nor_takes_over_a_colleagues_lock(store: Store, holder: str) -> None:
    store.leaf.core.links.neighbours.say(force=True)
    client: Client = getattr(store, holder)
    client.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-1", "lock_id": "lock-1"})
    store.settle()
    assert client.of("lock_acquired")
    store.play({"type": "release_lock", "lock_id": "lock-1", "terminal_id": client.name})
    ask = {"type": "acquire_lock", "request": 1, "entity_type": "orders", "entity_id": "mesa-1", "wait_ms": 500}
    store.play({**ask, "terminal_id": client.name, "lock_id": "lock-2", "timeout": 1})
    store.play({"type": "release_lock", "lock_id": "lock-2", "terminal_id": client.name})
    (lease,) = store.hub.core.replica.locks.leases.values()
    assert (lease.terminal, lease.lock_id) == (client.name, "lock-1")
    assert lease.live(store.hub.now())


def test_a_false_upstream_locks_for_no_longer_than_this_node_would_and_sets_no_clock(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path / "leaf", node_id="leaf", upstream=True)
    rogue = Rogue(world, role="upstream").connect()
    day = 24 * 3_600_000
    lease = {"lock_id": "l", "entity_type": "orders", "entity_id": "mesa-1", "terminal_id": "x", "scope": "store"}
    token = {"authority": "rogue", "epoch": 1, "counter": 1}
    rogue.say({"type": "lock_acquired", **lease, "token": token, "timeout_ms": day, "left_ms": day})
    world.settle()
    (found,) = world.core.replica.locks.leases.values()
    assert found.deadline_mono_ms - world.mono_ms == world.config.limits.lease_ms_max
    rogue.say({"type": "pong", "clock": world.wall_ms + 22 * 3_600_000})
    assert world.core.replica.clock.offset_ms == 0
    assert "not followed" in caplog.text
    world.close()


FLOODS: dict[str, dict[str, Any]] = {
    "lists of terminals": {"type": "terminal_status_update", "nodes": {}},
    "questions about terminals": {"type": "terminal_came", "terminal": "pos-9", "question": "q"},
    "lists of signed heads": {"type": "chain_heads", "heads": []},
    "visits of terminals": {
        "type": "terminals_knew",
        "epoch": "another",
        "visits": [["pos-9", "n9", 1, [0, 0, 0, 0], [0, 0, 0, 0], None]],
    },
}


@pytest.mark.parametrize("what", FLOODS)
def test_what_passes_its_budget_pauses_its_link_and_no_other(
    store: Store, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.hub.core.links.minute[what] = 1_200
    for _ in range(13):
        store.rogue.say(*[FLOODS[what]] * 100)
        store.hub.settle()
    assert store.rogue.link.paused
    assert f"is not read for a minute: too many {what}" in caplog.text
    used, most = {name: (used, most) for name, used, most in store.hub.core.levels()}[
        f"link_{what.replace(' ', '_')}"
    ]
    assert used > most == 1_200
    store.rogue.say(store.rogue.operation(ORDER, {"total": 31}, [(("total",), 31)]))
    store.hub.settle()
    store.before = shown(store.hub)
    assert store.hub.view("orders")["mesa-1"]["total"] == 30
    assert store.pos.do(*ORDER, "UPDATE", {"status": "ready"})["status"] == "applied"
    store.settle()
    assert store.hub.view("orders")["mesa-1"]["status"] == "ready"
    store.hub.advance(MINUTE_MS)
    store.settle()
    assert not store.rogue.link.paused
    assert store.hub.view("orders")["mesa-1"]["total"] == 31


def test_a_pause_holds_also_what_is_left_of_a_frame(store: Store) -> None:
    """Its next turn is due when another frame passes the budget."""
    table = {"type": "terminal_status_update", "nodes": {}}
    links = store.hub.core.links
    links.minute["frames"] = links.budget("rogue").spent.get("frames", 0) + 1
    store.rogue.say(*[table] * 100, store.rogue.operation(ORDER, {"total": 31}, [(("total",), 31)]))
    store.rogue.say(table)
    assert store.rogue.link.paused
    store.settle()
    assert store.unchanged
    store.hub.advance(MINUTE_MS)
    store.settle()
    assert store.hub.view("orders")["mesa-1"]["total"] == 31


def test_its_quarantine_has_a_quota_and_its_oldest_go_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MOST_OF_PEER", 3)
    names = []
    for number in range(5):
        message = store.rogue.operation(("orders", f"o-{number}"), {}, [(("total",), 1)])
        names.append(message["operation"]["id"])
        store.play(message)
    assert [row.operation_id for row in store.hub.core.replica.quarantine] == names[2:]
    assert store.unchanged


def test_what_somebody_drops_stays_out_and_is_not_sent_again(store: Store) -> None:
    message = store.rogue.operation(ORDER, {}, [(("total",), 1)])
    store.play(message)
    (row,) = store.hub.core.replica.quarantine
    assert store.hub.core.drop_parked(row.id)
    assert not store.hub.core.drop_parked(row.id + 1)
    store.settle()
    for _ in range(2):
        (kept,) = store.hub.core.replica.quarantine
        assert (kept.state, kept.body, kept.operation_id) == (DROPPED, b"{}", row.operation_id)
        assert row.link_key in store.hub.core.replica.quarantine.link_keys("orders")
        assert store.hub.core.retry_quarantine() == 0
        store.mesh.crash(0)
    assert store.hub.core.replica.quarantine.due(10) == []


# ---------------------------------------------------------------------- two versions of one thing


@pytest.mark.parametrize("superseded", [False, True])
def test_two_versions_of_one_operation_are_found_told_and_both_kept(
    store: Store, superseded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """It tells the hub one thing and the leaf another, under one name and the same clocks."""
    other = Rogue(store.leaf).connect()
    told = {"raw": {"id": "rogue.twice"}, "terminal": "rogue-till"}
    store.rogue.say(store.rogue.operation(ORDER, {"total": 31}, [(("total",), 31)], **told))
    other.say(other.operation(ORDER, {"total": 32}, [(("total",), 32)], **told))
    if superseded:
        store.rogue.say(store.rogue.operation(ORDER, {"total": 33}, [(("total",), 33)]))
        other.say(other.operation(ORDER, {"total": 33}, [(("total",), 33)], raw={"id": "rogue.other"}))
    store.settle()
    for world, total in ((store.hub, 31), (store.leaf, 32)):
        rows = [r for _, r, _ in world.reader.chained_rows() if r is not None and r.operation_id == "rogue.twice"]
        assert [orjson.loads(row.operation)["data"] for row in rows] == [{"total": total}]
        kept = [row for row in world.core.replica.quarantine if row.operation_id == "rogue.twice"]
        assert [orjson.loads(row.body)["operation"]["data"] for row in kept] == [{"total": 63 - total}]
        assert any("rogue.twice" in what for what in world.core.replica.contradictions)
        assert world.core.replica.counts.contradictions
        assert not world.core.replica.faults.count
    assert "two versions of one operation" in caplog.text


def test_a_comparison_finds_two_versions_that_no_row_brings(store: Store) -> None:
    """The row itself is lost on its way, as its position is told all the same."""
    other = Rogue(store.leaf).connect()
    store.mesh.wires[0].damage = lambda frame: b"[]" if b"data_sync" in frame else frame
    told = {"raw": {"id": "rogue.twice"}, "terminal": "rogue-till"}
    store.rogue.say(store.rogue.operation(ORDER, {"total": 31}, [(("total",), 31)], **told))
    other.say(other.operation(ORDER, {"total": 32}, [(("total",), 32)], **told))
    store.settle()
    assert not store.hub.core.replica.contradictions
    store.mesh.wires[0].damage = None
    for world in store.mesh.worlds:
        world.advance(61_000)
    store.settle()
    assert store.hub.core.replica.contradictions
    assert store.leaf.core.replica.contradictions


def test_an_entity_of_the_same_operations_with_another_value_is_an_alarm(store: Store) -> None:
    """It was asked for, and its clocks are those that this node holds: as digests see it, both hold the same."""
    state = store.rogue.state(SALE)
    true = b64decode(state["link"]["state"])
    assert true.count(b"100") == 1
    state["link"]["state"] = b64encode(true.replace(b"100", b"900")).decode()
    store.rogue.link.asked.everything = True
    store.play(state, state)
    (said,) = store.hub.core.replica.contradictions
    assert "rogue holds cashier_operations sale-1 otherwise" in said
    assert store.unchanged
