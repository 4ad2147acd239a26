"""Leases and fencing tokens, first the table alone, then through a terminal."""

from __future__ import annotations

import itertools

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from node.config.sections import LimitsSection
from node.core.locks.lease import Held, Lease
from node.core.locks.table import LockTable
from node.core.ports import Instant
from node.errors import InvalidMessage, LockTimeout, PermissionDenied
from tests.harness import Client, World, settle_all

KEY = ("orders", "o-1")


def at(ms: int) -> Instant:
    return Instant(1_000_000 + ms, ms)


def table() -> LockTable:
    numbers = itertools.count()
    limits = LimitsSection()
    leases_ms = limits.lease_ms_default, limits.lease_ms_max
    return LockTable("node-a", 1, 0, lambda: f"auto-{next(numbers)}", *leases_ms)


def test_who_gives_a_local_lease_back_leaves_the_authoritys_lease_that_was_behind_it_in_force(world: World) -> None:
    ana, bia, caio = (Client(world, name).connect() for name in ("pos-1", "pos-2", "pos-3"))
    table, now, key = world.core.replica.locks, world.now(), ("orders", "mesa-1")
    mine = table.acquire(key, "pos-1", "lock-1", 30_000, now, "local")
    assert isinstance(mine, Lease)
    table.adopt(evolve(mine, lock_id="lock-2", terminal="pos-2", authority="hub", scope="store"), now)
    table.release("pos-1", "lock-1", now)
    refused = caio.do("orders", "mesa-1", "CREATE", {"status": "pending"})
    assert (refused["type"], refused["locked_by"]) == ("sync_error", "pos-2")
    assert bia.do("orders", "mesa-1", "CREATE", {"status": "pending"})["status"] == "applied"
    assert ana.do("orders", "mesa-1", "UPDATE", {"status": "ready"})["type"] == "sync_error"


def test_a_lease_excludes_others_until_it_expires() -> None:
    locks = table()
    mine = locks.acquire(KEY, "ana", "l-1", 1_000, at(0))
    assert isinstance(mine, Lease)
    assert isinstance(locks.acquire(KEY, "bia", "l-2", 1_000, at(999)), Held)
    theirs = locks.acquire(KEY, "bia", "l-2", 1_000, at(1_000))
    assert isinstance(theirs, Lease)
    assert theirs.counter > mine.counter


def test_the_holder_extends_its_lease_and_keeps_its_token() -> None:
    locks = table()
    first = locks.acquire(KEY, "ana", "l-1", 1_000, at(0))
    second = locks.acquire(KEY, "ana", "l-1", 1_000, at(900))
    assert isinstance(first, Lease)
    assert isinstance(second, Lease)
    assert second.counter == first.counter
    assert locks.holder(KEY, at(1_500)) == second


def test_a_holder_whose_lease_was_taken_over_is_told_4009() -> None:
    locks = table()
    locks.acquire(KEY, "ana", "l-1", 100, at(0))
    locks.acquire(KEY, "bia", "l-2", 1_000, at(200))
    verdict = locks.check(KEY, "ana", None, at(300))
    assert isinstance(verdict, Held)
    assert verdict.taken_over
    with pytest.raises(LockTimeout):
        locks.release("ana", "l-1", at(300))


def test_expired_lease_cannot_write_with_its_old_token() -> None:
    locks = table()
    locks.acquire(KEY, "ana", "l-1", 100, at(0))
    locks.acquire(KEY, "bia", "l-2", 1_000, at(200))
    locks.release("bia", "l-2", at(300))
    with pytest.raises(LockTimeout):
        locks.check(KEY, "ana", "l-1", at(400))
    assert locks.check(KEY, "ana", None, at(400)) == "unlocked", "without a lock it claims nothing"


def test_an_expired_lease_nobody_took_over_lets_its_holder_write() -> None:
    locks = table()
    locks.acquire(KEY, "ana", "l-1", 100, at(0))
    assert locks.check(KEY, "ana", "l-1", at(5_000)) == "expired"
    assert locks.check(KEY, "bia", None, at(5_000)) == "unlocked"


def test_a_stranger_releases_nothing() -> None:
    locks = table()
    locks.acquire(KEY, "ana", "l-1", 1_000, at(0))
    with pytest.raises(PermissionDenied):
        locks.release("bia", "l-1", at(1))
    assert isinstance(locks.check(KEY, "bia", None, at(2)), Held)


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_lease_without_length_is_refused(timeout: int) -> None:
    with pytest.raises(InvalidMessage):
        table().acquire(KEY, "ana", "l-1", timeout, at(0))


def test_a_lease_is_never_longer_than_the_bound() -> None:
    lease = table().acquire(KEY, "ana", "l-1", 10**12, at(0))
    assert isinstance(lease, Lease)
    assert lease.timeout_ms == 600_000


def test_after_a_restart_a_lease_has_what_was_left_of_it_and_never_more_than_its_length() -> None:
    lease = table().acquire(KEY, "ana", "l-1", 1_000, at(0))
    assert isinstance(lease, Lease)
    later = LockTable.restore(table(), [lease.row()], Instant(1_000_600, 0))
    assert later.holder(KEY, Instant(1_000_600, 399)) is not None
    assert later.holder(KEY, Instant(1_000_600, 400)) is None
    clock_back = LockTable.restore(table(), [lease.row()], Instant(0, 0))
    assert clock_back.holder(KEY, Instant(0, 1_000)) is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 300), st.sampled_from(["acquire", "release"]))))
