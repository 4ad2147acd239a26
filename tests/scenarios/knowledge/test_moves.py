"""A terminal that comes to another node brings what it knew, and is shown again what it was not shown elsewhere."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from crdt import hlc
from node.core.links.link import Link
from node.core.links.travellers import ANSWER_MS
from tests.archives import archive
from tests.harness import Client, settle_all
from tests.mesh import Mesh, each_operation
from tests.scenarios.knowledge.test_evidence import COUNTER, FIRST, KINDS, SECOND, dishes, outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness import World
    from tests.scenarios.knowledge.test_evidence import Kind

TREE, PAIR = [(1, 0, True), (2, 0, True)], [(1, 0, False), (2, 1, False)]


@pytest.fixture(params=[TREE, PAIR], ids=["tree", "chain"])
def mesh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mesh]:
    mesh = Mesh(tmp_path, 3, request.param)
    yield mesh
    mesh.close()


def to(world: World, client: Client) -> Client:
    """The tablet comes to another node with all that is on its screen."""
    client.disconnect()
    there = Client(world, client.name)
    there.numbers, there.screen = client.numbers, client.screen
    return there


def calm(mesh: Mesh, *clients: Client, reconnect: bool = True) -> None:
    mesh.settle(
        lambda: sum(client.receive() for client in clients if client.session is not None), reconnect=reconnect
    )


def everywhere(mesh: Mesh, kind: Kind) -> object:
    found = [outcome(world, kind) for world in mesh.worlds]
    assert found == [found[0]] * len(found)
    return found[0]


@pytest.mark.walk(4)
@pytest.mark.parametrize("known", [FIRST, SECOND])
@pytest.mark.parametrize("back", [False, True], ids=["new", "again"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "asked"])
@pytest.mark.parametrize("name", KINDS)
def test_what_was_confirmed_at_another_node_is_known_here(
    mesh: Mesh, name: str, told: bool, back: bool, known: str
) -> None:
    """Its queue is sent before it reads anything here. back: it has been here before, and knew the first state.

    told: the other node's word of it was here before it came. Else its first write waits for that.
    """
    kind = KINDS[name]
    here, there = mesh.worlds[1], mesh.worlds[2]
    mesh.connect()
    colleague = Client(mesh.worlds[0], "colleague").connect()
    tablet = Client(here if back else there, "tablet").connect()
    colleague.do(kind.entity_type, "e", "CREATE", kind.first)
    calm(mesh, colleague, tablet)
    if back:
        tablet = to(there, tablet).connect()
        calm(mesh, colleague, tablet)
    if known == FIRST:
        tablet.disconnect()
    colleague.do(kind.entity_type, "e", "UPDATE", kind.second)
    calm(mesh, colleague, tablet)
    tablet = to(here, tablet)
    if told:
        calm(mesh, colleague)
    queued = tablet.operation(kind.entity_type, "e", "UPDATE", kind.written)
    tablet.connect().submit(queued)
    calm(mesh, colleague, tablet)
    assert everywhere(mesh, kind) == kind.gives[known]


def test_a_link_that_does_not_answer_holds_a_first_write_up_for_a_quarter_of_a_second(mesh: Mesh) -> None:
    """Only of a terminal that was elsewhere, and only its first write."""
    here, there = mesh.worlds[1], mesh.worlds[2]
    mesh.connect()
    tablet = Client(there, "tablet").connect()
    tablet.do("customers", "c", "CREATE", {"name": "n0"})
    calm(mesh, tablet)
    tablet = to(here, tablet).connect()
    first = tablet.write("customers", "c", "UPDATE", {"name": "n1"})
    here.settle()
    tablet.receive()
    assert not [m for m in tablet.inbox if m.get("operation_id") == first]
    here.advance(ANSWER_MS)
    here.settle()
    tablet.receive()
    assert tablet.answer(first)["status"] in ("applied", "merged")
    assert tablet.do("customers", "c", "UPDATE", {"name": "n2"})["type"] == "sync_confirmation"
    tablet.disconnect()
    tablet.connect()
    assert tablet.do("customers", "c", "UPDATE", {"name": "n3"})["type"] == "sync_confirmation"


def test_a_node_in_between_passes_on_what_it_heard_of_a_terminal_before_a_link_was_up(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 3, TREE)
    here, there = mesh.worlds[1], mesh.worlds[2]
    mesh.connect()
    colleague = Client(mesh.worlds[0], "colleague").connect()
    tablet = Client(there, "tablet").connect()
    colleague.do("products", "e", "CREATE", {"stock": 100})
    calm(mesh, colleague, tablet)
    tablet.do("products", "e", "UPDATE", {"stock": 99})
    calm(mesh, colleague, tablet)
    mesh.wires[0].cut()
    tablet.disconnect()
    calm(mesh, colleague, reconnect=False)
    calm(mesh, colleague)
    tablet = to(here, tablet)
    sold = tablet.operation("products", "e", "UPDATE", {"stock": 98})
    tablet.connect().submit(sold)
    calm(mesh, colleague, tablet)
    assert everywhere(mesh, COUNTER) == 98
    mesh.close()


@pytest.mark.parametrize("apart_ms", [0, 30_000])
def test_how_far_its_clock_is_off_comes_with_a_terminal(tmp_path: Path, apart_ms: int) -> None:
    """apart_ms: how far the clocks of the two machines are apart."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    there, here = mesh.worlds
    here.wall_ms += apart_ms
    mesh.connect()
    calm(mesh)
    for _ in range(2):
        here.advance(1_000)  # the nodes measure each other's clock
        calm(mesh)
        there.advance(1_000)
    tablet = Client(there, "tablet").connect()
    tablet.send({"type": "ping", "timestamp": hlc.iso(there.wall_ms + 3_600_000)})
    calm(mesh, tablet)
    tablet = to(here, tablet).connect()
    calm(mesh, tablet)
    clocks = here.core.replica.terminal_clocks
    assert clocks.offset_ms("tablet", here.now()) == pytest.approx(apart_ms - 3_600_000, abs=500)
    mesh.close()


