"""Who accepted an operation is proven by its origin's signature, over whichever link it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
from attrs import evolve

from node.core.keyring import UNKNOWN, UNSIGNED, VERIFIED, fingerprint
from node.core.links.link import TURN_MESSAGES
from node.core.operations.quarantine import BAD, WAITING
from node.core.ports import NO_KEY
from node.errors import AuthenticationFailed
from node.runtime.keys import KEY_FILE, signatures
from node.simulation.disk import Files
from node.wire.links import digests, history
from node.wire.links.operations import operation_message
from storage.audit.chain_walk import verify
from storage.audit.late_proofs import LateProofs
from storage.records import link_key
from tests.harness import Client, World
from tests.mesh import Mesh, Wire, shown
from tests.rogue import Rogue, sign_together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from node.core.ports import Signatures
    from storage.records import LogRow

ORDER = ("orders", "mesa-1")


def own_key(directory: Path, name: str) -> Signatures:
    """A key that nobody knows."""
    (directory / name).mkdir(exist_ok=True)
    return signatures(directory / name)


def rows_of(world: World) -> list[LogRow]:
    """Its operations as links carry them, all signed."""
    world.store.sign_rest()
    return [row for row in world.reader.history(0, world.store.head, 10_000) if row.kind == "operation"]


def message_of(row: LogRow) -> dict[str, Any]:
    """As links carry it."""
    return orjson.loads(operation_message(row))  # type: ignore[no-any-return]


class Store:
    """A hub and a leaf that has written while its link was cut, and a rogue at the hub that has all of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.mesh = Mesh(directory, 2, [(1, 0, True)])
        self.hub, self.leaf = self.mesh.worlds
        self.waiters = [Client(self.leaf, f"pos-{n}").connect() for n in range(3)]
        self.settle()
        self.waiters[0].do(*ORDER, "CREATE", {"status": "pending", "total": 30})
        self.settle()
        self.rogue = Rogue(self.hub, key=own_key(directory, "rogue")).connect()
        self.settle()
        self.mesh.wires[0].cut()

    def settle(self, *, reconnect: bool = True) -> None:
        self.mesh.settle(lambda: sum(waiter.receive() for waiter in self.waiters), reconnect=reconnect)

    def together(self) -> list[dict[str, Any]]:
        """Three operations that the leaf stores in one commit while its link is cut."""
        for number, waiter in enumerate(self.waiters):
            waiter.write("orders", f"mesa-{number + 2}", "CREATE", {"status": "pending"})
        self.leaf.settle()
        rows = rows_of(self.leaf)[-3:]
        assert len({row.proof[:64] for row in rows}) == 1
        return [message_of(row) for row in rows]

    def in_turn(self, count: int) -> list[dict[str, Any]]:
        """Writes of the leaf to one order while its link is cut, each on the one before and signed alone."""
        for total in range(count):
            self.waiters[0].do(*ORDER, "UPDATE", {"total": total})
            self.leaf.store.sign_rest()
        return [message_of(row) for row in rows_of(self.leaf)[-count:]]

    def play(self, *messages: dict[str, Any]) -> None:
        self.rogue.say(*messages)
        self.hub.settle()

    @property
    def parked(self) -> list[tuple[str, str]]:
        return [(row.state, row.reason) for row in self.hub.core.replica.quarantine]

    def end_well(self) -> None:
        """The leaf is linked again: both nodes hold and show the same, and nothing waits."""
        self.settle()
        assert shown(self.hub) == shown(self.leaf)
        assert [row.link_key for row in self.hub.core.replica.quarantine] == []
        held = [{row.link_key: row.proof for row in rows_of(world)} for world in (self.hub, self.leaf)]
        assert held[0] == held[1]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.mesh.close()


# ---------------------------------------------------------------------- what is signed passes whoever brings it


