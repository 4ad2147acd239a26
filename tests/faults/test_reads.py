"""The disk cannot be read: what needs it is told so, everybody else goes on, and it goes on when it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.rig import (
    ROUNDS,
    applied,
    failing,
    get,
    injected,
    orders,
    refused_start,
    said,
    seeded,
    strace,
    threads,
    trouble,
    until,
    verified,
)

if TYPE_CHECKING:
    from tests.faults.conftest import Store

FILES = ("comanda.db", "comanda.db-wal")
SMALL = "[limits]\nresident_entities = 10\nring_rows = 16\n"
"""Nearly everything has to be read from the disk."""


def test_a_read_that_fails_on_the_reader_threads_costs_only_what_needed_it(store: Store) -> None:
    rng, node = seeded("reads"), store.node(config=SMALL).start()
    till, other = store.till("a", node), store.till("b", node)
    till.writes(60, orders=30)
    hub_side = store.node("below", "--upstream", node.url, config=SMALL).start()
    until(lambda: len(orders(hub_side)) == 30, "a linked node")
    _, _, reader, people = threads(node)[:4]
    for n in range(ROUNDS):
        fault = f"pread64:error=EIO:when={rng.randrange(1, 4)}+"
        with (
            failing(node, fault, paths=FILES, thread=reader) as record,
            failing(node, fault, paths=FILES, thread=people),
        ):
            until(lambda: get(node, "/api/v1/entities/orders").status_code == 503, "a read that fails")
            answer = get(node, "/api/v1/entities/orders/a-o-3")
            assert answer.status_code == 503
            assert "cannot be read" in answer.json()["error"]
            # Not in memory: the last ten are. One or two may be read before the fault begins.
            cold = next(answer for order in range(20) if "code" in (answer := till.write(f"a-o-{order}")))
            assert (cold["type"], cold["code"]) == ("sync_error", 1011)
            assert "cannot read" in cold["error"]
            assert other.write(f"new-{n}")["type"] == "sync_confirmation", "what needs no read is stored"
            reason = trouble(node)
            assert reason is not None
            assert reason.startswith("the node works, but part of its database cannot be read")
            assert b"comanda_ready 0.0" in get(node, "/metrics").content
            assert injected(record)
        until(lambda: trouble(node) is None, "ready")
        till.again()
    late = store.till("late", node)
    late.write("late")
    until(lambda: orders(hub_side) == orders(node), "the same on both nodes")
    assert "a read failed" in said(node)
    confirmed = {**till.confirmed, **other.confirmed, **late.confirmed}
    for each in (node, hub_side):
        assert each.stop() == 0
        assert set(applied(each.data)) == set(confirmed)
        verified(each.data)


def test_one_failed_read_is_tried_again_and_nobody_notices(store: Store) -> None:
    rng, node = seeded("one read"), store.node(config=SMALL).start()
    till = store.till("a", node)
    till.writes(60, orders=30)
    for _ in range(ROUNDS):
        fault = f"pread64:error=EIO:when={rng.randrange(1, 5)}"
        with failing(node, fault, paths=FILES, thread=threads(node)[2]) as record:
            until(lambda: (till.write(f"a-o-{rng.randrange(30)}"), injected(record))[1], "the failed read")
        assert trouble(node) is None
    assert not till.errors
    assert "a read failed" not in said(node)
    assert node.stop() == 0
    verified(node.data)


def test_a_read_that_fails_on_the_writer_thread_refuses_the_commit_and_is_recovered_from(store: Store) -> None:
    rng, node = seeded("writer reads"), store.node(config=SMALL).start()
    till = store.till("a", node)
    till.writes(60, orders=30)
    assert node.stop() == 0
    node.start()
    for _ in range(ROUNDS):
        fault = f"pread64:error=EIO:when={rng.randrange(1, 4)}+"
        with failing(node, fault, paths=FILES, thread=threads(node)[1]) as record:
            for n in range(200):
                till.write(f"more-{n}")
                if injected(record):
                    break
        until(lambda: trouble(node) is None, "ready")
        till.again()
    said(node)
    assert node.stop() == 0
    assert set(applied(node.data)) == set(till.confirmed)
    verified(node.data)


def test_a_disk_that_cannot_be_read_at_the_start_is_named(store: Store) -> None:
    rng, node = seeded("boot"), store.node().start()
    till = store.till("a", node)
    till.writes(30)
    node.kill()
    for _ in range(ROUNDS):
        paths = [word for name in FILES for word in ("-P", str(node.data / name))]
        fault = f"inject=pread64:error=EIO:when={rng.randrange(1, 12)}+"
        wrap = (strace(), "-f", "-o", str(store.directory / "trace"), *paths, "-e", "trace=pread64", "-e", fault)
        message = refused_start(node, *wrap)
        assert "disk under it cannot be read" in message or "comanda.db: the disk" in message
    assert set(applied(node.data)) == set(till.confirmed)
    verified(node.data)