def test_nobody_holds_a_lock_together_and_tokens_only_grow(steps: list[tuple[str, int, str]]) -> None:
    locks, now, counter, holder, until = table(), 0, 0, None, 0
    for terminal, wait, what in steps:
        now += wait
        if what == "acquire":
            answer = locks.acquire(KEY, terminal, terminal, 200, at(now))
            if isinstance(answer, Lease):
                assert holder in (None, terminal) or now >= until
                assert answer.counter >= counter
                assert answer.counter > counter or holder == terminal
                counter, holder, until = answer.counter, terminal, now + 200
            else:
                assert holder != terminal
                assert now < until
        else:
            try:
                locks.release(terminal, terminal, at(now))
            except (LockTimeout, PermissionDenied):
                continue
            holder = None


# ------------------------------------------------------------------ through a terminal


def lock(client: Client, **extra: object) -> None:
    client.send(
        {"type": "acquire_lock", "entity_type": "orders", "entity_id": "o", "lock_id": f"l-{client.name}", **extra}
    )
    settle_all(client.world, [client])


def test_a_write_against_somebody_elses_lock_is_refused_kept_and_the_screen_put_right(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.do("orders", "o", "CREATE", {"status": "pending"})
    settle_all(world, [ana, bia])
    lock(ana, timeout=30_000)
    refused = bia.do("orders", "o", "UPDATE", {"status": "paid"})
    assert refused["error"] == "Could not acquire entity lock"
    assert (refused["locked_by"], refused["kept"]) == ("ana", True)
    assert bia.shown("orders")["o"]["status"] == "pending"
    kept = world.reader.audit(kinds=("refused",))
    assert b'"paid"' in kept[0].operation
    assert ana.do("orders", "o", "UPDATE", {"status": "preparing"})["status"] == "applied"


def test_a_lock_is_durable_before_it_is_granted_and_holds_over_a_restart(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "o", "lock_id": "l"})
    ana.receive()
    assert not ana.of("lock_acquired"), "nothing is granted before it is stored"
    settle_all(world, [ana, bia])
    assert ana.of("lock_acquired")[0]["lock_id"] == "l"
    world.crash()
    bia.connect()
    lock(bia)
    assert bia.of("lock_failed")[0]["locked_by"] == "ana"
    assert world.core.replica.locks.counter == 1


def test_a_refused_write_reaches_its_author_however_late_it_comes_back(world: World) -> None:
    ana, bia = Client(world, "ana").connect(), Client(world, "bia").connect()
    lock(ana)
    settle_all(world, [ana, bia])
    operation = bia.write("orders", "o", "UPDATE", {"status": "paid"})
    world.settle()
    bia.disconnect()
    bia.connect()
    settle_all(world, [ana, bia])
    assert bia.answer(operation)["type"] == "sync_error"


def test_one_terminal_cannot_take_all_leases() -> None:
    locks = table()
    locks.max_of_terminal = 3
    for number in range(3):
        locks.acquire(("orders", f"o-{number}"), "ana", None, 1_000, at(0))
    with pytest.raises(PermissionDenied, match="ana holds 3 locks"):
        locks.acquire(("orders", "o-3"), "ana", None, 1_000, at(1))
    assert isinstance(locks.acquire(("orders", "o-2"), "ana", None, 1_000, at(2)), Lease)  # it extends its own
    assert isinstance(locks.acquire(("orders", "o-3"), "bia", None, 1_000, at(2)), Lease)
    # What ran out, was given back or was taken over by another is not held.
    assert isinstance(locks.acquire(("orders", "o-4"), "ana", None, 1_000, at(1_001)), Lease)
    locks.acquire(("orders", "o-5"), "ana", "l-5", 1_000, at(1_001))
    with pytest.raises(PermissionDenied):
        locks.acquire(("orders", "o-6"), "ana", None, 1_000, at(1_001))
    locks.release("ana", "l-5", at(1_001))
    assert isinstance(locks.acquire(("orders", "o-6"), "ana", None, 1_000, at(1_001)), Lease)


def test_a_terminal_that_asks_for_too_many_locks_is_refused_and_keeps_those_it_has(world: World) -> None:
    world.core.replica.locks.max_of_terminal = 2
    ana, bia = Client(world, "pos-1").connect(), Client(world, "pos-2").connect()
    for number in range(4):
        ana.send(
            {"type": "acquire_lock", "entity_type": "orders", "entity_id": f"o-{number}", "lock_id": f"l-{number}"}
        )
    world.settle()
    ana.receive()
    assert [message["lock_id"] for message in ana.of("lock_acquired")] == ["l-0", "l-1"]
    assert [(m["code"], m["lock_id"], m["entity_id"]) for m in ana.of("sync_error")] == [
        (4008, "l-2", "o-2"),
        (4008, "l-3", "o-3"),
    ]
    assert bia.do("orders", "o-0", "CREATE", {"a": 1})["locked_by"] == "pos-1"
    assert bia.do("orders", "o-3", "CREATE", {"a": 1})["status"] == "applied"


def test_of_several_leases_of_one_terminal_all_are_known_after_a_restart(world: World) -> None:
    ana, bia = Client(world, "pos-1").connect(), Client(world, "pos-2").connect()
    for number in range(3):
        ana.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": f"o-{number}", "timeout": 60_000})
    world.settle()
    world.crash()
    ana, bia = Client(world, "pos-1").connect(), Client(world, "pos-2").connect()
    for number in range(3):
        assert bia.do("orders", f"o-{number}", "CREATE", {"a": 1})["locked_by"] == "pos-1"
        assert ana.do("orders", f"o-{number}", "CREATE", {"a": 1})["status"] == "applied"