def test_a_signed_operation_may_come_over_any_link_and_says_which(store: Store) -> None:
    store.play(*store.together())
    assert store.parked == []
    assert {(row.origin, row.via, row.signed) for row in rows_of(store.hub)[-3:]} == {
        ("n1", "rogue:rogue-epoch", VERIFIED)
    }
    store.end_well()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_part_of_a_commit_is_proven_without_the_rest(store: Store, number: int) -> None:
    store.play(store.together()[number])
    assert store.parked == []
    assert rows_of(store.hub)[-1].signed == VERIFIED
    store.end_well()


def test_what_a_relay_drops_from_the_middle_is_waited_for_and_comes_another_way(store: Store) -> None:
    first, _, third = store.in_turn(3)
    before = shown(store.hub)
    store.play(first, third)
    assert [state for state, _ in store.parked] == [WAITING]
    assert shown(store.hub) != before
    assert store.hub.view("orders")["mesa-1"]["total"] == 0
    store.end_well()


# ---------------------------------------------------------------------- what is not is kept, and shown to nobody

CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "who was logged in": lambda link: link.update(user_id="the owner"),
    "who wrote it": lambda link: link.update(terminal_id="pos-9"),
    "when it was written": lambda link: link["hlc"].__setitem__(0, link["hlc"][0] - 1),
    "when it was accepted": lambda link: link["hlc"].__setitem__(1, link["hlc"][1] + 1),
    "its lock": lambda link: link.update(lock_status="held"),
    "what it builds on": lambda link: link["updates"][0].__setitem__(3, {}),
    "its proof": lambda link: link.update(proof="AAAA" + link["proof"][4:]),
    "the length of its proof": lambda link: link.update(proof=link["proof"][:-4]),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_relay_changes_nothing_of_what_was_signed(store: Store, changed: str) -> None:
    before = shown(store.hub)
    (message,) = store.in_turn(1)
    CHANGES[changed](message["link"])
    store.play(message)
    assert [state for state, _ in store.parked] == [BAD]
    assert shown(store.hub) == before
    store.settle()
    assert shown(store.hub) == shown(store.leaf)


def test_no_member_of_a_link_is_outside_the_signature(store: Store) -> None:
    """Whoever adds one has to decide on it: CHANGES holds each to be signed, the key is checked against the rest."""
    (message,) = store.in_turn(1)
    signed = {"user_id", "terminal_id", "hlc", "lock_status", "updates", "origin", "proof"}
    assert message["link"].keys() == signed | {"key"}


def test_a_signature_that_was_taken_off_is_missed(store: Store) -> None:
    before = shown(store.hub)
    (message,) = store.in_turn(1)
    del message["link"]["proof"]
    store.play({"type": "speaks_for", "nodes": ["n1"], "keys": {}}, message)
    assert store.parked == [(BAD, "n1 signs what it accepts, and this is not signed at $.link.proof")]
    assert shown(store.hub) == before
    store.end_well()


@pytest.mark.parametrize("speaks", [False, True])
def test_a_signature_of_another_node_proves_nothing(store: Store, speaks: bool) -> None:
    """A stolen node token without the other node's key."""
    before = shown(store.hub)
    operation = store.rogue.operation(ORDER, {"total": 1}, [(("total",), 1)], link={"origin": "n1"})
    sign_together([operation], store.rogue.key)
    store.play(*[{"type": "speaks_for", "nodes": ["n1"]}] * speaks, operation)
    assert store.parked == [(BAD, "it is not signed by n1 at $.link.proof")]
    assert shown(store.hub) == before


@pytest.mark.parametrize(("origin", "reason"), [("rogue", "it is not signed by rogue"), ("n0", "not signed by n0")])
def test_what_one_node_signed_is_not_replayed_as_anothers(store: Store, origin: str, reason: str) -> None:
    before = shown(store.hub)
    messages = store.together()
    for message in messages:
        message["link"]["origin"] = origin
    store.play(*messages)
    assert len(store.parked) == 3
    assert all(state == BAD and reason in why for state, why in store.parked)
    assert shown(store.hub) == before
    store.end_well()


