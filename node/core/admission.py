"""Who may be connected: one connection under each name, within limits. No sockets and no clock.

    ask --nobody has the name--> Enter
        --somebody has it--> Probe --it answers--> Refuse 4004
                                   --it does not--> Enter, in its place

A node's token does not show who has it. So a node that may enter takes the seat, and whoever has it leaves, once it
has shown that it has that node's key (`proven`).

A shell asks for each connection, carries out the verdict, and reports what became of a probe. The runtime and the
simulator are such shells. node/wire/protocol.md tells both sides' part under "Connecting", and the codes under "Error
codes".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from enum import Enum
from typing import Generic, TypeVar

from attrs import field

from crdt.classes import define, frozen
from node.core.statistics import Statistics
from node.errors import (
    AlreadyConnected,
    AuthenticationFailed,
    InvalidTerminalId,
    InvalidTerminalType,
    PermissionDenied,
    StaleAttempt,
)
from node.wire import outgoing
from node.wire.codec import TERMINAL_ID

PROBES = 4
"""Connections under one name that are probed, one after the other, before a new one gives way."""

MOST_NODES = 1_000
"""Other nodes that a node knows. What one of them has not confirmed is not archived, so none is forgotten."""

REFUSED_AT_ONCE = 100
"""How many connections beyond the limit are told so; further ones are just dropped."""

H = TypeVar("H")


@frozen
class Caller:
    """Who asks to be connected.

    name: the terminal's id, or the node's.
    kind: the terminal's type.
    node: whether it is another node, which opens a link.
    trusted: whether its token is the one of this name and type, or none is asked for.
    instance: of a node, the start of its process; two connections of one instance are no two nodes.
    attempt: of a node, the number of this connection among those of its instance.
    realm: the store that it names; None where a terminal names none, and comes for whatever store is here.
    """

    name: str
    kind: str = ""
    node: bool = False
    trusted: bool = True
    instance: str = ""
    attempt: int = 0
    realm: str | None = None


@frozen(eq=False)
class Seat(Generic[H]):
    """The place under one name. holder: the shell's connection."""

    caller: Caller
    holder: H


@frozen
class Enter(Generic[H]):
    """The connection takes the seat. old: who must leave it first; close it with REPLACED."""

    old: Seat[H] | None = None


@frozen
class Probe(Generic[H]):
    """Ping the connection in the seat `old`. Report `answered` when its pong comes, `waited` when none came in time.

    left: how many more connections are probed for this caller.
    """

    caller: Caller
    old: Seat[H]
    left: int


@frozen
class Refuse(Generic[H]):
    """The connection is closed with `code` and `reason`.

    own_id: another node came with this node's own id.
    old, notice: who had answered the probe, and a message it is to be sent.
    """

    code: int
    reason: str
    own_id: bool = False
    old: Seat[H] | None = None
    notice: bytes | None = None


def other_realm(here: str, named: str) -> str:
    """Why who comes for a store has to go elsewhere. Both are names, "" for none."""
    return f"this is a node of {here[:64] or 'a store without a name'}, not of {named[:64] or 'one without a name'}"


REPLACED = (AlreadyConnected.code, "replaced by a new connection")
"""The close of a connection that another one under its name replaces."""


@define(eq=False, kw_only=True)
class Admission(Generic[H]):
    """Who is connected to one node, by name.

    realm: the store that this is a node of, "" where it has no name.
    kinds: the terminal types.
    nodes: names of the nodes that were ever linked; it grows with them.
    most: how many terminals a node remembers. Those that are away can be let go, so no more may be here.
    """

    node_id: str
    kinds: Collection[str]
    nodes: Collection[str]
    most: int
    statistics: Statistics
    realm: str = ""
    seats: dict[str, Seat[H]] = field(factory=dict)

    # ------------------------------------------------------------------ asking

    def ask(self, caller: Caller) -> Enter[H] | Probe[H] | Refuse[H]:
        """What becomes of a new connection."""
        refusal = self.objection(caller)
        if refusal is not None and refusal.code == PermissionDenied.code:
            self.statistics.realms_refused += 1
        return refusal or self._place(caller, PROBES)

    def answered(self, probe: Probe[H]) -> Refuse[H]:
        """The connection in the seat is alive, so it keeps its seat. A linked node is told that it has a twin."""
        old, notice = probe.old, None
        if old.caller.node:
            error = f"another node with the id {old.caller.name} tried to link to {self.node_id}"
            notice = outgoing.sync_error(None, error, None, None, old.caller.name, AlreadyConnected.code)
        return Refuse(AlreadyConnected.code, "Terminal already connected", old=old, notice=notice)

    def waited(self, probe: Probe[H]) -> Enter[H] | Probe[H] | Refuse[H]:
        """The connection in the seat is dead. If another one has taken the seat meanwhile, that may be dead too."""
        if self.seats.get(probe.caller.name) is probe.old:
            return Enter(probe.old)
        return self._place(probe.caller, probe.left)

    def proven(self, caller: Caller, entered: Enter[H]) -> Enter[H] | Refuse[H]:
        """A node that was told to enter has shown who it is. Only now it takes the seat, and somebody else may have
        it by now."""
        if self.seats.get(caller.name) in (None, entered.old):
            return entered
        verdict = self._place(caller, 0)
        assert not isinstance(verdict, Probe)
        return verdict

    def objection(self, caller: Caller) -> Refuse[H] | None:
        """Why this caller may not connect, whoever is connected already. Changes nothing."""
        if TERMINAL_ID.match(caller.name) is None:
            return Refuse(InvalidTerminalId.code, "Invalid terminal ID")
        if caller.kind not in self.kinds and not caller.node:
            reason = f"Invalid terminal type; one of {', '.join(self.kinds)}"
            return Refuse(InvalidTerminalType.code, reason)
        if not caller.trusted:
            return Refuse(AuthenticationFailed.code, "Authentication failed")
        if caller.realm not in (None, self.realm):
            return Refuse(PermissionDenied.code, other_realm(self.realm, caller.realm or ""))
        if caller.node and caller.name == self.node_id:
            return Refuse(AlreadyConnected.code, "a node with this id is already there", own_id=True)
        if caller.node and caller.name not in self.nodes and len(self.nodes) >= MOST_NODES:
            return Refuse(InvalidTerminalId.code, f"{MOST_NODES} other nodes are known, which is as many as may be")
        if caller.name not in self.seats and len(self.seats) >= self.most:
            return Refuse(InvalidTerminalId.code, f"{self.most} terminals are connected, which is as many as may be")
        return None

    def _place(self, caller: Caller, probes: int) -> Enter[H] | Probe[H] | Refuse[H]:
        old = self.seats.get(caller.name)
        if old is None:
            return Enter()
        if caller.instance and caller.instance == old.caller.instance:
            if caller.attempt < old.caller.attempt:
                return Refuse(StaleAttempt.code, "a later attempt of the same node is connected")
            return Enter(old)
        if not probes:
            return Refuse(AlreadyConnected.code, "Terminal already connected")
        return Probe(caller, old, probes - 1)

    # ------------------------------------------------------------------ seats

    def take(self, caller: Caller, holder: H) -> Seat[H]:
        """The connection that was told to enter is there."""
        seat = self.seats[caller.name] = Seat(caller, holder)
        return seat

    def leave(self, seat: Seat[H]) -> None:
        """The connection in this seat has ended. Another one may have the seat by now, and keeps it."""
        if self.seats.get(seat.caller.name) is seat:
            del self.seats[seat.caller.name]