def test_a_bottle_sold_at_each_of_two_nodes_is_two_bottles(mesh: Mesh) -> None:
    here, there = mesh.worlds[1], mesh.worlds[2]
    mesh.connect()
    tablet = Client(here, "tablet").connect()
    tablet.do("products", "e", "CREATE", {"stock": 100})
    calm(mesh, tablet)
    tablet = to(there, tablet).connect()
    calm(mesh, tablet)
    tablet.do("products", "e", "UPDATE", {"stock": 99, "version": 2})
    calm(mesh, tablet)
    tablet = to(here, tablet)
    calm(mesh)
    sold = tablet.operation("products", "e", "UPDATE", {"stock": 98, "version": 3})
    tablet.connect().submit(sold)
    calm(mesh, tablet)
    assert everywhere(mesh, COUNTER) == 98


def test_the_edit_of_a_withdrawal_that_nobody_touched_freezes_nothing(mesh: Mesh) -> None:
    here, there = mesh.worlds[1], mesh.worlds[2]
    mesh.connect()
    tablet = Client(there, "tablet").connect()
    tablet.do("cashier_operations", "w", "CREATE", {"amount": 50})
    other = Client(mesh.worlds[0], "till").connect()
    calm(mesh, tablet, other)
    other.do("cashier_operations", "w", "UPDATE", {"reason": "change"})
    calm(mesh, tablet, other)
    tablet = to(here, tablet)
    calm(mesh, other)
    edit = tablet.operation("cashier_operations", "w", "UPDATE", {"amount": 60})
    tablet.connect().submit(edit)
    calm(mesh, tablet, other)
    for world in mesh.worlds:
        assert world.view("cashier_operations")["w"]["amount"] == 60
        assert not world.reader.conflicts("open", limit=10)


