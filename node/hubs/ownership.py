"""Which realms one of head office's processes owns. Pure: the clock, and what the engine said, are inputs.

    next --> Wait | Beat | Claim | Release | Put --a shell asks the engine--> answered | failed --> next

One question at a time: nothing is decided on an answer that another one has overtaken. An owner stops by its own
clock, HOLD of the lease's time after it *asked*, so it has stopped before the engine lets another one claim, also
while the engine is away. Data does not hang on it: an owner and the others are replicas, and an operation has one
key in all of them. Two owners cost work, and what they leave in the engine is fenced by the token.

Realms are shared out by a weighing of (realm, node) that all work out alike. Who is first claims at once, the others
after a lease's time each, should the first be there and own nothing. An owner that is not the first gives the realm
to who is, once that one holds all of it.

A realm without its charter would be open to everybody, or to nobody. Where the engine holds none, as of a realm that
is new or after the engine lost it, a process claims what it keeps and nothing else, and copies wait for who knows it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from hashlib import blake2b
from math import inf

from attrs import evolve, field

from crdt.classes import define, frozen
from node.hubs.engine import Charter, Claimed, Engine, Lease, Member, Standing

HOLD = 0.8
"""The part of a lease for which its owner relies on it: clocks may differ in speed by less than the rest."""

BEATS = 5
"""How often within a lease's time an owner renews."""


KEPT = 20
"""For how many leases' time an owner keeps a realm that who is to own it has left."""


@frozen
class Wait:
    """Ask again after so long."""

    ms: float


@frozen
class Beat:
    """Ask `Engine.beat`."""

    asked_ms: float
    held: Mapping[str, int]
    realms: Collection[str]


@frozen
class Claim:
    """Ask `Engine.claim`."""

    asked_ms: float
    floors: Mapping[str, int]


@frozen
class Release:
    """Ask `Engine.release`."""

    held: Mapping[str, int]


@frozen
class Put:
    """Ask `Engine.put`."""

    realm: str
    token: int
    charter: Charter


Question = Beat | Claim | Release | Put
Answer = Standing | dict[str, Claimed] | bool | None


def carry_out(engine: Engine, member: Member, question: Question, ttl_ms: int) -> Answer:
    """Ask an engine. Raises EngineAway."""
    match question:
        case Beat():
            return engine.beat(member, question.held, question.realms, ttl_ms)
        case Claim():
            return engine.claim(member, question.floors, ttl_ms)
        case Put():
            return engine.put(member, question.realm, question.token, question.charter)
        case Release():
            engine.release(member, question.held)
    return None


@frozen
class Held:
    """A realm that is owned. until_ms: by this process's clock. charter: the latest that the engine is known to have
    taken. lost: whether it holds another one. sent: the number of the latest that was sent."""

    token: int
    until_ms: float
    charter: Charter
    sent: int
    lost: bool = False


