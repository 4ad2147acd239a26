"""Days of head office's processes from a seed: processes that are killed, paused and wake up as zombies, clocks of
different speed, an engine that stalls, carries out late what was given up, is set back and comes back empty.

The shell here does what the real one does: one question at a time, tokens stored before they are acted on, and
operations of stores taken while the realm is owned. What must hold is checked at each step.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import define, field

from node.hubs.engine import Charter, Member
from node.hubs.memory import MemoryEngine
from node.hubs.ownership import Claim, Ownership, Put, Question, Wait, carry_out

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.hubs.engine import Claimed

TTL_MS = 5_000
NODES = ("a", "b", "c")
REALMS = ("loja-1", "loja-2", "loja-3", "loja-4")
STEPS = 2_000
CALM_MS = 60 * TTL_MS
PATIENCE_MS = 1_000
"""How long a shell waits for an answer."""


NOTHING = b"0"
"""What is left by an owner who knows nothing."""


class Violation(Exception):
    """Something that must hold does not."""


@define(eq=False)
class Hub:
    """A process of a node, and what its disk holds: tokens seen, rows of each store, and words of its people.

    rows: realm -> how many operations of the store it holds, all from the first on. words: realm -> what the next
    owner has to know. kept, copies: realms that it keeps, and those of them that another one has owned since.
    """

    node: str
    offset_ms: float
    speed: float
    floors: dict[str, int] = field(factory=dict)
    rows: dict[str, int] = field(factory=lambda: dict.fromkeys(REALMS, 0))
    words: dict[str, bytes] = field(factory=dict)
    kept: set[str] = field(factory=set)
    copies: set[str] = field(factory=set)
    ownership: Ownership | None = None
    paused_ms: float = 0.0
    asking: Question | None = None
    begun: dict[str, int] = field(factory=dict)
    """Realm -> the token under which it is served: what the owner before has left was read."""


@define(eq=False)
class Day:
    """machine: makes the ownership of a process. engine: made of its clock."""

    seed: int
    machine: Callable[..., Ownership] = Ownership
    engine_of: Callable[[Callable[[], float]], MemoryEngine] = MemoryEngine
    now_ms: float = 1_000_000.0
    dice: random.Random = field(init=False)
    loses: bool = field(init=False)
    """Whether the engine is set back and emptied on this day."""
    engine: MemoryEngine = field(init=False)
    hubs: list[Hub] = field(init=False)
    lame: str | None = field(init=False)
    """The node whose claims never arrive."""
    away: bool = False
    calm: bool = False
    late: list[tuple[float, Callable[[], None]]] = field(factory=list)
    """What happens at which time."""
    stored: dict[str, int] = field(factory=lambda: dict.fromkeys(REALMS, 0))
    """Realm -> how many operations its store has."""
    writers: dict[tuple[str, int], str] = field(factory=dict)
    """Realm, token -> whose charter was taken under it, since the engine lost something."""
    promised: dict[str, bytes] = field(factory=dict)
    """Realm -> the latest charter that its owner knows to be taken, since the engine lost something."""
    owed: dict[str, tuple[str, bytes]] = field(factory=dict)
    """Realm -> who served it when the engine lost something, and what he knew; while nothing has happened to him."""
    lost_ms: float = 0.0
    """When the engine lost something."""
    starts: int = 0
    counts: dict[str, int] = field(factory=dict)
    copied: Any = None

    def __attrs_post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.loses = self.dice.random() < 0.5
        self.lame = self.dice.choice(NODES) if self.dice.random() < 0.3 else None
        self.engine = self.engine_of(lambda: self.now_ms)
        self.hubs = [
            Hub(node, self.dice.uniform(0, 1e9), self.dice.choice((0.9, 0.97, 1.0, 1.03, 1.1))) for node in NODES
        ]
        for realm in REALMS:  # each is made at one of them
            founder = self.dice.choice([hub for hub in self.hubs if hub.node != self.lame])
            founder.kept.add(realm)
            founder.words[realm] = b"%09d %s" % (1, founder.node.encode())
        for hub in self.hubs:
            self.start(hub)

    # ------------------------------------------------------------------ what happens

    def run(self) -> None:
        """Raises Violation."""
        for _ in range(STEPS):
            self.step()
        self.mend()
        until_ms = self.now_ms + CALM_MS
        while self.unsettled() is not None:
            self.step()
            if self.now_ms > until_ms:
                raise Violation(self.unsettled())

    def step(self) -> None:
        self.now_ms += self.dice.expovariate(1 / 60)
        for due in sorted((one for one in self.late if one[0] <= self.now_ms), key=lambda one: one[0]):
            self.late.remove(due)
            due[1]()
        acts: list[tuple[Callable[[], None], int]] = [(self.turn, 150), (self.link, 40), (self.follow, 20)]
        if not self.calm:
            acts += [(self.write, 20), (self.say, 6), (self.kill, 1), (self.pause, 1), (self.stall, 1)]
            acts += [(self.copy, 1), (partial(self.rarely, self.set_back), 1), (partial(self.rarely, self.empty), 1)]
        act = self.dice.choices([act for act, _ in acts], [weight for _, weight in acts])[0]
        act()
        self.check()

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def clock(self, hub: Hub) -> float:
        return hub.offset_ms + self.now_ms * hub.speed

    def awake(self) -> list[Hub]:
        return [hub for hub in self.hubs if hub.ownership is not None and hub.paused_ms <= self.now_ms]

    def start(self, hub: Hub) -> None:
        self.starts += 1
        hub.asking, hub.begun = None, {}
        hub.ownership = self.machine(
            member=Member(f"{hub.node}.{self.starts}", hub.node, f"ws://{hub.node}"),
            ttl_ms=TTL_MS,
            realms=lambda: sorted(hub.kept),
            floors=dict(hub.floors),
            copies=set(hub.copies),
            complete=lambda realm, node: self.of(node).rows[realm] >= hub.rows[realm],
            wanted=lambda realm: hub.words.get(realm) if realm in hub.begun else None,
        )

    def of(self, node: str) -> Hub:
        return next(hub for hub in self.hubs if hub.node == node)

    def turn(self) -> None:
        """A process does what is next."""
        if not (awake := self.awake()):
            return
        hub = self.dice.choice(awake)
        assert hub.ownership is not None
        self.reconcile(hub)
        if hub.asking is not None:
            return
        question = hub.ownership.next(self.clock(hub))
        if not isinstance(question, Wait):
            self.ask(hub, hub.ownership, question)

    def reconcile(self, hub: Hub) -> None:
        """Serve what is owned, after what the owner before has left was taken over; and end what is not."""
        assert hub.ownership is not None
        owned = hub.ownership.owned(self.clock(hub))
        hub.begun = {realm: token for realm, token in hub.begun.items() if owned.get(realm) == token}
        for realm, token in owned.items():
            if realm not in hub.begun:
                left = hub.ownership.charter(realm).body
                hub.words[realm] = max(left, hub.words.get(realm, NOTHING))  # all that is known of either
                hub.begun[realm] = token
                if hub.words[realm] == NOTHING and realm not in hub.kept:
                    raise Violation(f"{hub.node} serves {realm}, of which it knows nothing")
                hub.kept.add(realm)

    def ask(self, hub: Hub, ownership: Ownership, question: Question) -> None:
        """It is carried out after a while, and answered after another; or given up, and carried out all the same."""
        hub.asking = question
        there_ms = self.now_ms + self.dice.choice((5, 20) if self.calm else (5, 20, 100, 700, 2_500))
        self.late.append((there_ms, lambda: self.carry_out(hub, ownership, question)))
        self.late.append((self.now_ms + PATIENCE_MS, lambda: self.give_up(hub, ownership, question)))

    def carry_out(self, hub: Hub, ownership: Ownership, question: Question) -> None:
        member = ownership.member
        if self.away or (isinstance(question, Claim) and hub.node == self.lame):
            return
        before, lost_ms = {realm: held.charter for realm, held in self.engine.realms.items()}, self.lost_ms
        answer = carry_out(self.engine, member, question, TTL_MS)
        if isinstance(question, Put) and answer:
            self.taken(member, question, before[question.realm])
        back_ms = self.now_ms + self.dice.choice((5, 20) if self.calm else (5, 20, 600))
        if self.calm or self.dice.random() < 0.95:
            self.late.append((back_ms, lambda: self.answer(hub, ownership, question, answer)))
        if isinstance(question, Put) and answer:
            self.late.append((back_ms, lambda: self.promise(question, lost_ms)))

    def answer(self, hub: Hub, ownership: Ownership, question: Question, answer: Any) -> None:
        """A paused process reads it when it is awake again."""
        if hub.ownership is not ownership or hub.asking is not question:
            return
        if hub.paused_ms > self.now_ms:
            self.late.append((hub.paused_ms, lambda: self.answer(hub, ownership, question, answer)))
            return
        hub.asking = None
        if isinstance(question, Claim):
            self.granted(hub, answer)
        ownership.answered(question, answer, self.clock(hub))
        hub.floors, hub.copies = dict(ownership.floors), set(ownership.copies)

    def promise(self, put: Put, lost_ms: float) -> None:
        """It was taken, and nothing was lost since."""
        if lost_ms == self.lost_ms:
            self.promised[put.realm] = max(self.promised.get(put.realm, b""), put.charter.body)

    def give_up(self, hub: Hub, ownership: Ownership, question: Question) -> None:
        if hub.ownership is not ownership or hub.asking is not question:
            return
        if hub.paused_ms > self.now_ms:
            self.late.append((hub.paused_ms + 1, lambda: self.give_up(hub, ownership, question)))
            return
        hub.asking = None
        self.troubled(hub)
        ownership.failed(self.clock(hub))

    # ------------------------------------------------------------------ stores

    def write(self) -> None:
        self.stored[self.dice.choice(REALMS)] += 1

    def link(self) -> None:
        """A store reaches any process, which hands it to the owner that it knows; that one takes what it lacks."""
        realm = self.dice.choice(REALMS)
        if not (awake := self.awake()):
            return
        first = self.dice.choice(awake)
        assert first.ownership is not None
        owner = first.ownership.owner(realm)
        for hub in awake:
            assert hub.ownership is not None
            if owner is not None and hub.ownership.member == owner and self.serves(hub, realm):
                hub.rows[realm] = self.stored[realm]
                self.count("taken from a store")

    def serves(self, hub: Hub, realm: str) -> bool:
        assert hub.ownership is not None
        return realm in hub.begun and hub.ownership.owned(self.clock(hub)).get(realm) == hub.begun[realm]

    def follow(self) -> None:
        for hub in self.awake():
            assert hub.ownership is not None
            for realm, owner in hub.ownership.followed().items():
                other = self.of(owner.node)
                hub.kept.add(realm)
                if other in self.awake():
                    hub.rows[realm] = max(hub.rows[realm], other.rows[realm])

    def say(self) -> None:
        """Somebody makes a token at an owner."""
        for hub in self.awake():
            for realm in REALMS:
                if self.serves(hub, realm) and self.dice.random() < 0.3:
                    number = int(hub.words[realm].split(b" ")[0]) + 1
                    hub.words[realm] = b"%09d %s" % (number, hub.node.encode())

    # ------------------------------------------------------------------ faults

    def rarely(self, act: Callable[[], None]) -> None:
        if self.loses and self.dice.random() < 0.3:
            act()

    def kill(self) -> None:
        hub = self.dice.choice(self.hubs)
        hub.ownership, hub.asking, hub.begun = None, None, {}
        self.troubled(hub)
        self.count("killed")
        self.late.append((self.now_ms + self.dice.uniform(0, 4 * TTL_MS), partial(self.again, hub)))

    def again(self, hub: Hub) -> None:
        if hub.ownership is None:
            self.start(hub)

    def pause(self) -> None:
        hub = self.dice.choice(self.hubs)
        hub.paused_ms = self.now_ms + self.dice.uniform(0, 3 * TTL_MS)
        self.troubled(hub)
        self.count("paused")

    def stall(self) -> None:
        self.away = True
        self.count("engine away")
        self.late.append((self.now_ms + self.dice.uniform(0, 2 * TTL_MS), self.back))

    def back(self) -> None:
        self.away = False

    def copy(self) -> None:
        self.copied = self.engine.copy()

    def set_back(self) -> None:
        if self.copied is not None:
            self.engine.set_back(self.copied)
            self.lose()
            self.count("engine set back")

    def empty(self) -> None:
        self.engine.empty()
        self.lose()
        self.count("engine emptied")

    def troubled(self, hub: Hub) -> None:
        """It may be overtaken by who knows less."""
        self.owed = {realm: (node, words) for realm, (node, words) in self.owed.items() if node != hub.node}

    def lose(self) -> None:
        self.lost_ms = self.now_ms
        self.owed = {
            realm: (hub.node, hub.words[realm])
            for hub in self.awake()
            for realm in REALMS
            if self.serves(hub, realm) and hub.node != self.lame
        }
        self.writers.clear()
        self.promised.clear()

    def mend(self) -> None:
        self.away, self.calm = False, True
        for hub in self.hubs:
            hub.paused_ms = 0.0
            self.again(hub)

    # ------------------------------------------------------------------ what must hold

    def taken(self, member: Member, put: Put, before: Charter) -> None:
        """At most one owner's writes are taken for each token, and none goes back to an older one."""
        writer = self.writers.setdefault((put.realm, put.token), member.instance)
        if writer != member.instance:
            raise Violation(f"{put.realm}: {writer} and {member.instance} wrote under token {put.token}")
        if put.token != self.engine.realms[put.realm].token:
            raise Violation(f"{put.realm}: a write under {put.token} was taken after that token")
        if put.charter.number <= before.number:
            raise Violation(f"{put.realm}: an older charter took the place of a later one")
        self.count("charters")

    def granted(self, hub: Hub, got: Mapping[str, Claimed]) -> None:
        """Nobody owns under a token that it has seen before. A claim that was given up may get one, for nobody."""
        for realm, claimed in got.items():
            if claimed.token <= hub.floors.get(realm, 0):
                raise Violation(f"{realm}: token {claimed.token} was seen before")
            self.count("claims")

    def check(self) -> None:
        """At no time two serve one realm, unless the engine has just lost who did."""
        if self.now_ms - self.lost_ms <= 2 * TTL_MS:
            return
        for realm in REALMS:
            serving = [hub.node for hub in self.awake() if self.serves(hub, realm)]
            if len(serving) > 1:
                raise Violation(f"{realm} is served by {' and '.join(serving)}")

    def unsettled(self) -> str | None:
        """What is not yet as it must become: each realm has one owner, who is to own it and has all of its store, and
        so has another one; what was left is known to the owner, and what he knows is left."""
        for realm in REALMS:
            serving = [hub for hub in self.hubs if self.serves(hub, realm)]
            if len(serving) != 1:
                return f"{realm} is served by {[hub.node for hub in serving]}"
            if realm not in self.engine.realms:
                return f"{realm} is not known since the engine lost it"
            owner, known = serving[0], serving[0].words.get(realm, b"")
            if owner.rows[realm] != self.stored[realm]:
                return f"{realm}: {owner.node} has {owner.rows[realm]} of {self.stored[realm]} operations"
            if sum(hub.rows[realm] == self.stored[realm] for hub in self.hubs) < 2:
                return f"{realm}: nobody but its owner has all"
            if known < self.promised.get(realm, b""):
                return f"{realm}: {self.promised[realm]!r} was left, and {owner.node} does not know it"
            if known < (owed := self.owed.get(realm, ("", b"")))[1]:
                return f"{realm}: {owed[0]} knew {owed[1]!r} when the engine lost it, and {owner.node} does not"
            if known != self.engine.realms[realm].charter.body:
                return f"{realm}: what {owner.node} knows is not left"
            assert owner.ownership is not None
            first = owner.ownership.first(realm)
            if first is None or (first.node not in (owner.node, self.lame)):
                return f"{realm} is not with who is to own it"
        return None


def simulate(seed: int, **planted: Any) -> dict[str, int]:
    """A day; how often what happened. Raises Violation."""
    day = Day(seed, **planted)
    day.run()
    return day.counts