@pytest.mark.walk(4)
@pytest.mark.parametrize("level_first", [False, True], ids=["back first", "level first"])
@pytest.mark.parametrize("fulls", list(product([False, True], repeat=2)), ids=str)
@pytest.mark.parametrize("ahead", [(), ("home",), ("away",), ("home", "away")], ids=" and ".join)
def test_a_tablet_that_visited_another_node_shows_what_its_own_node_shows(
    tmp_path: Path, ahead: tuple[str, ...], fulls: tuple[bool, bool], level_first: bool
) -> None:
    """ahead: which nodes have rows that the other lacks. fulls: whether it asks for everything there, and back."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    home, away = mesh.worlds
    mesh.connect()
    colleague, tablet = Client(home, "colleague").connect(), Client(home, "tablet").connect()
    other = Client(away, "other").connect()
    colleague.do("customers", "c", "CREATE", {"name": "n0", "note": "x"})
    calm(mesh, colleague, other, tablet)
    mesh.wires[0].cut()
    if "home" in ahead:
        colleague.do("customers", "c", "UPDATE", {"name": "n1"})
    if "away" in ahead:
        other.do("customers", "c", "UPDATE", {"note": "y"})
    calm(mesh, colleague, other, tablet, reconnect=False)
    tablet = to(away, tablet).connect(full=fulls[0])
    calm(mesh, colleague, other, tablet, reconnect=False)
    assert tablet.shown("customers") == other.shown("customers")
    tablet = to(home, tablet)
    if level_first:
        calm(mesh, colleague, other)
    tablet.connect(full=fulls[1])
    calm(mesh, colleague, other, tablet, reconnect=level_first)
    if level_first or fulls[1]:  # else only the link tells the node that it was elsewhere
        assert tablet.shown("customers") == colleague.shown("customers")
    calm(mesh, colleague, other, tablet)
    assert tablet.shown("customers") == colleague.shown("customers") == other.shown("customers")
    assert colleague.shown("customers")["c"]["name"] == ("n1" if "home" in ahead else "n0")
    mesh.close()


@pytest.mark.parametrize("live", [False, True], ids=["before it is back", "once it is back"])
def test_after_an_outage_a_tablet_that_was_elsewhere_is_sent_what_came_meanwhile_and_nothing_else(
    tmp_path: Path, live: bool
) -> None:
    """live: its node hears only then where it was."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    home, away = mesh.worlds
    mesh.connect()
    colleague, tablet = Client(home, "colleague").connect(), Client(home, "tablet").connect()
    other = Client(away, "other").connect()
    for name in "abc":
        colleague.do("customers", name, "CREATE", {"name": name})
    calm(mesh, colleague, other, tablet)
    mesh.wires[0].cut()
    colleague.do("customers", "a", "UPDATE", {"name": "home"})
    calm(mesh, colleague, other, tablet, reconnect=False)
    tablet = to(away, tablet).connect(full=True)
    calm(mesh, colleague, other, tablet, reconnect=False)
    tablet = to(home, tablet)
    other.do("customers", "b", "UPDATE", {"name": "away"})
    if live:
        tablet.connect()
        calm(mesh, colleague, other, tablet, reconnect=False)
    calm(mesh, colleague, other)
    if not live:
        tablet.connect()
    calm(mesh, colleague, other, tablet)
    assert tablet.shown("customers") == colleague.shown("customers")
    assert {m["operation"]["entity_id"] for m in tablet.of("data_sync")} == {"a", "b"}
    mesh.close()