@define(eq=False, kw_only=True)
class Ownership:
    """One process's.

    ttl_ms: how long a lease lasts. realms: those that it keeps itself. floors: realm -> the highest token seen.
    copies: realms that another one has owned since, whose charter may be known there alone. The shell stores both
    before it acts as an owner. complete: whether a node holds a realm that is owned here, but for a
    few rows. wanted: what the next owner of a realm has to know; None while that is not known.
    """

    member: Member
    ttl_ms: int
    realms: Callable[[], Collection[str]]
    floors: dict[str, int]
    copies: set[str] = field(factory=set)
    complete: Callable[[str, str], bool] = lambda realm, node: False
    wanted: Callable[[str], bytes | None] = lambda realm: None
    _held: dict[str, Held] = field(factory=dict, init=False)
    _members: tuple[Member, ...] = field(default=(), init=False)
    _leases: dict[str, Lease] = field(factory=dict, init=False)
    _named: frozenset[str] = field(default=frozenset(), init=False)
    """The realms that it kept when the engine was last asked."""
    _free_ms: dict[str, float] = field(factory=dict, init=False)
    """Realm -> since when it is seen that nobody owns it."""
    _given: set[str] = field(factory=set, init=False)
    """Realms that are to be released."""
    _kept_ms: dict[str, float] = field(factory=dict, init=False)
    """Realm -> until when it is given to nobody: who was to own it has not claimed it in its time."""
    _beat_ms: float = field(default=0.0, init=False)
    """When the next beat is due."""
    _away: bool = field(default=False, init=False)
    """The engine gave no answer, and nothing but a beat is asked of it."""

    # ------------------------------------------------------------------ what there is

    def owned(self, now_ms: float) -> dict[str, int]:
        """Realm -> token, of those that are served here."""
        return {realm: held.token for realm, held in self._held.items() if now_ms < held.until_ms}

    def charter(self, realm: str) -> Charter:
        """What the owner before has left, or this one put; of a realm that is owned."""
        return self._held[realm].charter

    def owner(self, realm: str) -> Member | None:
        """Who owned a realm when the engine was last asked; None where nobody did, or it does not know the realm."""
        lease = self._leases.get(realm, Lease())
        return next((one for one in self._members if one.instance == lease.owner), None)

    @property
    def heard(self) -> bool:
        """Whether the engine has answered since the process started."""
        return bool(self._members)

    def knows(self, realm: str) -> bool:
        """Whether the engine knew the realm when it was last asked."""
        return realm in self._leases

    def known(self) -> Collection[str]:
        """The realms that the engine knew when it was last asked."""
        return self._leases.keys()

    def first(self, realm: str) -> Member | None:
        """Who is to own it."""
        return next(iter(self._order(realm)), None)

    def others(self) -> list[Member]:
        return [one for one in self._members if one.node != self.member.node]

    def followed(self) -> dict[str, Member]:
        """Realm -> its owner, of those that are to be copied here: by the first of those that do not own it."""
        found = {}
        for realm in self._leases:
            owner = self.owner(realm)
            if owner is None or owner.node == self.member.node:
                continue
            rest = [one for one in self._order(realm) if one.node != owner.node]
            if rest and rest[0].node == self.member.node:
                found[realm] = owner
        return found

    def _order(self, realm: str) -> list[Member]:
        """Those who are there, who is to own a realm first."""
        return sorted(self._members, key=lambda one: (blake2b(f"{realm} {one.node}".encode()).digest(), one.instance))

    def _rank(self, realm: str) -> int:
        order = self._order(realm)
        return order.index(self.member) if self.member in order else len(order)

    # ------------------------------------------------------------------ what to ask

    def next(self, now_ms: float) -> Question | Wait:
        """What to ask of the engine now. now_ms: on a clock that never goes back."""
        self._drop_ended(now_ms)
        if now_ms >= self._beat_ms:
            return Beat(now_ms, self.owned(now_ms), tuple(self.realms()))
        if self._away:
            return self._wait(now_ms)
        if floors := self._claimable(now_ms):
            return Claim(now_ms, floors)
        if put := self._unsaid():
            return put
        if given := {realm: self._held.pop(realm).token for realm in self._given & self._held.keys()}:
            self._given.clear()
            return Release(given)
        return self._wait(now_ms)

    def _wait(self, now_ms: float) -> Wait:
        """Until the next beat, or until something that is owned ends."""
        return Wait(min([self._beat_ms, *(held.until_ms for held in self._held.values())]) - now_ms)

    def release_all(self) -> Release:
        """The process ends: it serves nothing any more."""
        given = {realm: held.token for realm, held in self._held.items()}
        self._held.clear()
        return Release(given)

    def _drop_ended(self, now_ms: float) -> None:
        for realm in [realm for realm, held in self._held.items() if held.until_ms <= now_ms]:
            del self._held[realm]

    def _claimable(self, now_ms: float) -> dict[str, int]:
        found = {}
        for realm, since_ms in self._free_ms.items():
            if realm not in self._held and now_ms - since_ms >= self._turn(realm) * self.ttl_ms:
                found[realm] = self.floors.get(realm, 0)
        return found

    def _turn(self, realm: str) -> float:
        """After how many leases' time this process claims a realm that nobody owns."""
        if self._leases[realm].number:
            return self._rank(realm)
        if realm not in self._named:
            return inf
        return self._rank(realm) + (len(self._members) if realm in self.copies else 0)

    def _unsaid(self) -> Put | None:
        """A charter that says more than the engine holds."""
        for realm, held in self._held.items():
            body = self.wanted(realm)
            if body is not None and (held.lost or body != held.charter.body):
                number = held.sent + 1
                self._held[realm] = evolve(held, sent=number)
                return Put(realm, held.token, Charter(number, body))
        return None

    # ------------------------------------------------------------------ what was answered

    def answered(self, question: Question, answer: Answer, now_ms: float) -> None:
        """now_ms: when the answer came."""
        if isinstance(question, Beat):
            assert isinstance(answer, Standing)
            self._beaten(question, answer, now_ms)
        elif isinstance(question, Claim):
            assert isinstance(answer, dict)
            self._claimed(question, answer)
        elif isinstance(question, Put):
            self._was_put(question, bool(answer))

    def failed(self, now_ms: float) -> None:
        """The engine gave no answer. It may have done what was asked: the next beat tells."""
        self._away, self._beat_ms = True, now_ms + self.ttl_ms / BEATS
        self._free_ms.clear()

    def _beaten(self, beat: Beat, standing: Standing, now_ms: float) -> None:
        self._away, self._beat_ms = False, now_ms + self.ttl_ms / BEATS
        self._members, self._leases = tuple(standing.members), dict(standing.leases)
        for realm, lease in self._leases.items():
            self.floors[realm] = max(self.floors.get(realm, 0), lease.token)
        mine, self._named = self.member.instance, frozenset(beat.realms)
        self.copies.update(realm for realm, lease in self._leases.items() if lease.owner not in ("", mine))
        for realm, held in list(self._held.items()):
            lease = self._leases.get(realm, Lease())
            if (lease.owner, lease.token) != (mine, held.token):
                del self._held[realm]
            elif realm in beat.held:
                until_ms, lost = beat.asked_ms + HOLD * self.ttl_ms, lease.number != held.charter.number
                self._held[realm] = evolve(held, until_ms=until_ms, lost=lost)
        free = {realm for realm, lease in self._leases.items() if lease.owner in ("", mine)} - self._held.keys()
        self._free_ms = {realm: self._free_ms.get(realm, now_ms) for realm in free}
        self._given = {realm for realm in self._held if self._better(realm, now_ms)}

    def _better(self, realm: str, now_ms: float) -> bool:
        """Whether another one is to own a realm that is owned here, and may have it."""
        first = self.first(realm)
        if first is None or first.node == self.member.node or now_ms < self._kept_ms.get(realm, 0.0):
            return False
        if not self._held[realm].charter.number:
            return False  # the first would not claim it
        return self.complete(realm, first.node)

    def _claimed(self, claim: Claim, got: dict[str, Claimed]) -> None:
        until_ms = claim.asked_ms + HOLD * self.ttl_ms
        for realm, claimed in got.items():
            self.floors[realm] = max(self.floors.get(realm, 0), claimed.token)
            if not claimed.charter.number and realm not in self._named:
                continue  # the engine lost it meanwhile: the lease ends unused
            if self._rank(realm) and claimed.charter.number:
                self._kept_ms[realm] = claim.asked_ms + KEPT * self.ttl_ms
            self._leases[realm] = Lease(claimed.token, self.member.instance)
            self._held[realm] = Held(claimed.token, until_ms, claimed.charter, claimed.charter.number)
            self.copies.discard(realm)
        for realm in claim.floors:
            self._free_ms.pop(realm, None)

    def _was_put(self, put: Put, taken: bool) -> None:
        held = self._held.get(put.realm)
        if held is None or held.token != put.token:
            return
        if taken:
            self._held[put.realm] = evolve(held, charter=put.charter, lost=False)
        else:
            del self._held[put.realm]  # another one owns it, or the engine was set back