class Arrival(Enum):
    """What becomes of a TCP connection: it is served, told that there are too many, or dropped without a word."""

    SERVED = "served"
    TOLD = "told"
    DROPPED = "dropped"


@define(eq=False)
class Place:
    """One TCP connection. give_way: ends it. known: it has shown a token, or this node asks for none."""

    address: str
    """The address that it counts for. Where a proxy connects, its client's."""
    give_way: Callable[[], None]
    known: bool = False
    told: bool = False
    """It is only told that there are too many."""
    left: bool = False
    through: str | None = None
    """The proxy's own address."""


@define(eq=False, kw_only=True)
class Arrivals:
    """TCP connections that are open, HTTP and WebSocket alike. Counts in `statistics` those over a limit.

    Who is not known yet holds a place only as long as nobody needs it: at a limit the oldest stranger gives way, of
    the address that has most of them. So whoever fills the node without a token shuts out nobody but himself.

    most: how many may be open at once.
    most_per_address: how many of one IP address, `shared` ones excepted.
    open, told: how many are, and how many of these only hear that there are too many. by_address: the others, of each
        address. strangers: of each address those not known, by age.
    """

    most: int
    most_per_address: int
    statistics: Statistics
    shared: Callable[[str], bool] = lambda _: False
    open: int = 0
    told: int = 0
    by_address: Counter[str] = field(factory=Counter)
    strangers: dict[str, dict[Place, None]] = field(factory=dict)

    def came(self, address: str, give_way: Callable[[], None]) -> tuple[Arrival, Place]:
        """A connection is open now. Whatever becomes of it, `went` follows."""
        place = Place(address, give_way)
        self.open += 1
        self._enter(place, address)
        if self._room(place):
            return Arrival.SERVED, place
        self._leave(place)
        place.told = True
        self.told += 1
        self.statistics.connections_refused += 1
        return (Arrival.DROPPED if self.told > REFUSED_AT_ONCE else Arrival.TOLD), place

    def is_known(self, place: Place) -> None:
        """It has shown who it is, and keeps its place."""
        if not place.known and not place.left and not place.told:
            place.known = True
            self._no_stranger(place)

    def comes_from(self, place: Place, address: str) -> bool:
        """A proxy has named the address that a connection counts for. Returns whether there is room for it."""
        if place.left or place.address == address:
            return True
        self._leave(place)
        self._enter(place, address)
        if self._room(place):
            return True
        self.statistics.connections_refused += 1
        return False

    def went(self, place: Place) -> None:
        """It is closed."""
        if place.left:
            return
        place.left = True
        self.open -= 1
        if place.told:
            self.told -= 1
        else:
            self._leave(place)

    # ------------------------------------------------------------------ who gives way

    def _room(self, place: Place) -> bool:
        address = place.address
        if self.by_address[address] > self.most_per_address and not self.shared(address):
            return self._one_gives_way(address, place)
        if self.open - self.told <= self.most:
            return True
        crowd = max(self.strangers, key=lambda name: len(self.strangers[name]), default="")
        return self._one_gives_way(crowd, place)

    def _one_gives_way(self, address: str, newcomer: Place) -> bool:
        oldest = next((place for place in self.strangers.get(address, ()) if place is not newcomer), None)
        if oldest is None:
            return False
        self.went(oldest)
        self.statistics.connections_refused += 1
        oldest.give_way()
        return True

    # ------------------------------------------------------------------ counting

    def _enter(self, place: Place, address: str) -> None:
        place.address = address
        self.by_address[address] += 1
        if not place.known:
            self.strangers.setdefault(address, {})[place] = None

    def _leave(self, place: Place) -> None:
        address = place.address
        self.by_address[address] -= 1
        if not self.by_address[address]:
            del self.by_address[address]
        self._no_stranger(place)

    def _no_stranger(self, place: Place) -> None:
        group = self.strangers.get(place.address, {})
        group.pop(place, None)
        if not group:
            self.strangers.pop(place.address, None)
