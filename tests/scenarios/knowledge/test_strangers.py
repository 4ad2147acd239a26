"""A terminal whose old node is away: nobody can say what it had seen there, and that is never "everything"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from node.config.reading import parse
from node.core.operations.assumed import BY_VERSION, NOTHING, UNCONFIRMED
from tests.harness import Client, settle_all
from tests.mesh import Mesh
from tests.scenarios.history.test_explanation import report
from tests.scenarios.knowledge.test_evidence import COUNTER, KINDS, dishes, outcome, shown_the_first, the_second
from tests.scenarios.knowledge.test_moves import calm, everywhere, to

if TYPE_CHECKING:
    from pathlib import Path

    from node.config.sections import Config
    from tests.harness import World
    from tests.scenarios.knowledge.test_evidence import Arrival


class Moved:
    """A tablet reads at a node that goes away, and comes to another one with what it wrote meanwhile."""

    def __init__(
        self, directory: Path, entity_type: str, first: dict[str, Any], config: Config | None = None
    ) -> None:
        self.mesh = Mesh(directory, 3, [(1, 0, True), (2, 0, True)], config=config)
        self.hub, self.here, self.there = self.mesh.worlds
        self.mesh.connect()
        self.entity_type = entity_type
        self.colleague = Client(self.hub, "colleague").connect()
        self.tablet = Client(self.there, "tablet").connect()
        self.colleague.do(entity_type, "e", "CREATE", first)
        calm(self.mesh, self.colleague, self.tablet)
        self.mesh.wires[1].cut()

    def others_write(self, *data: dict[str, Any]) -> None:
        for one in data:
            self.colleague.do(self.entity_type, "e", "UPDATE", one)
            self._pass()

    def _pass(self, *clients: Client) -> None:
        """Frames between the hub and the node that the tablet comes to. The other link stays away."""
        for _ in range(20):
            for world in self.mesh.worlds:
                world.settle()
            while self.mesh.wires[0].step(0) or self.mesh.wires[0].step(1):
                pass
            for client in (self.colleague, *clients):
                client.receive()

    def comes(self, *written: dict[str, Any]) -> None:
        self.tablet = to(self.here, self.tablet)
        queue = [self.tablet.operation(self.entity_type, "e", "UPDATE", data) for data in written]
        self.tablet.connect()
        for operation in queue:
            self.tablet.submit(operation)
        self._pass(self.tablet)

    def heal(self) -> None:
        calm(self.mesh, self.colleague, self.tablet)


@pytest.mark.parametrize("sold", [0, 1, 63])
def test_a_version_names_a_state_that_all_nodes_had(tmp_path: Path, sold: int) -> None:
    """It is the first sale of the tablet, from what all had before its node went away."""
    evening = Moved(tmp_path, "products", {"stock": 100})
    evening.others_write(*({"stock": 99 - n} for n in range(sold)))
    evening.comes({"stock": 99, "version": 2}, {"stock": 97, "version": 3})
    evening.heal()
    assert everywhere(evening.mesh, COUNTER) == 100 - sold - 3
    assert not evening.tablet.of("sync_conflict")
    evening.mesh.close()


@pytest.mark.parametrize(("sold", "version"), [(0, None), (63, None), (0, 3), (0, 9), (63, 900)])
def test_a_number_of_which_nothing_tells_the_base_is_kept_and_told(
    tmp_path: Path, sold: int, version: int | None
) -> None:
    """It sold one where it was, and one since. The second is a notice with its number; the first comes by itself.

    version: none, or of a state that this node has not, or has alone.
    """
    evening = Moved(tmp_path, "products", {"stock": 100})
    evening.tablet.do("products", "e", "UPDATE", {"stock": 99, "version": 2})
    evening.others_write(*({"stock": 99 - n} for n in range(sold)))
    evening.comes({"stock": 98} if version is None else {"stock": 98, "version": version})
    (told,) = [message["conflict"] for message in evening.tablet.of("sync_conflict")]
    assert (told["state"], told["path"], told["remote_data"]["stock"]) == ("settled", ["stock"], 98)
    assert told["local_data"]["stock"] == 100 - sold
    assert evening.tablet.shown("products")["e"]["stock"] == 100 - sold
    (kept,) = report(evening.here, ("products", "e"), "stock")["refused"]
    assert (kept["value"], kept["assumed"]["code"]) == (98, NOTHING)
    evening.heal()
    assert everywhere(evening.mesh, COUNTER) == 100 - sold - 1
    evening.mesh.close()


@pytest.mark.parametrize("told", ["before it comes again", "while it is here"])
def test_a_number_is_kept_also_where_a_link_says_late_that_its_author_was_elsewhere(
    tmp_path: Path, told: str
) -> None:
    """Clocks of two nodes may differ by so much that it may have been there after it was here."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    here, there = mesh.worlds
    mesh.connect()
    tablet = Client(there, "tablet").connect()
    calm(mesh, tablet)
    mesh.wires[0].cut()
    colleague = Client(here, "colleague").connect()
    colleague.do("products", "e", "CREATE", {"stock": 100})
    colleague.do("products", "e", "UPDATE", {"stock": 97})
    tablet = to(here, tablet).connect()
    settle_all(here, [colleague, tablet])
    tablet.disconnect()
    if told == "before it comes again":
        mesh.connect()
        mesh.settle(colleague.receive)
        mesh.wires[0].cut()
        tablet.connect()
    else:
        tablet.connect()
        mesh.connect()
        mesh.settle(colleague.receive)
    tablet.do("products", "e", "UPDATE", {"stock": 96})
    (notice,) = [message["conflict"] for message in tablet.of("sync_conflict")]
    assert (notice["state"], notice["path"], notice["remote_data"]["stock"]) == ("settled", ["stock"], 96)
    mesh.connect()
    calm(mesh, colleague, tablet)
    assert everywhere(mesh, COUNTER) == 97
    mesh.close()


