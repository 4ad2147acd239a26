"""A rogue node over real sockets, below a hub with an honest leaf: nothing of anybody else changes, and what it did
is its own. All attacks meet the same two processes, one after the other; `tests/scenarios/links/test_rogue.py` has
many more, without sockets."""

from __future__ import annotations

import itertools
import time
from base64 import b64decode
from contextlib import ExitStack, contextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from crdt.document import Document
from crdt.engine import DEFAULT
from node.runtime.keys import signatures
from node.wire.links.handshake import SUBPROTOCOL, Identification, challenged
from tests.faults.rig import until
from tests.patience import PATIENCE_S, connect, http_get
from tests.processes import NodeProcess
from tests.rogue import WRITER, Rogue, sign_together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from node.core.ports import Signatures

ORDER, SALE = ("orders", "mesa-1"), ("cashier_operations", "sale-1")


class Socket(Rogue):
    """The rogue of the scenarios, at the end of a WebSocket. It asks for every entity whole, to build on them."""

    def __init__(self, node: NodeProcess, name: str, key: Signatures) -> None:
        self.node = node
        self.stack = ExitStack()
        self.came: list[dict[str, Any]] = []
        self.snapshots: dict[tuple[str, str], bytes] = {}
        super().__init__(SimpleNamespace(node_id="central", wall_ms=0), name, key=key)  # type: ignore[arg-type]

    def open(self) -> None:
        self.world.wall_ms = time.time_ns() // 1_000_000
        query = f"type=node&as=downstream&epoch={self.name}-epoch&head=0&instance={time.monotonic_ns()}&attempt=1"
        url = f"{self.node.url}/ws/{self.name}?{query}"
        self.socket = self.stack.enter_context(connect(url, subprotocols=[Subprotocol(SUBPROTOCOL)]))
        self.session = self._next()["session_id"]

    def claim(self, **wrong: Any) -> None:
        holds: dict[str, Any] = {
            "epoch": None,
            "positions": (-1,) * 4,
            "mark": 0,
            "hash": "",
            "empty": True,
            "after": {},
        }
        signed = self.key.sign(challenged(self.name, "central", self.session, ""))
        shows = Identification(self.key.public, signed).fields()
        self.say({"type": "sync_confirmation", "seq": 0, "after": {}, **holds, **shows, **wrong})

    def take_entities(self, *keys: tuple[str, str]) -> None:
        while not all(key in self.snapshots for key in keys):
            message = self._next()
            if "state" in message.get("link", {}):
                key = message["operation"]["entity_type"], message["operation"]["entity_id"]
                self.snapshots[key] = b64decode(message["link"]["state"])

    def document(self, key: tuple[str, str]) -> Document:
        """As the hub sent it: what the rogue said since was not taken."""
        if key not in self.documents:
            self.documents[key] = Document.load(self.snapshots.get(key), writer=WRITER, engine=DEFAULT)
        return self.documents[key]

    def say(self, *messages: Mapping[str, Any]) -> None:
        with suppress(ConnectionClosed):
            self.socket.send(orjson.dumps(messages).decode())

    def _next(self) -> dict[str, Any]:
        if not self.came:
            loaded = orjson.loads(self.socket.recv(PATIENCE_S))
            self.came += loaded if isinstance(loaded, list) else [loaded]
        return self.came.pop(0)

    def ends(self) -> int | None:
        """The code with which the other side closes."""
        try:
            while True:
                self.socket.recv(PATIENCE_S)
        except ConnectionClosed as ended:
            return ended.rcvd.code if ended.rcvd is not None else None


class Store:
    """hub, leaf: two processes."""

    def __init__(self, directory: Any) -> None:
        self.hub = NodeProcess(directory / "hub", "--id", "central").start()
        self.leaf = NodeProcess(directory / "leaf", "--id", "caixa", "--upstream", self.hub.url).start()
        for name in ("rogue", "thief"):
            (directory / name).mkdir()
        self.keys = {name: signatures(directory / name) for name in ("rogue", "thief")}
        self.numbers = itertools.count(1)

    def begin(self) -> None:
        """Something of both."""
        self.write(self.hub, "caixa-1", *SALE, {"amount": 100, "type": "sale"})
        self.write(self.leaf, "pos-2", *ORDER, {"status": "pending", "total": 30})
        until(lambda: self.shown(self.hub) == self.shown(self.leaf) and len(self.shown(self.hub)) == 2)

    @contextmanager
    def rogue(self, **wrong: Any) -> Iterator[Socket]:
        """Linked to the hub, for as long as the test lasts: no test needs a link that another one left.

        wrong: what it claims otherwise.
        """
        rogue = Socket(self.hub, "rogue", self.keys["rogue"])
        rogue.numbers = self.numbers
        with rogue.stack:
            rogue.open()
            rogue.claim(**wrong)
            yield rogue

    def write(self, node: NodeProcess, terminal: str, kind: str, entity_id: str, data: Mapping[str, Any]) -> None:
        """A confirmed CREATE."""
        with connect(f"{node.url}/ws/{terminal}?type=pos") as socket:
            operation: dict[str, Any] = {
                "id": f"{terminal}-{next(self.numbers)}",
                "entity_type": kind,
                "entity_id": entity_id,
            }
            operation |= {"operation": "CREATE", "data": data, "terminal_id": terminal}
            socket.send(orjson.dumps({"type": "data_sync", "operation": operation}).decode())
            while orjson.loads(socket.recv(PATIENCE_S))["type"] != "sync_confirmation":
                pass

    def get(self, node: NodeProcess, path: str) -> Any:
        return http_get(f"http://127.0.0.1:{node.port}/api/v1/{path}").json()

    def shown(self, node: NodeProcess) -> dict[str, Any]:
        entities = [self.get(node, f"entities/{kind}")["entities"] for kind in ("orders", "cashier_operations")]
        return {entity["entity_id"]: entity["data"] for of in entities for entity in of}

    def link(self, peer: str) -> dict[str, Any]:
        return next(link for link in self.get(self.hub, "links")["links"] if link["peer"] == peer)

    def parked(self) -> list[str]:
        rows = self.get(self.hub, "quarantine")["quarantine"]
        assert {row["from"] for row in rows} <= {"rogue"}
        return [row["reason"] for row in rows]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("store"))
    try:
        store.begin()
        yield store
    finally:
        store.leaf.end()
        store.hub.end()


