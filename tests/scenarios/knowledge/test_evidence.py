"""What an author knew, from every combination of evidence, for registers, counters and lists alike.

A tablet is shown a first state. A colleague makes a second one of it. Then the tablet writes. What its write does
tells which of the two states it is taken to have known.
"""

from __future__ import annotations

from typing import Any, Literal

import pytest
from attrs import frozen

from crdt.hlc import iso
from node.core.delivery.sendings import APART_MS, UNREAD_MS
from tests.harness import Client, World, settle_all

Arrival = Literal["confirmed", "lost", "unsent"]
"""What became of the colleague's row: it was confirmed; it was sent, and its confirmation was lost with the
connection; or the tablet had no connection when it was written."""

FIRST, SECOND = "first", "second"

MINUTE = 60_000

PONGS_MS = 1_000
"""How long a client's library takes to answer a ping."""

KNEW: list[tuple[Arrival, int | None, str]] = [
    ("confirmed", None, SECOND),
    ("confirmed", 2, FIRST),
    ("confirmed", 3, SECOND),
    ("lost", None, FIRST),
    ("lost", 2, FIRST),
    ("lost", 3, SECOND),
    ("unsent", None, FIRST),
    ("unsent", 2, FIRST),
    ("unsent", 3, FIRST),
]
"""(what became of the colleague's row, the version of the tablet's write, the state that it is taken to know)."""


@frozen
class Kind:
    """One kind of field: two states, what the tablet writes, and what that gives if it knew the one or the other."""

    entity_type: str
    first: dict[str, Any]
    second: dict[str, Any]
    written: dict[str, Any]
    gives: dict[str, object]


def dishes(*names: str) -> dict[str, Any]:
    return {"items": [{"id": name, "name": name} for name in names]}


COUNTER = Kind("products", {"stock": 100}, {"stock": 99}, {"stock": 90}, {FIRST: 89, SECOND: 90})
LIST = Kind(
    "orders",
    dishes("a", "b"),
    dishes("b", "c"),
    dishes("a", "b", "d"),
    {FIRST: {"b", "c", "d"}, SECOND: {"a", "b", "d"}},
)
REGISTER = Kind("customers", {"phone": "1"}, {"phone": "2"}, {"phone": "3"}, {FIRST: ("2", 1), SECOND: ("3", 0)})
KINDS = {"counter": COUNTER, "list": LIST, "register": REGISTER}


def outcome(world: World, kind: Kind) -> object:
    view = world.view(kind.entity_type)["e"]
    if kind is COUNTER:
        return view["stock"]
    if kind is LIST:
        return {item["id"] for item in view["items"]}
    return view["phone"], len(world.reader.conflicts("open", limit=10))


def shown_the_first(world: World, kind: Kind, **manner: bool) -> tuple[Client, Client]:
    """The colleague and the tablet, which has been shown the first state."""
    colleague, tablet = Client(world, "colleague").connect(), Client(world, "tablet", **manner).connect()
    colleague.do(kind.entity_type, "e", "CREATE", kind.first)
    settle_all(world, [colleague, tablet])
    return colleague, tablet


def the_second(world: World, kind: Kind, colleague: Client, tablet: Client, arrival: Arrival) -> None:
    """The colleague's row, and what becomes of it."""
    if arrival == "unsent":
        tablet.disconnect()
    colleague.do(kind.entity_type, "e", "UPDATE", kind.second)
    if arrival == "confirmed":
        settle_all(world, [tablet])
    if arrival != "unsent":
        tablet.disconnect()