LINES = parse("""
[entities.orders.fields.items]
kind = "keyed_list"

[entities.orders.fields.items.fields]
quantity = "counter"
""")


def beers(quantity: int, **more: Any) -> dict[str, Any]:
    return {"items": [{"id": "beer", "quantity": quantity, **more}]}


@pytest.mark.parametrize(
    ("others", "gives"),
    [
        ([], beers(2)),
        ([beers(2)], beers(3)),
        ([beers(2 + n) for n in range(3)], beers(5)),
        ([beers(1, note=f"n-{n}") for n in range(3)], beers(2, note="n-2")),
        ([beers(1, note="gelada"), beers(3, note="gelada")], beers(4, note="gelada")),
        ([{"items": [{"id": "beer", "quantity": {"$set": 9}}]}], beers(10)),
        ([{"items": []}, beers(6)], None),
    ],
    ids=["nothing", "one", "three", "notes", "note and more", "a count", "gone and back"],
)
def test_a_version_names_a_state_of_a_line_that_all_nodes_had(
    tmp_path: Path, others: list[dict[str, Any]], gives: dict[str, Any] | None
) -> None:
    """gives: None where the line is another one since, so that the number is kept and told."""
    evening = Moved(tmp_path, "orders", beers(1), LINES)
    evening.others_write(*others)
    evening.comes({**beers(2), "version": 2})
    evening.heal()
    assert evening.here.view("orders")["e"]["items"] == (beers(6) if gives is None else gives)["items"]
    assert [m["conflict"]["remote_data"]["items"] for m in evening.tablet.of("sync_conflict")] == (
        [beers(2)["items"]] if gives is None else []
    )
    evening.mesh.close()