@pytest.mark.parametrize("unnoticed", [False, True], ids=["noticed", "unnoticed"])
@pytest.mark.parametrize("visits", [1, 2])
def test_a_tablet_that_comes_back_from_elsewhere_with_nothing_is_told_what_is_for_it(
    tmp_path: Path, visits: int, unnoticed: bool
) -> None:
    """Somebody changed what it wrote at the same time. visits: at another node meanwhile. unnoticed: its node sent it
    that before it knew that the tablet was gone."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    home, away = mesh.worlds
    mesh.connect()
    colleague, tablet = Client(away, "colleague").connect(), Client(home, "tablet").connect()
    tablet.do("orders", "e", "CREATE", {"table": 1})
    calm(mesh, colleague, tablet)
    mesh.wires[0].cut()
    tablet.do("orders", "e", "UPDATE", {"table": 2})
    away.advance(60_000)
    colleague.do("orders", "e", "UPDATE", {"table": 3})
    calm(mesh, tablet, colleague, reconnect=False)
    if not unnoticed:
        tablet.disconnect()
    calm(mesh, colleague)
    tablet.disconnect()
    for _ in range(visits):
        there = Client(away, "tablet").connect(full=True)
        away.settle()
        there.disconnect()
        calm(mesh, colleague)
    back = Client(home, "tablet").connect()
    calm(mesh, colleague, back)
    assert back.shown("orders") == colleague.shown("orders") == {"e": {"table": 3}}
    assert [c["conflict"]["entity_id"] for c in back.of("sync_conflict")] == ["e"]
    mesh.close()


@pytest.mark.parametrize("archived", [False, True], ids=["in the log", "archived"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "asked"])
def test_what_came_damaged_where_a_tablet_began_anew_is_sent_to_it_elsewhere(
    tmp_path: Path, told: bool, archived: bool
) -> None:
    """Also what it wrote itself. told: before it comes back; else its node asks when it is there."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    home, away = mesh.worlds
    mesh.connect()
    tablet = Client(home, "tablet").connect()
    calm(mesh, tablet)
    damaged: list[str] = []

    def damage(message: dict[str, Any]) -> None:
        if not damaged:
            damaged.append(message["operation"]["id"])
            message["link"]["updates"][0][4][1] += 1

    mesh.wires[0].damage = each_operation(damage)
    for name in ("c", "d"):
        tablet.do("customers", name, "CREATE", {"name": name})
        calm(mesh, tablet)
    anew = Client(away, "tablet").connect(full=True)
    anew.numbers = tablet.numbers
    calm(mesh, anew)
    assert damaged
    assert anew.shown("customers") == {"d": {"name": "d"}}
    if not told:
        mesh.wires[0].cut()
    anew.disconnect()
    calm(mesh, reconnect=told)
    if archived:
        archive(home)
    back = to(home, anew)
    if told:
        back.connect()
    else:
        mesh.connect()
        back.connect()
    calm(mesh, back)
    assert back.shown("customers") == {"c": {"name": "c"}, "d": {"name": "d"}}
    mesh.close()


