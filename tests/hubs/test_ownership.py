"""Random days of head office's processes hold what they must, and each planted defect breaks one of them.

COMANDA_SEEDS says how many days, from COMANDA_SEED on.
"""

from __future__ import annotations

import os
from collections import Counter
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from node.hubs.engine import Charter, Claimed, Lease, Member, Standing
from node.hubs.memory import MemoryEngine
from node.hubs.ownership import Beat, Claim, Ownership, Put, Question, Release, Wait, carry_out
from tests.hubs.simulated import TTL_MS, Violation, simulate

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST, SEEDS = int(os.environ.get("COMANDA_SEED", "1")), int(os.environ.get("COMANDA_SEEDS", "15"))
CAUGHT_WITHIN = 40
"""Days in which a planted defect has to be caught, from the one on that caught it once."""


def test_days_of_three_processes() -> None:
    met: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + SEEDS):
        try:
            met.update(simulate(seed))
        except Violation as error:
            raise AssertionError(f"COMANDA_SEED={seed} COMANDA_SEEDS=1: {error}") from error
    wanted = {"killed", "paused", "engine away", "engine set back", "engine emptied", "claims", "charters"}
    assert SEEDS < 10 or wanted <= met.keys()


# ------------------------------------------------------------------ planted defects


class NoDeadline(Ownership):
    """It relies on the engine to say when it is over."""

    def owned(self, now_ms: float) -> dict[str, int]:
        return {realm: held.token for realm, held in self._held.items()}

    def _drop_ended(self, now_ms: float) -> None:
        return None


class CountsFromTheAnswer(Ownership):
    """The lease's time begins when the answer comes, and not when it was asked for."""

    def _beaten(self, beat: Beat, standing: Standing, now_ms: float) -> None:
        super()._beaten(evolve(beat, asked_ms=now_ms), standing, now_ms)


class KeepsWhatIsAnothers(Ownership):
    """What the engine says of a realm that it owns is not looked at."""

    def _beaten(self, beat: Beat, standing: Standing, now_ms: float) -> None:
        mine = self.member.instance
        kept = {realm: Lease(held.token, mine, held.charter.number) for realm, held in self._held.items()}
        super()._beaten(beat, Standing(standing.members, {**standing.leases, **kept}), now_ms)

    def _was_put(self, put: Put, taken: bool) -> None:
        super()._was_put(put, True)


class FirstOrNever(Ownership):
    """Who is not the first to own a realm never claims it."""

    def _claimable(self, now_ms: float) -> dict[str, int]:
        return {realm: floor for realm, floor in super()._claimable(now_ms).items() if self._rank(realm) == 0}


class ForgetsTokens(Ownership):
    """It asks for any token, and not for a higher one than it has seen."""

    def _claimable(self, now_ms: float) -> dict[str, int]:
        return dict.fromkeys(super()._claimable(now_ms), 0)


class NeverGives(Ownership):
    """It never gives a realm to who is to own it."""

    def _better(self, realm: str, now_ms: float) -> bool:
        return False


class NeverFollows(Ownership):
    """Nobody copies what an owner holds."""

    def followed(self) -> dict[str, Member]:
        return {}


class NumbersAnew(Ownership):
    """An owner counts its charters from one."""

    def _claimed(self, claim: Claim, got: dict[str, Claimed]) -> None:
        super()._claimed(
            claim,
            {r: Claimed(one.token, Charter(0, one.charter.body)) for r, one in got.items()},
        )


class ClaimsWhatItDoesNotKeep(Ownership):
    """It claims a realm of which nobody has left a charter."""

    def _turn(self, realm: str) -> float:
        return self._rank(realm) + (len(self._members) if realm in self.copies else 0)


class ClaimsAsACopy(Ownership):
    """It claims a realm whose charter another one knows, as soon as it is its turn."""

    def _turn(self, realm: str) -> float:
        return min(super()._turn(realm), self._rank(realm) if realm in self._named else inf)


class GrantsTwice(MemoryEngine):
    """A realm is given to whoever asks."""

    def claim(self, member: Member, floors: Mapping[str, int], ttl_ms: int) -> dict[str, Claimed]:
        for name in floors.keys() & self.realms.keys():
            self.realms[name] = evolve(self.realms[name], owner="")
        return super().claim(member, floors, ttl_ms)