@pytest.mark.parametrize("full", [False, True], ids=["plain", "asks for everything"])
@pytest.mark.parametrize("noted", [0, 1, 3])
def test_a_quantity_that_was_read_here_is_known_whoever_else_changed_the_line(
    tmp_path: Path, noted: int, full: bool
) -> None:
    """The tablet has come to this node and read there. Then all links are away, and a colleague writes notes."""
    evening = Moved(tmp_path, "orders", beers(2), LINES)
    evening.tablet = to(evening.here, evening.tablet).connect(full=full)
    calm(evening.mesh, evening.colleague, evening.tablet)
    for wire in evening.mesh.wires:
        wire.cut()
    local = Client(evening.here, "local").connect()
    settle_all(evening.here, [local, evening.tablet])
    written = evening.tablet.operation("orders", "e", "UPDATE", beers(1))
    for number in range(noted):
        local.do("orders", "e", "UPDATE", beers(2, note=f"n-{number}"))
    evening.tablet.submit(written)
    settle_all(evening.here, [local, evening.tablet])
    assert evening.here.view("orders")["e"]["items"][0]["quantity"] == 1
    assert not [m for m in evening.tablet.of("sync_conflict") if m["conflict"]["path"][-1] == "quantity"]
    evening.mesh.close()


@pytest.mark.parametrize("first", [beers(2, note="sem gelo"), beers(2), None], ids=["a note", "a copy", "nothing"])
@pytest.mark.parametrize("noted", [0, 1, 3])
@pytest.mark.parametrize("dated", [True, False])
def test_a_quantity_that_was_refused_behind_another_write_is_known(
    tmp_path: Path, dated: bool, noted: int, first: dict[str, Any] | None
) -> None:
    """The tablet has come to this node and read there, and a colleague has the order. What both write of the line
    meanwhile stands beside what the tablet sends again."""
    evening = Moved(tmp_path, "orders", beers(2), LINES)
    tablet, world = to(evening.here, evening.tablet).connect(), evening.here
    calm(evening.mesh, evening.colleague, tablet)
    for wire in evening.mesh.wires:
        wire.cut()
    local = Client(world, "local").connect()
    settle_all(world, [local, tablet])
    local.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "e", "lock_id": "l", "timeout": 60_000})
    settle_all(world, [local, tablet])
    last = beers(1) if first is None else {"items": [{**first["items"][0], "quantity": 1}]}
    waiting = [tablet.operation("orders", "e", "UPDATE", data) for data in (first, last) if data is not None]
    for operation in waiting:
        if not dated:
            del operation["timestamp"]
        tablet.send({"type": "data_sync", "operation": operation})
        settle_all(world, [local, tablet])
    for number in range(noted):
        local.do("orders", "e", "UPDATE", {**beers(2, note=f"n-{number}"), "lock_id": "l"})
        settle_all(world, [local, tablet])
    local.send({"type": "release_lock", "lock_id": "l"})
    settle_all(world, [local, tablet])
    for operation in waiting:
        tablet.send({"type": "data_sync", "operation": operation})
        settle_all(world, [local, tablet])
    assert len(tablet.of("sync_error")) == len(waiting)
    assert world.view("orders")["e"]["items"][0]["quantity"] == 1
    assert not [m for m in tablet.of("sync_conflict") if m["conflict"]["path"][-1] == "quantity"]
    evening.mesh.close()


@pytest.mark.parametrize(("added", "version"), [(0, None), (5, None), (0, 3), (5, 900)])
def test_a_quantity_of_which_nothing_tells_the_base_is_kept_and_told(
    tmp_path: Path, added: int, version: int | None
) -> None:
    """It added one beer where it was, and one since, with a note. The second is told with its number."""
    evening = Moved(tmp_path, "orders", beers(1), LINES)
    evening.tablet.do("orders", "e", "UPDATE", {**beers(2), "version": 2})
    evening.others_write(*(beers(2 + n) for n in range(added)))
    evening.comes({**beers(3, note="gelada"), **({} if version is None else {"version": version})})
    (told,) = [message["conflict"] for message in evening.tablet.of("sync_conflict")]
    assert (told["state"], told["path"]) == ("settled", ["items", "beer", "quantity"])
    assert [told[side]["items"][0]["quantity"] for side in ("local_data", "remote_data")] == [1 + added, 3]
    (kept,) = report(evening.here, ("orders", "e"), "items")["refused"]
    assert (kept["value"][0]["quantity"], kept["assumed"]["code"]) == (3, NOTHING)
    evening.heal()
    assert evening.here.view("orders")["e"]["items"] == beers(2 + added, note="gelada")["items"]
    evening.mesh.close()