@pytest.mark.walk(4)
@pytest.mark.parametrize("then", ["", "it comes again", "the node crashes"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "asked"])
@pytest.mark.parametrize("reads", [False, True], ids=["nothing", "what was there at first"])
def test_what_a_tablet_did_not_read_where_it_began_anew_is_sent_to_it_elsewhere(
    tmp_path: Path, reads: bool, told: bool, then: str
) -> None:
    """reads: what of it. then: what happens there before it leaves, or before that is told."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    home, away = mesh.worlds
    mesh.connect()
    colleague, tablet = Client(home, "colleague").connect(), Client(home, "tablet").connect()
    colleague.do("customers", "c", "CREATE", {"name": "c", "note": "x"})
    calm(mesh, colleague, tablet)
    mesh.wires[0].cut()
    colleague.do("customers", "d", "CREATE", {"name": "d", "note": "x"})
    calm(mesh, colleague, tablet, reconnect=False)
    tablet.disconnect()
    mesh.connect()
    links = mesh.wires[0].links or ()
    while {link.state for link in links} != {"up"}:
        for direction, world in enumerate(mesh.worlds):
            world.settle()
            mesh.wires[0].step(direction)
    anew = Client(away, "tablet").connect(full=True)
    anew.numbers = tablet.numbers
    if reads:
        settle_all(away, [anew])
    calm(mesh, colleague)
    assert anew.shown("customers") == ({"c": {"name": "c", "note": "x"}} if reads else {})
    if not told:
        mesh.wires[0].cut()
    anew.disconnect()
    if then == "it comes again":
        anew.connect().disconnect()
    calm(mesh, colleague, reconnect=told)
    if then == "the node crashes":
        mesh.crash(1)
    for name in "cd":
        colleague.do("customers", name, "UPDATE", {"note": "y"})
    mesh.connect()
    back = to(home, anew).connect()
    calm(mesh, colleague, back)
    assert back.shown("customers") == colleague.shown("customers")
    mesh.close()


def test_a_visit_is_told_once(tmp_path: Path) -> None:
    """A link that comes and goes does not make a terminal begin again."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    home, away = mesh.worlds
    mesh.connect()
    tablet = Client(away, "tablet").connect()
    tablet.do("customers", "c", "CREATE", {"name": "n0"})
    calm(mesh, tablet)
    tablet = to(home, tablet).connect()
    calm(mesh, tablet)
    for number in range(5):
        mesh.wires[0].cut()
        tablet.do("customers", "c", "UPDATE", {"name": f"n{number}"})
        calm(mesh, tablet, reconnect=False)
        heard = len(tablet.inbox)
        calm(mesh, tablet)
        assert len(tablet.inbox) == heard
    mesh.close()


