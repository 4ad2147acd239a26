"""Several devices under one terminal id are noticed once one of them comes back."""

from __future__ import annotations

import pytest

from node.core.sessions.devices import ALIKE, MOST, Devices


@pytest.mark.parametrize(
    ("turns", "everything"),
    [
        ("aaaa", "...."),
        ("ab", ".."),
        ("abb", "..."),
        ("abcd", "...."),
        ("aba", "..x"),
        ("abab", "..xx"),
        ("abbaa", "...x."),
        ("abcab", "...xx"),
        ("abad", "..xx"),
    ],
)
def test_whoever_takes_over_is_sent_everything_once_two_are_known(turns: str, everything: str) -> None:
    devices = Devices()
    assert "".join(".x"[devices.came("till", device)] for device in turns) == everything
    assert bool(devices.shared) is ("x" in everything)


def test_one_that_is_refused_beside_another_shows_it_at_once() -> None:
    devices = Devices()
    devices.came("till", "a")
    devices.refused("till", "a")  # its own connection, which it took for dead
    assert devices.shared == {}
    assert not devices.came("till", "a")
    devices.refused("till", "b")
    assert devices.shared == {"till": ("a", "b")}
    assert devices.came("till", "b")


def test_another_terminal_of_the_same_device_is_another_terminal() -> None:
    devices = Devices()
    for name in ("till-1", "till-2", "till-1", "till-2"):
        assert not devices.came(name, "a")
    assert devices.shared == {}


def test_the_latest_terminals_are_remembered() -> None:
    devices = Devices()
    for device in "aba":
        devices.came("first", device)
    for number in range(MOST):
        devices.came(f"t-{number}", "a")
    assert devices.shared == {}


def test_two_that_look_alike_are_noticed_while_both_are_there_and_each_gets_everything() -> None:
    devices = Devices()
    devices.came("till", "a")
    for _ in range(ALIKE):
        assert devices.shared == {}
        devices.refused("till", "a")
    assert devices.shared == {"till": ("a", "a (another one)")}
    assert devices.came("till", "a")
    assert devices.came("till", "a")
    assert not devices.came("another", "a")