def test_a_list_of_a_stranger_takes_nothing_off_and_its_register_is_a_sibling(tmp_path: Path) -> None:
    evening = Moved(tmp_path / "list", "orders", dishes("a", "b"))
    evening.others_write(dishes("a", "b", "c"))
    evening.comes(dishes("a", "d"))
    evening.heal()
    shown = evening.here.view("orders")["e"]["items"]
    assert {item["id"] for item in shown} == {"a", "b", "c", "d"}
    evening.mesh.close()
    evening = Moved(tmp_path / "register", "customers", {"phone": "1"})
    evening.others_write({"phone": "2"})
    evening.comes({"phone": "3"})
    evening.heal()
    assert len(evening.here.reader.conflicts("open", limit=10)) == 1
    evening.mesh.close()


def test_a_store_of_one_node_knows_no_elsewhere(world: World) -> None:
    colleague = Client(world, "colleague").connect()
    colleague.do("products", "e", "CREATE", {"stock": 100})
    tablet = Client(world, "tablet").connect()
    tablet.do("products", "e", "UPDATE", {"stock": 9})
    assert outcome(world, COUNTER) == 9


@pytest.mark.walk(3)
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("arrival", "version", "said"),
    [
        ("confirmed", None, None),
        ("confirmed", 3, None),
        ("lost", None, UNCONFIRMED),
        ("lost", 2, None),
        ("lost", 3, BY_VERSION),
        ("unsent", None, None),
    ],
)
def test_explain_says_what_was_assumed_of_what_an_author_knew(
    world: World, name: str, arrival: Arrival, version: int | None, said: str | None
) -> None:
    kind = KINDS[name]
    colleague, tablet = shown_the_first(world, kind)
    the_second(world, kind, colleague, tablet, arrival)
    extra = {} if version is None else {"version": version}
    write = tablet.operation(kind.entity_type, "e", "UPDATE", {**kind.written, **extra})
    tablet.connect().submit(write)
    settle_all(world, [colleague, tablet])
    found = report(world, (kind.entity_type, "e"), next(iter(kind.written)))
    mine = [w for w in (*found["candidates"], *found["superseded"]) if w["operation_id"] == write["id"]]
    assert {None if w["assumed"] is None else w["assumed"]["code"] for w in mine} == {said}


@pytest.mark.parametrize(
    ("version", "kept", "said"),
    [(2, {"a", "c"}, BY_VERSION), (3, {"a", "b", "c"}, BY_VERSION), (None, {"a", "c"}, UNCONFIRMED)],
)
def test_a_client_that_says_nothing_is_believed_its_version_and_explain_says_so(
    world: World, version: int | None, kept: set[str], said: str
) -> None:
    """It neither confirms nor answers pings, and sends whole lists. A colleague took a dish off meanwhile.

    A version that names the state without the dish brings it back: nothing tells that it was not ordered again.
    """
    colleague = Client(world, "colleague").connect()
    silent = Client(world, "silent", confirms=False, pongs=False).connect()
    colleague.do("orders", "e", "CREATE", dishes("a", "b"))
    settle_all(world, [colleague, silent])
    colleague.do("orders", "e", "UPDATE", dishes("a"))
    settle_all(world, [colleague, silent])
    world.advance(60_000)
    extra = {} if version is None else {"version": version}
    write = silent.write("orders", "e", "UPDATE", {**dishes("a", "b", "c"), **extra})
    settle_all(world, [colleague, silent])
    assert {item["id"] for item in world.view("orders")["e"]["items"]} == kept
    found = report(world, ("orders", "e"), "items")
    (code,) = {
        None if w["assumed"] is None else w["assumed"]["code"]
        for w in found["candidates"]
        if w["operation_id"] == write
    }
    assert code == said
