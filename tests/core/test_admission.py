"""Who is let in, who is probed, and who is refused with which code."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from node.core import admission
from node.core.admission import PROBES, Admission, Arrival, Arrivals, Caller, Enter, Place, Probe, Refuse
from node.core.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Callable

CAIXA = Caller("caixa", "pos")


def hub(*, most: int = 10) -> Admission[str]:
    """Its holders are plain names."""
    return Admission(node_id="hub", kinds=("pos", "waiter"), nodes=(), most=most, statistics=Statistics(0))


def node(attempt: int = 1, *, name: str = "n1", instance: str = "a") -> Caller:
    return Caller(name, "node", node=True, instance=instance, attempt=attempt)


def probed(verdict: object) -> Probe[str]:
    assert isinstance(verdict, Probe)
    return verdict


# ---------------------------------------------------------------------- whose store


@pytest.mark.parametrize("named", ["", "loja-a", "loja-b", "loja-a ", None])
@pytest.mark.parametrize("here", ["", "loja-a"])
def test_only_who_comes_for_this_store_enters_and_the_others_are_counted(here: str, named: str | None) -> None:
    office = Admission[str](node_id="hub", realm=here, kinds=("pos",), nodes=(), most=10, statistics=Statistics(0))
    for caller in (evolve(CAIXA, realm=named), evolve(node(), realm=named)):
        verdict = office.ask(caller)
        if named in (here, None):
            assert isinstance(verdict, Enter)
        else:
            assert isinstance(verdict, Refuse)
            assert verdict.code == 4008
    assert office.statistics.realms_refused == (0 if named in (here, None) else 2)


def test_who_shows_no_token_hears_nothing_of_the_store() -> None:
    office = Admission[str](node_id="hub", realm="loja-a", kinds=(), nodes=(), most=10, statistics=Statistics(0))
    verdict = office.ask(evolve(node(), realm="loja-b", trusted=False))
    assert isinstance(verdict, Refuse)
    assert (verdict.code, "loja-a" in verdict.reason) == (4003, False)


# ---------------------------------------------------------------------- whoever is there


def test_a_free_name_is_entered() -> None:
    assert hub().ask(CAIXA) == Enter()


@pytest.mark.parametrize(
    ("caller", "code"),
    [
        (Caller("", "pos"), 4001),
        (Caller("caixa/1", "pos"), 4001),
        (Caller("x" * 129, "pos"), 4001),
        (Caller("caixa", "oven"), 4002),
        (Caller("caixa", "node"), 4002),
        (Caller("caixa", "pos", trusted=False), 4003),
        (Caller("n1", "node", node=True, trusted=False), 4003),
        (Caller("hub", "node", node=True), 4004),
    ],
)
def test_a_strange_caller_is_refused_with_the_documented_code(caller: Caller, code: int) -> None:
    verdict = hub().ask(caller)
    assert isinstance(verdict, Refuse)
    assert verdict.code == code
    assert verdict.own_id is (caller.name == "hub")


def test_of_several_faults_the_first_of_name_type_and_token_is_told() -> None:
    verdict = hub().ask(Caller("caixa/1", "oven", trusted=False))
    assert isinstance(verdict, Refuse)
    assert verdict.code == 4001


def test_a_new_terminal_is_refused_where_as_many_as_may_be_are_connected() -> None:
    full = hub(most=1)
    seat = full.take(CAIXA, "first")
    verdict = full.ask(Caller("ana", "waiter"))
    assert isinstance(verdict, Refuse)
    assert verdict.code == 4001
    assert isinstance(full.ask(CAIXA), Probe)
    full.leave(seat)
    assert full.ask(Caller("ana", "waiter")) == Enter()


# ---------------------------------------------------------------------- two under one name


def test_a_connection_that_answers_keeps_its_seat() -> None:
    here = hub()
    seat = here.take(CAIXA, "first")
    probe = probed(here.ask(CAIXA))
    assert probe.old is seat
    assert here.answered(probe) == Refuse(4004, "Terminal already connected", old=seat)


def test_everybody_who_waits_for_a_live_connection_is_refused() -> None:
    here = hub()
    here.take(CAIXA, "first")
    probes = [probed(here.ask(CAIXA)) for _ in range(3)]
    assert [here.answered(probe).code for probe in probes] == [4004] * 3


def test_a_connection_that_does_not_answer_is_replaced() -> None:
    here = hub()
    seat = here.take(CAIXA, "first")
    assert here.waited(probed(here.ask(CAIXA))) == Enter(seat)


def test_a_connection_that_ended_while_it_was_probed_leaves_its_seat_to_the_next() -> None:
    here = hub()
    seat = here.take(CAIXA, "first")
    probe = probed(here.ask(CAIXA))
    here.leave(seat)
    assert here.waited(probe) == Enter()


def test_whoever_took_the_seat_meanwhile_is_probed_as_well() -> None:
    here = hub()
    first = here.take(CAIXA, "first")
    second, third = probed(here.ask(CAIXA)), probed(here.ask(CAIXA))
    assert here.waited(second) == Enter(first)
    taken = here.take(CAIXA, "second")
    assert probed(here.waited(third)).old is taken


def test_after_so_many_probes_a_caller_is_refused() -> None:
    here = hub()
    here.take(CAIXA, "first")
    verdict = here.ask(CAIXA)
    for number in range(PROBES):
        probe = probed(verdict)
        here.take(CAIXA, f"another {number}")
        verdict = here.waited(probe)
    assert verdict == Refuse(4004, "Terminal already connected")


def test_an_ended_connection_does_not_take_the_seat_of_the_one_that_replaced_it() -> None:
    here = hub()
    first = here.take(CAIXA, "first")
    second = here.take(CAIXA, "second")
    here.leave(first)
    assert here.seats == {"caixa": second}


# ---------------------------------------------------------------------- nodes


def test_of_two_attempts_of_one_process_the_later_one_has_the_seat() -> None:
    here = hub()
    second = here.take(node(2), "second")
    assert here.ask(node(3)) == Enter(second)
    late = here.ask(node(1))
    assert isinstance(late, Refuse)
    assert late.code == 1000, "it is no fault: the other side has gone on"


def test_another_process_of_the_same_name_is_probed_and_the_one_that_is_there_is_told() -> None:
    here = hub()
    seat = here.take(node(2), "first")
    refusal = here.answered(probed(here.ask(node(9, instance="b"))))
    assert (refusal.code, refusal.old) == (4004, seat)
    assert refusal.notice is not None
    assert b"another node with the id n1 tried to link to hub" in refusal.notice


def test_a_node_that_names_no_process_is_probed() -> None:
    here = hub()
    here.take(node(1, instance=""), "first")
    assert isinstance(here.ask(node(2, instance="")), Probe)


def test_an_objection_changes_nothing_and_looks_at_no_seat() -> None:
    here = hub()
    here.take(CAIXA, "first")
    assert here.objection(CAIXA) is None
    assert list(here.seats) == ["caixa"]


# ---------------------------------------------------------------------- TCP connections


class Door:
    """Connections as they come, and who gave way."""

    def __init__(self, most: int, most_per_address: int = 1_000, shared: Callable[[str], bool] = lambda _: False):
        statistics = Statistics(started_ms=0)
        self.arrivals = Arrivals(most=most, most_per_address=most_per_address, statistics=statistics, shared=shared)
        self.gone: list[str] = []

    def come(self, address: str, name: str = "", *, known: bool = False) -> tuple[Arrival, Place]:
        arrival, place = self.arrivals.came(address, lambda: self.gone.append(name))
        if known:
            self.arrivals.is_known(place)
        return arrival, place


def test_connections_over_a_limit_are_told_so_then_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "REFUSED_AT_ONCE", 1)
    door = Door(most=2, most_per_address=5)
    came = [door.come("10.0.0.1", known=True)[0] for _ in range(4)]
    assert came == [Arrival.SERVED, Arrival.SERVED, Arrival.TOLD, Arrival.DROPPED]
    assert door.arrivals.statistics.connections_refused == 2


def test_one_address_does_not_take_the_places_of_all() -> None:
    door = Door(most=10, most_per_address=1)
    assert door.come("10.0.0.1", known=True)[0] is Arrival.SERVED
    assert door.come("10.0.0.1")[0] is Arrival.TOLD
    assert door.come("10.0.0.2")[0] is Arrival.SERVED


def test_strangers_shut_nobody_out_but_themselves() -> None:
    """Whatever they fill, who has a token gets a place; those who have shown theirs keep it."""
    door = Door(most=4)
    assert door.come("10.0.0.1", known=True)[0] is Arrival.SERVED
    for number in range(10):
        assert door.come("10.0.0.66", f"idle {number}")[0] is Arrival.SERVED
    assert door.gone == [f"idle {number}" for number in range(7)], "the oldest of those"
    for _ in range(3):
        assert door.come("10.0.0.2", known=True)[0] is Arrival.SERVED
    assert door.come("10.0.0.3")[0] is Arrival.TOLD
    assert len(door.gone) == 10
    assert door.arrivals.open - door.arrivals.told == 4


def test_a_newcomer_of_a_quiet_address_has_time_to_show_its_token() -> None:
    door = Door(most=4)
    door.come("10.0.0.1", "till")
    for _ in range(100):
        door.come("10.0.0.66", "idle")
    assert "till" not in door.gone


def test_an_address_that_is_full_of_strangers_gives_up_one_of_its_own() -> None:
    door = Door(most=100, most_per_address=2)
    door.come("10.0.0.2", "other")
    for number in range(4):
        assert door.come("10.0.0.1", f"idle {number}")[0] is Arrival.SERVED
    assert door.gone == ["idle 0", "idle 1"]


def test_clients_of_a_shared_address_count_for_their_own() -> None:
    door = Door(most=100, most_per_address=1, shared=lambda address: address == "10.0.0.9")
    places = [door.come("10.0.0.9")[1] for _ in range(3)]
    assert [door.arrivals.comes_from(place, f"192.0.2.{n}") for n, place in enumerate(places)] == [True] * 3
    door.arrivals.is_known(places[0])
    _, again = door.come("10.0.0.9")
    assert not door.arrivals.comes_from(again, "192.0.2.0")
    for place in (*places, again):
        door.arrivals.went(place)
    assert (door.arrivals.open, dict(door.arrivals.by_address), door.arrivals.strangers) == (0, {}, {})


@given(st.lists(st.tuples(st.sampled_from("ckwm"), st.integers(0, 8), st.integers(0, 3)), max_size=60))
def test_counts_are_those_of_the_connections_that_are_there(steps: list[tuple[str, int, int]]) -> None:
    door = Door(most=4, most_per_address=2)
    here: list[Place] = []
    for what, which, address in steps:
        place = here[which % len(here)] if here else None
        if what == "c" or place is None:
            here.append(door.come(f"10.0.0.{address}")[1])
        elif what == "k":
            door.arrivals.is_known(place)
        elif what == "w":
            door.arrivals.went(place)
        elif not place.told:
            door.arrivals.comes_from(place, f"10.0.0.{address}")
        there = [one for one in here if not one.left]
        served = [one for one in there if not one.told]
        assert door.arrivals.open == len(there)
        assert door.arrivals.by_address == Counter(one.address for one in served)
        assert {p for group in door.arrivals.strangers.values() for p in group} == {p for p in served if not p.known}
        assert len(served) <= 4
    for one in here:
        door.arrivals.went(one)
    assert (door.arrivals.open, door.arrivals.told, door.arrivals.strangers) == (0, 0, {})


def test_a_node_takes_the_seat_once_it_has_shown_who_it_is() -> None:
    """Until then whoever has it keeps it, and several may be waited for."""
    here = hub()
    first = here.take(node(1), "first")
    entered = [here.ask(node(2)), here.ask(node(3))]
    assert entered == [Enter(first)] * 2
    assert here.seats == {"n1": first}
    assert here.proven(node(3), Enter(first)) == Enter(first)
    third = here.take(node(3), "third")
    late = here.proven(node(2), Enter(first))
    assert isinstance(late, Refuse)
    assert late.code not in (4003, 4004)
    assert here.proven(node(4), Enter(first)) == Enter(third)


def test_of_two_processes_that_may_enter_the_first_that_shows_who_it_is_has_the_seat() -> None:
    here = hub()
    assert here.ask(node()) == here.ask(node(instance="b")) == Enter()
    assert here.proven(node(instance="b"), Enter()) == Enter()
    here.take(node(instance="b"), "copy")
    twin = here.proven(node(), Enter())
    assert isinstance(twin, Refuse)
    assert twin.code == 4004