def unsaid(rogue: Socket) -> dict[str, Any]:
    return rogue.operation(ORDER, {}, [(("total",), 1)])


def withdrawal(origin: str) -> Callable[[Socket], dict[str, Any]]:
    def said(rogue: Socket) -> dict[str, Any]:
        data = {"amount": 9_999, "type": "withdrawal"}
        key = ("cashier_operations", f"out-{origin}")
        return rogue.operation(key, data, [((), data)], kind="CREATE", terminal="caixa-1", link={"origin": origin})

    return said


def first_written(rogue: Socket) -> dict[str, Any]:
    return rogue.operation(ORDER, {"status": "ready"}, [(("status",), "ready")], record={"rank": 0})


FALSE = {
    "an UPDATE that says nothing": (unsaid, "does not say"),
    "the hub's own operation": (withdrawal("central"), "not signed by central"),
    "the leaf's operation": (withdrawal("caixa"), "not signed by caixa"),
    "a node's that nobody knows": (withdrawal("n9"), "does not speak for"),
    "a value that was first": (first_written, "ranks before"),
}


@pytest.mark.parametrize("attack", FALSE)
def test_a_false_operation_is_kept_out_and_named_as_the_rogues(store: Store, attack: str) -> None:
    make, reason = FALSE[attack]
    before, parked = store.shown(store.hub), len(store.parked())
    with store.rogue() as rogue:
        rogue.take_entities(ORDER)
        message = make(rogue)
        sign_together([message], rogue.key)
        rogue.say(message)
        until(lambda: len(store.parked()) > parked)
    assert reason in store.parked()[-1]
    assert store.shown(store.hub) == store.shown(store.leaf) == before


def test_an_entity_that_nobody_asked_for_is_refused(store: Store) -> None:
    before = store.shown(store.hub)
    with store.rogue() as rogue:
        rogue.take_entities(SALE)
        rogue.operation(SALE, {}, [((), {"amount": 5, "type": "sale"})])
        rogue.say(rogue.state(SALE))
        until(lambda: store.link("rogue")["refused"] == 1)
    assert store.shown(store.hub) == store.shown(store.leaf) == before


def test_a_thief_of_the_leafs_token_ends_nobodys_link(store: Store) -> None:
    since = store.link("caixa")["since"]
    thief = Socket(store.hub, "caixa", store.keys["thief"])
    with thief.stack, pytest.raises(ConnectionClosed) as ended:
        thief.open()
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 4004
    assert (store.link("caixa")["since"], store.link("caixa")["state"]) == (since, "up")


def test_a_frame_whose_values_take_long_costs_its_link(store: Store) -> None:
    with store.rogue() as rogue:
        with suppress(ConnectionClosed):
            rogue.socket.send("[" + "[]," * 1_000_000 + "[]]")
        assert rogue.ends() == 4006
    store.write(store.leaf, "pos-2", "orders", "mesa-2", {"status": "pending"})
    until(lambda: "mesa-2" in store.shown(store.hub))


def test_rows_that_never_were_begin_one_epoch(store: Store) -> None:
    def epoch() -> str:
        return str(store.get(store.hub, "links")["epoch"])

    epochs = [epoch()]
    for _ in range(3):
        with store.rogue(epoch=epochs[-1], positions=(10**9,) * 4, mark=10**9, empty=False) as rogue:
            rogue.ends()
        epochs.append(epoch())
    assert len(set(epochs)) == 2
    store.write(store.leaf, "pos-2", "orders", "mesa-3", {"status": "pending"})
    until(lambda: store.shown(store.hub) == store.shown(store.leaf) and "mesa-3" in store.shown(store.hub))