@pytest.mark.walk(4)
@pytest.mark.parametrize("versions", [False, True], ids=["plain", "versions"])
@pytest.mark.parametrize("frames", range(0, 24, 3))
def test_what_is_confirmed_while_a_node_takes_over_its_first_synchronisation_counts(
    tmp_path: Path, frames: int, versions: bool
) -> None:
    """A colleague sells one at the hub after so many frames; the tablet at the new node reads that and sells one."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, new = mesh.worlds
    colleague, tablet = Client(hub, "colleague").connect(), Client(new, "tablet").connect()
    colleague.do("products", "e", "CREATE", {"stock": 100})
    colleague.do("products", "f", "CREATE", {"stock": 100})
    mesh.connect()
    for _ in range(frames):
        for world in mesh.worlds:
            world.settle()
        if not (mesh.wires[0].step(0) or mesh.wires[0].step(1)):
            break
        tablet.receive()
    colleague.do("products", "e", "UPDATE", {"stock": 99, "version": 2})
    calm(mesh, colleague, tablet)
    assert tablet.shown("products")["e"]["stock"] == 99
    tablet.do("products", "e", "UPDATE", {"stock": 98, **({"version": 3} if versions else {})})
    calm(mesh, colleague, tablet)
    assert everywhere(mesh, COUNTER) == 98
    mesh.close()


@pytest.mark.walk(2)
@pytest.mark.parametrize("frames", range(0, 24, 3))
def test_a_chain_that_begins_in_a_first_synchronisation_is_counted_from_what_it_names(
    tmp_path: Path, frames: int
) -> None:
    """The tablet reads in that phase, loses its line, and sells one and five; a colleague sells one meanwhile."""
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, new = mesh.worlds
    colleague, tablet = Client(hub, "colleague").connect(), Client(new, "tablet").connect()
    colleague.do("products", "e", "CREATE", {"stock": 100})
    mesh.connect()
    for step in range(100):
        for world in mesh.worlds:
            world.settle()
        if not (mesh.wires[0].step(0) or mesh.wires[0].step(1)):
            break
        tablet.receive()
        if "e" in tablet.shown("products") and step >= frames:
            break
    tablet.disconnect()
    chain = [
        tablet.operation("products", "e", "UPDATE", {"stock": stock}, version=version)
        for stock, version in ((99, 2), (94, 3))
    ]
    colleague.do("products", "e", "UPDATE", {"stock": 99, "version": 2})
    calm(mesh, colleague)
    tablet.connect()
    for operation in chain:
        tablet.submit(operation)
    calm(mesh, colleague, tablet)
    assert everywhere(mesh, COUNTER) == 93
    mesh.close()


def test_what_a_link_says_of_terminals_is_bounded_and_exact() -> None:
    import orjson

    from node.errors import InvalidMessage
    from node.wire.links.terminals import Visit, read_visits, visits_message

    visit = Visit("tablet", "n1", 5, (1, 2, 3, -1), (0, -1, 2, 2), -7)
    said: dict[str, Any] = orjson.loads(visits_message("epoch", [visit]))
    assert read_visits(said) == ("epoch", [visit])
    for wrong in (
        [],
        ["tablet"],
        ["t/", "n1", 5, [1] * 4, [1] * 4, None],
        ["tablet", "n1", 5, [1] * 3, [1] * 4, None],
        ["tablet", "n1", 5, [1] * 4, [1] * 4, 2**54],
    ):
        with pytest.raises(InvalidMessage):
            read_visits({**said, "visits": [wrong]})
    with pytest.raises(InvalidMessage):
        read_visits({**said, "visits": [said["visits"][0]] * 2_001})


def test_a_link_that_ends_as_it_is_asked_holds_no_write_up(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh.connect()
    calm(mesh)
    reply = Link.reply

    def ends(link: Link, *messages: bytes) -> None:
        if b"terminal_came" in messages[0]:
            link.host.unlink(link)  # type: ignore[attr-defined]
        else:
            reply(link, *messages)

    monkeypatch.setattr(Link, "reply", ends)
    here = mesh.worlds[1]
    tablet = Client(here, "tablet").connect()
    assert not mesh.worlds[1].core.links.by_node
    tablet.do("orders", "e", "CREATE", {"table": 1})
    here.advance(ANSWER_MS + 1)
    here.settle()
    assert here.view("orders")["e"]["table"] == 1


@pytest.mark.parametrize("noted", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize(
    ("entity_type", "first", "there", "own", "again", "gives"),
    [
        ("products", {"stock": 100}, {"stock": {"$inc": 5}}, {"stock": 97}, {"stock": 94}, 99),
        ("orders", dishes("a", "b"), dishes("a", "b", "c"), dishes("a", "d"), dishes("a", "e"), {"a", "c", "e"}),
    ],
    ids=["counter", "list"],
)
def test_its_own_write_is_known_when_it_is_told_late_that_it_was_elsewhere(
    tmp_path: Path, entity_type: str, first: Any, there: Any, own: Any, again: Any, gives: object, noted: bool
) -> None:
    """What it was not shown there is sent to it once more, and that rests on nothing that it wrote here.

    noted: its place here is stored by then.
    """
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    hub, here = mesh.worlds
    mesh.connect()
    tablet, colleague = Client(hub, "tablet").connect(), Client(hub, "colleague").connect()
    colleague.do(entity_type, "e", "CREATE", first)
    calm(mesh, tablet, colleague)
    mesh.wires[0].cut()
    colleague.do(entity_type, "e", "UPDATE", there)
    tablet = to(here, tablet).connect()
    calm(mesh, tablet, reconnect=False)
    tablet.do(entity_type, "e", "UPDATE", own)
    calm(mesh, tablet, reconnect=False)
    if noted:
        here.core.store_cursors(every=True)
        here.settle()
    calm(mesh, colleague)
    tablet.write(entity_type, "e", "UPDATE", again)
    calm(mesh, colleague, tablet)
    for world in mesh.worlds:
        view = world.view(entity_type)["e"]
        assert (view["stock"] if "stock" in view else {item["id"] for item in view["items"]}) == gives
    mesh.close()