class SameToken(MemoryEngine):
    """The next owner gets the token of the one before."""

    def claim(self, member: Member, floors: Mapping[str, int], ttl_ms: int) -> dict[str, Claimed]:
        got = super().claim(member, floors, ttl_ms)
        for name, claimed in got.items():
            self.realms[name] = evolve(self.realms[name], token=max(claimed.token - 1, 1))
        return {name: evolve(claimed, token=max(claimed.token - 1, 1)) for name, claimed in got.items()}


class NoFence(MemoryEngine):
    """Whoever once owned a realm may leave a charter."""

    def put(self, member: Member, realm: str, token: int, charter: Charter) -> bool:
        if realm not in self.realms or charter.number <= self.realms[realm].charter.number:
            return False
        self.realms[realm] = evolve(self.realms[realm], charter=charter)
        return True


class AnyOrder(MemoryEngine):
    """A charter that comes late takes the place of a later one."""

    def put(self, member: Member, realm: str, token: int, charter: Charter) -> bool:
        if not self._owns(member, realm, token):
            return False
        self.realms[realm] = evolve(self.realms[realm], charter=charter)
        return True


DEFECTS: dict[type, tuple[str, int]] = {
    NoDeadline: ("machine", 1),
    CountsFromTheAnswer: ("machine", 5),
    KeepsWhatIsAnothers: ("machine", 8),
    FirstOrNever: ("machine", 4),
    ForgetsTokens: ("machine", 1),
    NeverGives: ("machine", 1),
    NeverFollows: ("machine", 1),
    NumbersAnew: ("machine", 1),
    ClaimsWhatItDoesNotKeep: ("machine", 1),
    ClaimsAsACopy: ("machine", 33),
    GrantsTwice: ("engine_of", 3),
    SameToken: ("engine_of", 1),
    NoFence: ("engine_of", 3),
    AnyOrder: ("engine_of", 6),
}


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_a_planted_defect_is_caught(defect: type) -> None:
    part, first = DEFECTS[defect]
    planted: dict[str, Any] = {part: defect}
    with pytest.raises(Violation):  # noqa: PT012 (which day catches it changes with what is drawn)
        for seed in range(first, first + CAUGHT_WITHIN):
            simulate(seed, **planted)


# ------------------------------------------------------------------ alone


def machine(node: str = "a", **more: Any) -> Ownership:
    member = Member(f"{node}.1", node, f"ws://{node}")
    return Ownership(member=member, ttl_ms=TTL_MS, realms=lambda: ["loja-1"], floors={}, **more)


def test_an_engine_that_is_away_is_asked_for_a_beat_only_and_not_at_once() -> None:
    one = machine()
    assert isinstance(one.next(0), Beat)
    one.failed(10)
    wait = one.next(10)
    assert isinstance(wait, Wait)
    assert isinstance(one.next(10 + wait.ms), Beat)


def test_what_is_owned_ends_by_the_owners_own_clock() -> None:
    one = machine()
    beat = one.next(0)
    one.answered(beat, Standing([one.member], {"loja-1": Lease()}), 10)
    claim = one.next(20)
    assert claim == Claim(20, {"loja-1": 0})
    one.answered(claim, {"loja-1": Claimed(1, Charter())}, 3_000)
    assert one.owned(3_000) == {"loja-1": 1}
    assert one.owned(20 + 0.8 * TTL_MS) == {}, "counted from when it asked"


def test_what_an_owner_knows_is_left_before_the_realm_is_given_away() -> None:
    known, now = [b"a token"], [0.0]
    one, engine = (
        machine(wanted=lambda realm: known[0], complete=lambda realm, node: True),
        MemoryEngine(lambda: now[0]),
    )

    def asked() -> list[Question]:
        """All that is to be asked by now."""
        found: list[Question] = []
        while not isinstance(question := one.next(now[0]), Wait):
            found.append(question)
            one.answered(question, carry_out(engine, one.member, question, TTL_MS), now[0])
        return found

    assert [type(question) for question in asked()] == [Beat, Claim, Put]
    for name in "bcdefgh":
        engine.beat(Member(f"{name}.1", name, f"ws://{name}"), {}, (), TTL_MS)
    known[0], now[0] = b"another token", TTL_MS / 2
    assert [type(question) for question in asked()] == [Beat, Put, Release]
    assert engine.realms["loja-1"].charter.body == b"another token"