def test_proofs_of_one_commit_are_not_swapped(store: Store) -> None:
    messages = store.together()
    proofs = [message["link"]["proof"] for message in messages]
    for message, proof in zip(messages, [*proofs[1:], proofs[0]], strict=True):
        message["link"]["proof"] = proof
    store.play(*messages)
    assert [state for state, _ in store.parked] == [BAD] * 3
    store.end_well()


@pytest.mark.parametrize("origin", ["n0", "rogue"])
def test_what_claims_this_nodes_own_writer_without_its_signature_begins_no_epoch(store: Store, origin: str) -> None:
    epoch, replica = store.hub.core.links.epoch, store.hub.core.replica
    operation = store.rogue.operation(ORDER, {"total": 1}, [(("total",), 1)], link={"origin": origin})
    entry = operation["link"]["updates"][0]
    entry[4][0] = replica.residents.writer
    operation["link"]["key"] = link_key(f"rogue-till/{operation['operation']['id']}", [entry])
    sign_together([operation], store.rogue.key)
    store.play(operation)
    assert store.hub.core.links.epoch == epoch
    assert [state for state, _ in store.parked] == [BAD]


# ---------------------------------------------------------------------- nobody knows its key


def test_of_a_node_without_a_key_operations_are_taken_and_marked_everywhere(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    plain = World(tmp_path / "plain", node_id="plain", upstream=True, has_key=False)
    mesh.worlds.append(plain)
    mesh.wires.append(Wire(plain, mesh.worlds[0], upstream=True))
    waiter = Client(plain, "pos-1").connect()
    mesh.settle(waiter.receive)
    waiter.do(*ORDER, "CREATE", {"status": "pending"})
    mesh.settle(waiter.receive)
    assert [rows_of(world)[-1].signed for world in mesh.worlds] == [UNSIGNED, UNSIGNED, ""]
    assert shown(mesh.worlds[0]) == shown(mesh.worlds[1]) == shown(plain)
    mesh.close()


def test_signed_by_a_key_that_nobody_told_is_marked_as_that(store: Store) -> None:
    operation = store.rogue.operation(ORDER, {"total": 1}, [(("total",), 1)], link={"origin": "n9"})
    sign_together([operation], store.rogue.key)
    store.play({"type": "speaks_for", "nodes": ["n9"]}, operation)
    assert store.parked == []
    assert rows_of(store.hub)[-1].signed == UNKNOWN


@pytest.mark.parametrize("by", ["n9", "rogue"])
def test_what_came_before_a_key_was_known_is_held_against_it_once_it_is(store: Store, by: str) -> None:
    """The word in the row stays, since its hash covers it: `comanda audit verify` asks again."""
    real = own_key(store.directory, "real")
    operation = store.rogue.operation(ORDER, {"total": 1}, [(("total",), 1)], link={"origin": "n9"})
    sign_together([operation], real if by == "n9" else store.rogue.key)
    store.play({"type": "speaks_for", "nodes": ["n9"]}, operation)
    row = rows_of(store.hub)[-1]
    assert (row.signed, row.origin) == (UNKNOWN, "n9")

    def audited() -> tuple[int, int, list[int]]:
        pinned = store.hub.core.replica.keyring.pinned
        late = LateProofs(UNKNOWN, pinned, store.hub.around.signatures.verify)
        assert list(verify(store.hub.reader, each=late.take)) == []
        return late.open, late.proven, [finding.seq for finding in late.findings]

    assert audited() == (1, 0, [])
    Rogue(store.hub, "n9", key=real).connect()
    assert audited() == ((0, 1, []) if by == "n9" else (0, 0, [row.seq]))


# ---------------------------------------------------------------------- keys


def known(world: World, node: str) -> dict[bytes, str]:
    return world.core.replica.keyring.pinned.get(node, {})


def test_a_key_is_learnt_from_its_node_or_from_who_speaks_for_it(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 3, [(1, 0, True), (2, 0, True)])
    waiter = Client(mesh.worlds[2], "pos-1").connect()
    mesh.settle(waiter.receive)
    waiter.do(*ORDER, "CREATE", {"status": "pending"})
    mesh.settle(waiter.receive)
    public = mesh.worlds[2].around.signatures.public
    assert known(mesh.worlds[0], "n2") == {public: ""}
    assert known(mesh.worlds[1], "n2") == {public: "n0"}
    assert rows_of(mesh.worlds[1])[-1].signed == VERIFIED
    mesh.crash(1)  # kept durably
    assert known(mesh.worlds[1], "n2") == {public: "n0"}
    mesh.close()


def test_a_false_key_that_a_neighbour_told_keeps_nobody_out_and_what_it_kept_out_comes_in(store: Store) -> None:
    """Of the leaf's neighbour, which was never linked to the hub."""
    real, other = own_key(store.directory, "real"), own_key(store.directory, "other")
    told = {"type": "speaks_for", "nodes": ["n9"], "keys": {"n9": [other.public.hex()], "n8": [real.public.hex()]}}
    operation = store.rogue.operation(ORDER, {"total": 1}, [(("total",), 1)], link={"origin": "n9"})
    sign_together([operation], real)
    store.play(told, operation)
    assert known(store.hub, "n9") == {other.public: "rogue"}
    assert not known(store.hub, "n8"), "it does not say that it speaks for that one"
    assert store.parked == [(BAD, "it is not signed by n9 at $.link.proof")]
    Rogue(store.hub, "n9", key=real).connect()
    assert known(store.hub, "n9") == {real.public: ""}
    assert list(store.hub.core.replica.keyring.offered["n9"]) == [other.public]
    assert store.parked == []
    assert store.hub.view("orders")["mesa-1"]["total"] == 1


class Joined:
    """A world and whoever says that it is a node of it."""

    def __init__(self, world: World, name: str, key: Signatures) -> None:
        self.rogue = Rogue(world, name, key=key)
        self.rogue.connect()

    @property
    def refused(self) -> str | None:
        """Why."""
        closed = self.rogue.end.closed
        assert closed is None or closed[0] == AuthenticationFailed.code
        return closed and closed[1]


def test_a_node_whose_key_is_known_proves_it(tmp_path: Path) -> None:
    """A stolen node token, and no key."""
    world, key = World(tmp_path / "hub", node_id="hub"), own_key(tmp_path, "n1")
    assert Joined(world, "n1", key).refused is None
    assert Joined(world, "n1", NO_KEY).refused == "n1 has a key, and does not prove it"
    stolen = own_key(tmp_path, "stolen")
    assert fingerprint(stolen.public) in (Joined(world, "n1", stolen).refused or "")
    lying = evolve(key, sign=stolen.sign)
    assert Joined(world, "n1", lying).refused == f"n1 does not have the private key of {fingerprint(key.public)}"
    assert Joined(world, "n2", key).refused == f"n2 has the key of n1, {fingerprint(key.public)}"
    assert Joined(world, "n3", world.around.signatures).refused is not None
    assert known(world, "n1") == {key.public: ""}
    assert Joined(world, "n1", key).refused is None
    world.close()


def test_nothing_is_taken_of_a_node_that_has_not_yet_shown_who_it_is(tmp_path: Path) -> None:
    world = World(tmp_path / "hub", node_id="hub")
    rogue = Rogue(world, key=own_key(tmp_path, "rogue")).connect()
    operation = rogue.operation(ORDER, {"total": 1}, [(("total",), 1)], kind="CREATE")
    other = Rogue(world, key=own_key(tmp_path, "rogue"))
    other.open()
    other.say(operation)
    assert other.closed
    assert world.view("orders") == {}
    world.close()


def test_a_nodes_new_key_waits_for_somebody_who_decides(tmp_path: Path) -> None:
    """Its disk was lost: a backup holds no key."""
    mesh = Mesh(tmp_path, 3, [(1, 0, True), (2, 0, True)])
    hub, leaf, other = mesh.worlds
    waiter = Client(leaf, "pos-1").connect()
    mesh.settle(waiter.receive)
    waiter.do(*ORDER, "CREATE", {"status": "pending"})
    mesh.settle(waiter.receive)
    waiter.disconnect()
    (leaf.directory / KEY_FILE).unlink()
    leaf.key_of = "another"
    mesh.crash(1)
    new = leaf.around.signatures.public
    waiter.connect()
    waiter.do(*ORDER, "UPDATE", {"status": "ready"})
    for _ in range(3):
        for world in mesh.worlds:
            world.settle()
        mesh.connect()
        while any(wire.step(0) or wire.step(1) for wire in mesh.wires):
            pass
    assert hub.view("orders")["mesa-1"]["status"] == "pending"
    assert list(hub.core.replica.keyring.offered["n1"]) == [new]
    assert hub.core.decide_key("trust", "n1", fingerprint(new))
    mesh.settle(waiter.receive)
    assert other.view("orders")["mesa-1"]["status"] == "pending"
    assert other.core.decide_key("trust", "n1", fingerprint(new))  # the hub has told it
    mesh.settle(waiter.receive)
    assert shown(hub) == shown(leaf) == shown(other)
    assert hub.view("orders")["mesa-1"]["status"] == "ready"
    assert [rows_of(world)[-1].signed for world in (hub, other)] == [VERIFIED, VERIFIED]
    assert not any(list(world.core.replica.quarantine) for world in mesh.worlds)
    mesh.close()


def test_a_key_that_somebody_forgets_proves_nothing_any_more(store: Store) -> None:
    (key,) = known(store.hub, "n1")
    assert not store.hub.core.decide_key("forget", "n1", "0000")
    assert not store.hub.core.decide_key("forget", "n0", fingerprint(store.hub.around.signatures.public))
    assert store.hub.core.decide_key("forget", "n1", fingerprint(key))
    store.play(*store.together())
    assert store.parked == [(BAD, "this link does not speak for 'n1' at $.link.origin")] * 3


# ---------------------------------------------------------------------- a node that was set back


def test_what_a_set_back_node_lost_comes_back_signed_by_itself(store: Store) -> None:
    store.settle()
    files = Files.take(store.hub.directory)
    caixa = Client(store.hub, "caixa-1").connect()
    caixa.do("cashier_operations", "sale-1", "CREATE", {"amount": 10, "type": "sale"})
    store.settle()
    caixa.disconnect()
    store.mesh.wires[0].cut()
    store.hub.reader.close()
    store.hub.store.abandon()
    files.put_back(store.hub.directory)
    store.hub.boot()
    store.settle()
    (row,) = [row for row in rows_of(store.hub) if row.entity_id == "sale-1"]
    assert (row.origin, row.via.partition(":")[0], row.signed) == ("n0", "n1", VERIFIED)
    assert shown(store.hub) == shown(store.leaf)


@pytest.mark.parametrize("recovered", [False, True])
def test_what_others_say_that_this_node_accepted_is_believed_by_its_signature_alone(
    store: Store, recovered: bool
) -> None:
    store.hub.core.replica.origins.recovered = recovered
    operation = store.rogue.operation(ORDER, {"total": 1}, [(("total",), 1)], link={"origin": "n0"})
    sign_together([operation], store.rogue.key)
    store.play(operation)
    assert store.parked == [(BAD, "it is not signed by n0 at $.link.proof")]
    store.rogue.documents.clear()
    other = store.rogue.operation(ORDER, {"total": 2}, [(("total",), 2)], link={"origin": "n0"})
    sign_together([other], store.hub.around.signatures)
    store.play(other)
    assert store.hub.view("orders")["mesa-1"]["total"] == 2


def count_checks(store: Store) -> list[bytes]:
    """What the hub checks signatures of, from here on."""
    keyring, checked = store.hub.core.replica.keyring, list[bytes]()

    def verify(key: bytes, statement: bytes, signature: bytes) -> bool:
        checked.append(statement)
        return store.hub.around.signatures.verify(key, statement, signature)

    keyring.signatures = evolve(keyring.signatures, verify=verify)
    return checked


def test_no_turn_checks_more_signatures_than_it_takes_messages(store: Store) -> None:
    """What was missed for a day comes in a few large frames."""
    messages, checked = store.in_turn(TURN_MESSAGES + 6), count_checks(store)
    store.rogue.say(*messages)
    assert len(checked) == TURN_MESSAGES
    store.hub.settle()
    assert len(checked) == len(messages)
    store.end_well()


def test_a_commit_is_checked_once(store: Store) -> None:
    messages, checked = store.together(), count_checks(store)
    store.play(*messages)
    assert len(checked) == 1


# ---------------------------------------------------------------------- when


def watched(wire: Wire) -> list[str]:
    """The proofs of all operations that go over a link from here on."""
    proofs: list[str] = []

    def watch(frame: bytes) -> bytes:
        loaded = orjson.loads(frame)
        said = loaded if isinstance(loaded, list) else [loaded]
        proofs.extend(one["link"]["proof"] for one in said if one["type"] == "data_sync")
        return frame

    wire.damage = watch
    return proofs


@pytest.mark.parametrize("starts_again", [False, True])
def test_what_was_accepted_while_no_link_was_up_is_signed_before_it_is_sent(
    store: Store, *, starts_again: bool
) -> None:
    for total in range(3):
        store.waiters[0].do(*ORDER, "UPDATE", {"total": total})
    if starts_again:
        store.mesh.crash(1)
        store.waiters.clear()
    assert not any(row.proof for _, row, _ in store.leaf.reader.chained_rows(1) if row is not None)
    proofs = watched(store.mesh.wires[0])
    store.settle()
    assert len(proofs) == 3
    assert all(proofs)
    store.end_well()


ASKED: dict[str, Callable[[LogRow], bytes]] = {
    "as a comparison found it missing": lambda row: digests.want([row.link_key or 0]),
    "as the history behind entities": lambda row: history.want(row.seq - 1, row.seq),
}


def _go_on(store: Store) -> None:
    """All that can happen while the leaf stores nothing."""
    (wire,), leaf = store.mesh.wires, store.leaf
    for _ in range(10):
        while wire.step(0) or wire.step(1):
            continue
        store.hub.settle()
        leaf.probe()
        while leaf.calls:
            leaf.calls.popleft()()


@pytest.mark.parametrize("asked", ASKED)
def test_what_a_new_link_asks_for_waits_for_its_signature_too(store: Store, asked: str) -> None:
    """It was accepted while there was no link, and its commit ends when one is up. The next commit signs it."""
    leaf, (wire,) = store.leaf, store.mesh.wires
    proofs = watched(wire)
    store.waiters[0].write(*ORDER, "UPDATE", {"total": 31})
    group = leaf.core.take_group()
    assert group is not None
    wire.connect()
    _go_on(store)
    assert wire.links is not None
    dialled, accepted = wire.links
    assert (dialled.state, accepted.state) == ("up", "up")
    leaf.write(group.commit)
    leaf.core.committed(group)
    accepted.reply(ASKED[asked](group.rows[0]))
    _go_on(store)
    assert proofs == []
    store.settle()
    assert proofs
    assert all(proofs)
    store.end_well()


def test_while_a_link_is_up_each_commit_is_signed(store: Store) -> None:
    store.settle()
    for total in range(3):
        store.waiters[0].do(*ORDER, "UPDATE", {"total": total})
        (latest,) = (
            row for _, row, _ in store.leaf.reader.chained_rows(store.leaf.store.head - 1) if row is not None
        )
        assert latest.proof
    store.end_well()
