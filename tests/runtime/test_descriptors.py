"""As many files and sockets as the configured connections take, as far as the system lets a process have them."""

from __future__ import annotations

import resource

import pytest

from node.runtime.app import allow_descriptors

ENDLESS = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "becomes"),
    [
        (1_024, 4_096, 2_256),
        (1_024, ENDLESS, 2_256),
        (1_024, 2_000, 2_000),
        (1_024, 1_024, 1_024),
        (4_096, 4_096, None),
        (ENDLESS, ENDLESS, None),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may_and_is_needed(
    soft: int, hard: int, becomes: int | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    became: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: became.append(limits))
    allow_descriptors(2_256)
    assert became == ([] if becomes is None else [(becomes, hard)])
    assert ("the system allows" in caplog.text) is (becomes is not None and becomes < 2_256)