@pytest.mark.walk(3)
@pytest.mark.parametrize("crash", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize(("arrival", "version", "knew"), KNEW)
@pytest.mark.parametrize("name", KINDS)
def test_what_was_confirmed_is_narrowed_by_the_version_and_what_was_sent_is_added_by_it(
    world: World, name: str, arrival: Arrival, version: int | None, knew: str, crash: bool
) -> None:
    kind = KINDS[name]
    colleague, tablet = shown_the_first(world, kind)
    the_second(world, kind, colleague, tablet, arrival)
    if crash:
        world.advance(2_000)  # positions are stored within a second
        world.settle()
        world.crash()
        colleague = Client(world, "colleague").connect()
    extra = {} if version is None else {"version": version}
    write = tablet.operation(kind.entity_type, "e", "UPDATE", {**kind.written, **extra})
    tablet.connect().submit(write)
    settle_all(world, [colleague, tablet])
    assert outcome(world, kind) == kind.gives[knew]


@pytest.mark.parametrize(("version", "knew"), [(None, FIRST), (2, FIRST), (3, SECOND)])
@pytest.mark.parametrize("name", KINDS)
def test_a_row_that_was_sent_right_before_a_crash_may_have_been_read(
    world: World, name: str, version: int | None, knew: str
) -> None:
    """The node dies before it has stored how far the tablet was sent its log."""
    kind = KINDS[name]
    colleague, tablet = shown_the_first(world, kind)
    world.advance(2_000)
    world.settle()
    tablet.confirms = tablet.pongs = False
    colleague.do(kind.entity_type, "e", "UPDATE", kind.second)
    tablet.receive()
    world.crash()
    tablet.session = colleague.session = None
    tablet.confirms = tablet.pongs = True
    extra = {} if version is None else {"version": version}
    write = tablet.operation(kind.entity_type, "e", "UPDATE", {**kind.written, **extra})
    tablet.connect().submit(write)
    settle_all(world, [tablet])
    assert outcome(world, kind) == kind.gives[knew]


@pytest.mark.parametrize("crash", [False, True], ids=["running", "killed at once"])
@pytest.mark.parametrize("outages", [1, 2])
@pytest.mark.parametrize(("version", "knew"), [(None, FIRST), (2, FIRST), (3, SECOND)])
@pytest.mark.parametrize("name", KINDS)
def test_a_row_that_is_confirmed_when_it_came_again_tells_nothing_of_what_was_written_before(
    world: World, name: str, version: int | None, knew: str, outages: int, crash: bool
) -> None:
    """Its first confirmation was lost, or there was none. The tablet reads, confirms, and then sends what waited."""
    kind = KINDS[name]
    colleague, tablet = shown_the_first(world, kind)
    tablet.send({"type": "ping", "timestamp": iso(world.wall_ms)})
    world.advance(2_000)
    world.settle()
    tablet.confirms = tablet.pongs = False
    colleague.do(kind.entity_type, "e", "UPDATE", kind.second)
    tablet.receive()
    if crash:
        world.crash()
        tablet.session = colleague.session = None
        colleague.connect()
    else:
        tablet.disconnect()
    world.advance(1_000)
    extra = {} if version is None else {"version": version}
    write = tablet.operation(kind.entity_type, "e", "UPDATE", {**kind.written, **extra})
    tablet.confirms = tablet.pongs = True
    for _ in range(outages):
        tablet.disconnect()
        world.advance(20_000)
        tablet.connect()
        settle_all(world, [colleague, tablet])
    tablet.submit(write)
    settle_all(world, [colleague, tablet])
    assert outcome(world, kind) == kind.gives[knew]


@pytest.mark.parametrize("name", KINDS)
def test_what_was_stored_between_two_crashes_was_sent_to_nobody_who_was_away(world: World, name: str) -> None:
    """The tablet is connected when the node dies the first time, and not once until it has died again."""
    kind = KINDS[name]
    colleague, tablet = shown_the_first(world, kind)
    for second in (False, True):
        world.advance(2_000)
        world.settle()
        world.crash()
        colleague.session = None
        colleague.connect()
        if not second:
            colleague.do(kind.entity_type, "e", "UPDATE", kind.second)
    tablet.session = None
    write = tablet.operation(kind.entity_type, "e", "UPDATE", {**kind.written, "version": 3})
    tablet.connect().submit(write)
    settle_all(world, [colleague, tablet])
    assert outcome(world, kind) == kind.gives[FIRST]


def test_a_row_that_was_committed_after_an_operation_was_written_was_not_read_before_a_crash(world: World) -> None:
    colleague, tablet = shown_the_first(world, COUNTER)
    tablet.send({"type": "ping", "timestamp": iso(world.wall_ms)})
    world.advance(2_000)
    world.settle()
    tablet.confirms = tablet.pongs = False
    write = tablet.operation("products", "e", "UPDATE", {"stock": 90, "version": 3})
    world.advance(10_000)
    colleague.do("products", "e", "UPDATE", {"stock": 99})
    world.crash()
    tablet.session = colleague.session = None
    tablet.confirms = tablet.pongs = True
    tablet.connect().submit(write)
    settle_all(world, [tablet])
    assert outcome(world, COUNTER) == 89


@pytest.mark.parametrize("arrival", ["confirmed", "lost", "unsent"])
def test_a_chain_of_own_writes_counts_its_own_steps(world: World, arrival: Arrival) -> None:
    """3, 4 and 5 name the state after 2: what others wrote meanwhile has these numbers here, and nobody saw it."""
    colleague, tablet = shown_the_first(world, COUNTER)
    the_second(world, COUNTER, colleague, tablet, arrival)
    known = 100 if arrival == "unsent" else 99
    base = 1 if arrival == "unsent" else 2
    chain = [
        tablet.operation("products", "e", "UPDATE", {"stock": known - step, "version": base + step})
        for step in (1, 2, 3)
    ]
    for sale in range(1, 11):
        colleague.do("products", "e", "UPDATE", {"stock": 99 - sale})
    tablet.connect()
    for operation in chain:
        tablet.submit(operation)
    settle_all(world, [colleague, tablet])
    assert outcome(world, COUNTER) == 99 - 10 - 3


@pytest.mark.parametrize("reads_first", [True, False])
@pytest.mark.parametrize("kind", [REGISTER, LIST], ids=["register", "list"])
def test_a_chain_replaces_nothing_that_was_written_meanwhile(world: World, kind: Kind, reads_first: bool) -> None:
    """Its second step has the number of what a colleague wrote, and neither has a time that tells."""
    colleague, tablet = shown_the_first(world, kind)
    tablet.disconnect()
    chain = [
        tablet.operation(kind.entity_type, "e", "UPDATE", {"version": 2, "note": "later"}),
        tablet.operation(kind.entity_type, "e", "UPDATE", {"version": 3, **kind.written}),
    ]
    the_second(world, kind, colleague, tablet, "unsent")
    tablet.connect()
    if reads_first:
        settle_all(world, [colleague, tablet])
    for operation in chain:
        del operation["timestamp"]
        tablet.submit(operation)
    settle_all(world, [colleague, tablet])
    assert outcome(world, kind) == kind.gives[FIRST]


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_chain_has_not_read_more_when_what_it_began_with_is_confirmed_late(
    world: World, kind: Kind, late: bool
) -> None:
    """A tablet was sent both states, and again after a reconnect. It has read the first one, and confirms that
    between its writes."""
    colleague = Client(world, "colleague").connect()
    tablet = Client(world, "tablet", confirms=False, pongs=False).connect()
    created = colleague.do(kind.entity_type, "e", "CREATE", {**kind.first, "table": 7})["operation_id"]
    colleague.do(kind.entity_type, "e", "UPDATE", kind.second)
    tablet.disconnect()
    tablet.connect()
    world.settle()
    confirmation = {"type": "sync_confirmation", "operation_id": created, "terminal_id": "tablet"}
    if not late:
        tablet.send(confirmation)
    tablet.write(kind.entity_type, "e", "UPDATE", {"version": 2, "note": "later"})
    if late:
        tablet.send(confirmation)
    tablet.write(kind.entity_type, "e", "UPDATE", {"version": 3, **kind.written})
    world.settle()
    assert outcome(world, kind) == kind.gives[FIRST]


@pytest.mark.parametrize("reloaded", [True, False])
@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_the_number_after_a_state_that_one_made_oneself_names_that_state_once_it_was_shown(
    world: World, kind: Kind, reloaded: bool
) -> None:
    """Its own row is sent to a tablet that connects again before the row was confirmed, or that keeps nothing."""
    colleague, tablet = shown_the_first(world, kind)
    tablet.disconnect()
    own = tablet.operation(kind.entity_type, "e", "UPDATE", {**kind.second, "version": 2})
    tablet.connect().submit(own)
    tablet.disconnect()
    tablet.connect(full=reloaded)
    settle_all(world, [colleague, tablet])
    written = {"stock": {"$set": 90}} if kind is COUNTER else kind.written
    tablet.do(kind.entity_type, "e", "UPDATE", {**written, "version": 3})
    assert outcome(world, kind) == kind.gives[SECOND]


@pytest.mark.parametrize("reads", [1, 2, 3])
def test_a_tablet_that_is_cut_off_while_its_own_dishes_come_back_takes_none_off(world: World, reads: int) -> None:
    """The node was started anew, and does not know what it had refused: so the tablet is sent its own rows, and for a
    while its screen shows the past. What it writes from that names the version that it shows. reads: how many of its
    rows it reads before it is cut off."""
    names = ["a", "b", "c", "d"]
    colleague, tablet = Client(world, "colleague").connect(), Client(world, "tablet").connect()
    colleague.do("orders", "e", "CREATE", dishes("a"))
    settle_all(world, [colleague, tablet])
    tablet.disconnect()
    own = [
        tablet.operation("orders", "e", "UPDATE", {**dishes(*names[: count + 1]), "version": count + 1})
        for count in (1, 2, 3)
    ]
    world.core.store_cursors()
    world.settle()
    world.crash()
    colleague.session = None
    colleague.connect()
    tablet.connect()
    for operation in own:
        del operation["timestamp"]
        tablet.submit(operation)
    world.settle()
    shows = dishes(*names[: reads + 1])["items"]
    while not any(m["operation"]["id"] == own[reads - 1]["id"] for m in tablet.of("data_sync")):
        assert tablet.receive(1)
    assert tablet.screen["orders", "e"]["items"] == shows
    tablet.disconnect()
    version = tablet.screen["orders", "e"]["version"] + 1
    changed = {"items": [{**shows[0], "note": "x"}, *shows[1:]], "version": version}
    tablet.connect().submit(tablet.operation("orders", "e", "UPDATE", changed))
    settle_all(world, [colleague, tablet])
    assert [item["id"] for item in colleague.shown("orders")["e"]["items"]] == names


def test_a_queue_that_is_sent_after_reading_is_counted_from_the_state_that_it_names(world: World) -> None:
    colleague, tablet = shown_the_first(world, COUNTER)
    tablet.disconnect()
    chain = [
        tablet.operation("products", "e", "UPDATE", {"stock": stock, "version": version})
        for stock, version in ((99, 2), (98, 3), (93, 4))
    ]
    for stock in range(99, 36, -1):
        colleague.do("products", "e", "UPDATE", {"stock": stock})
    tablet.connect()
    settle_all(world, [colleague, tablet])
    assert tablet.shown("products")["e"]["stock"] == 37
    for operation in chain:
        tablet.submit(operation)
    settle_all(world, [colleague, tablet])
    assert outcome(world, COUNTER) == 37 - 7
    assert tablet.shown("products") == colleague.shown("products")


def test_a_live_terminal_that_reads_between_its_writes_names_what_it_read(world: World) -> None:
    """The numbers run on as in a chain, and yet the row between them was on its screen."""
    colleague, tablet = shown_the_first(world, COUNTER)
    tablet.do("products", "e", "UPDATE", {"stock": 99, "version": 2})
    colleague.do("products", "e", "UPDATE", {"stock": 89})
    settle_all(world, [colleague, tablet])
    tablet.do("products", "e", "UPDATE", {"stock": 88, "version": 4})
    assert outcome(world, COUNTER) == 88
    tablet.do("products", "e", "UPDATE", {"stock": 87, "version": 5})
    assert outcome(world, COUNTER) == 87


def test_each_item_of_a_bulk_has_its_own_version(world: World) -> None:
    colleague, tablet = shown_the_first(world, COUNTER)
    colleague.do("products", "f", "CREATE", {"stock": 50})
    settle_all(world, [colleague, tablet])
    for name, stock in (("e", 90), ("f", 40)):
        colleague.do("products", name, "UPDATE", {"stock": stock})
    settle_all(world, [colleague, tablet])
    updates = [
        {"entity_id": "e", "data": {"stock": 99, "version": 2}},
        {"entity_id": "f", "data": {"stock": 39, "version": 3}},
    ]
    tablet.do("products", None, "BULK_UPDATE", {"updates": updates})
    view = world.view("products")
    assert (view["e"]["stock"], view["f"]["stock"]) == (89, 39)


@pytest.mark.parametrize("name", KINDS)
def test_a_pong_that_comes_before_the_program_reads_tells_nothing_of_a_terminal_that_confirms(
    world: World, name: str
) -> None:
    """A browser answers the ping, and the page sends what it had queued as soon as it is connected."""
    kind = KINDS[name]
    colleague, tablet = shown_the_first(world, kind)
    tablet.disconnect()
    queued = tablet.operation(kind.entity_type, "e", "UPDATE", kind.written)
    colleague.do(kind.entity_type, "e", "UPDATE", kind.second)
    tablet.connect()
    world.settle()
    pongs(world, tablet)
    tablet.submit(queued)
    settle_all(world, [colleague, tablet])
    assert outcome(world, kind) == kind.gives[FIRST]
    assert tablet.shown(kind.entity_type) == colleague.shown(kind.entity_type)


@pytest.mark.parametrize("name", KINDS)
def test_a_terminal_that_never_confirms_is_known_by_its_pongs(world: World, name: str) -> None:
    kind = KINDS[name]
    colleague, tablet = shown_the_first(world, kind, confirms=False)
    colleague.do(kind.entity_type, "e", "UPDATE", kind.second)
    settle_all(world, [colleague, tablet])
    tablet.do(kind.entity_type, "e", "UPDATE", kind.written)
    assert outcome(world, kind) == kind.gives[SECOND]


def own_rows(client: Client) -> list[dict[str, Any]]:
    """Of its own writes, those that a client was sent."""
    return [m for m in client.of("data_sync") if m["operation"]["terminal_id"] == client.name]


WRITES = ["UPDATE", "CREATE", "DELETE", "BULK_UPDATE"]

SENT = ["at once", "seconds later", "after a cut", "after a restart", "waited", "waited over a restart"]
"""When the write is sent. What waited is sent long after the program has read."""


@pytest.mark.walk(4)
@pytest.mark.parametrize("stamped", [True, False])
@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("write", WRITES)
def test_who_never_confirms_and_writes_before_it_reads_shows_what_its_node_shows(
    world: World, write: str, sent: str, stamped: bool
) -> None:
    """Its library answered the ping. Its program writes, and then reads the row, also of a connection that ended."""
    kind = LIST if write == "UPDATE" else REGISTER
    colleague, tablet = shown_the_first(world, kind, confirms=False)
    world.advance(MINUTE)
    colleague.do(kind.entity_type, "e", "UPDATE", kind.second)
    pongs(world, tablet)
    if sent == "seconds later" or "restart" in sent:
        world.advance(UNREAD_MS - PONGS_MS - 100)
        world.settle()  # positions are stored within a second
    data = {} if write == "DELETE" else kind.written
    if write == "BULK_UPDATE":
        data = {"updates": [{"entity_id": "e", "data": kind.written}]}
    operation = tablet.operation(kind.entity_type, None if write == "BULK_UPDATE" else "e", write, data)
    if not stamped:
        del operation["timestamp"]
    tablet.screen.apply(operation)
    unread = list(tablet.connection.frames)
    if "restart" in sent:
        world.crash()
        colleague.session = tablet.session = None
        colleague.connect()
    elif sent not in ("at once", "seconds later"):
        tablet.disconnect()
    if tablet.session is None:
        tablet.connect()
        tablet.connection.frames.extendleft(reversed(unread))
    if "waited" in sent:
        settle_all(world, [colleague, tablet])
        world.advance(MINUTE)
    tablet.send({"type": "data_sync", "operation": operation})
    settle_all(world, [colleague, tablet])
    assert tablet.shown(kind.entity_type) == colleague.shown(kind.entity_type)


@pytest.mark.parametrize("confirms", [False, True])
@pytest.mark.parametrize("name", KINDS)
def test_who_has_read_is_not_sent_its_own_write(world: World, name: str, confirms: bool) -> None:
    kind = KINDS[name]
    colleague, tablet = shown_the_first(world, kind, confirms=confirms)
    colleague.do(kind.entity_type, "e", "UPDATE", kind.second)
    settle_all(world, [colleague, tablet])
    world.advance(0 if confirms else UNREAD_MS + APART_MS)
    tablet.do(kind.entity_type, "e", "UPDATE", kind.written)
    settle_all(world, [colleague, tablet])
    assert not own_rows(tablet)
    assert tablet.shown(kind.entity_type) == colleague.shown(kind.entity_type)


def test_who_writes_alone_and_never_confirms_is_not_sent_its_own_writes(world: World) -> None:
    colleague, tablet = shown_the_first(world, COUNTER, confirms=False)
    world.advance(MINUTE)
    for stock in (99, 98, 97):
        tablet.do("products", "e", "UPDATE", {"stock": stock})
        settle_all(world, [colleague, tablet])
    assert not own_rows(tablet)


def pongs(world: World, client: Client) -> None:
    """The client's library answers, and its program has not read yet."""
    world.advance(PONGS_MS)
    world.settle()
    assert client.session is not None
    for frame in list(client.connection.frames):
        if isinstance(frame, tuple):
            client.session.pong(int(frame[1]))
            client.connection.frames.remove(frame)


Clock = Literal["right", "behind", "unknown"]
"""The tablet's clock: measured and right, measured and ten minutes behind, or never heard of."""


@pytest.mark.walk(3)
@pytest.mark.parametrize("read", ["program", "library"])
@pytest.mark.parametrize("clock", ["right", "behind", "unknown"])
@pytest.mark.parametrize("name", KINDS)
def test_nobody_knew_what_reached_them_after_they_wrote(world: World, name: str, clock: Clock, read: str) -> None:
    """A queue that was written before the colleague's row is sent after it was read and confirmed, without a version.
    `library`: the tablet confirms nothing, and its library answers the ping."""
    kind, behind = KINDS[name], 10 * MINUTE if clock == "behind" else 0
    colleague, tablet = shown_the_first(world, kind, confirms=read == "program")
    if clock != "unknown":
        tablet.send({"type": "ping", "timestamp": iso(world.wall_ms - behind)})
    world.advance(MINUTE)
    tablet.disconnect()
    world.advance(MINUTE)
    queued = tablet.operation(kind.entity_type, "e", "UPDATE", kind.written, timestamp=iso(world.wall_ms - behind))
    world.advance(MINUTE)
    colleague.do(kind.entity_type, "e", "UPDATE", kind.second)
    world.advance(MINUTE)
    tablet.connect()
    settle_all(world, [colleague, tablet])
    tablet.submit(queued)
    settle_all(world, [colleague, tablet])
    assert outcome(world, kind) == kind.gives[FIRST]
    assert tablet.shown(kind.entity_type) == colleague.shown(kind.entity_type)


@pytest.mark.parametrize("clock", ["right", "behind", "unknown"])
@pytest.mark.parametrize("name", KINDS)
def test_what_is_written_now_is_written_with_all_that_was_confirmed(world: World, name: str, clock: Clock) -> None:
    kind, behind = KINDS[name], 10 * MINUTE if clock != "right" else 0
    colleague, tablet = shown_the_first(world, kind)
    world.advance(MINUTE)
    if clock != "unknown":
        tablet.send({"type": "ping", "timestamp": iso(world.wall_ms - behind)})
    colleague.do(kind.entity_type, "e", "UPDATE", kind.second)
    settle_all(world, [colleague, tablet])
    tablet.do(kind.entity_type, "e", "UPDATE", kind.written, timestamp=iso(world.wall_ms - behind))
    assert outcome(world, kind) == kind.gives[SECOND]


def test_a_queue_written_before_the_payment_leaves_the_order_paid(world: World) -> None:
    colleague, tablet = Client(world, "till").connect(), Client(world, "tablet").connect()
    colleague.do("orders", "e", "CREATE", {"status": "pending", **dishes("a")})
    settle_all(world, [colleague, tablet])
    tablet.send({"type": "ping", "timestamp": iso(world.wall_ms)})
    tablet.disconnect()
    queued = tablet.operation("orders", "e", "UPDATE", {"status": "preparing", **dishes("a", "b")})
    world.advance(MINUTE)
    colleague.do("orders", "e", "UPDATE", {"status": "paid", **dishes("a", "c")})
    world.advance(MINUTE)
    tablet.connect()
    settle_all(world, [colleague, tablet])
    tablet.submit(queued)
    settle_all(world, [colleague, tablet])
    view = world.view("orders")["e"]
    assert view["status"] == "paid"
    assert {item["id"] for item in view["items"]} == {"a", "b", "c"}


def test_a_client_that_says_nothing_of_what_arrived_is_known_by_its_versions(world: World) -> None:
    """It neither confirms nor answers pings. A state that it was sent and that it names was on its screen."""
    colleague, tablet = shown_the_first(world, LIST, confirms=False, pongs=False)
    colleague.do("orders", "e", "UPDATE", LIST.second)
    settle_all(world, [colleague, tablet])
    tablet.do("orders", "e", "UPDATE", {**dishes("b", "c", "d"), "version": 3})
    tablet.do("orders", "e", "UPDATE", {**dishes("b", "d"), "version": 4})
    assert outcome(world, LIST) == {"b", "d"}
    tablet.do("orders", "e", "UPDATE", {**dishes("a", "b", "d"), "version": 5})
    assert outcome(world, LIST) == {"a", "b", "d"}


@pytest.mark.parametrize("waits_ms", [0, MINUTE])
@pytest.mark.parametrize("mark", [None, "restores", "imports"])
def test_only_what_restores_or_imports_says_itself_what_its_author_has_read(
    world: World, mark: str | None, waits_ms: int
) -> None:
    colleague, tablet = shown_the_first(world, REGISTER)
    tablet.disconnect()
    colleague.do("customers", "e", "UPDATE", REGISTER.second)
    more = {"read_upto": 2**40, **({} if mark is None else {mark: "colleague.op-0"})}
    write = tablet.operation("customers", "e", "UPDATE", REGISTER.written, **more)
    world.advance(waits_ms)
    tablet.connect().submit(write)
    settle_all(world, [colleague, tablet])
    assert outcome(world, REGISTER) == REGISTER.gives[FIRST if mark is None else SECOND]
