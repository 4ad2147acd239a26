"""Each defect is caught: with it in the node, its seed reports a violation, or the test that is named for it fails.

Defects of rare branches are planted beside their scenarios (tests/scenarios/failures/test_holes.py).
"""

from __future__ import annotations

from functools import cache

import pytest

from node.simulation.runner import one
from tests.processes import ROOT
from tests.simulation.beside import SCENARIOS
from tests.simulation.defects import DEFECTS, caught
from tests.simulation.hole_defects import HOLES
from tests.simulation.replayed import parts
from tests.simulation.search import violation
from tests.simulation.slips import defect
from tests.slices import VARIABLE


@cache
def problem_without_defects(seed: int) -> str | None:
    return one(seed).problem


@pytest.mark.walk(parts(caught()))
@pytest.mark.parametrize("name", [name for name in DEFECTS if name in caught()])
def test_a_defect_in_the_node_breaks_an_invariant_of_its_seed(name: str) -> None:
    seed = caught()[name]
    again = "if the simulator draws otherwise now, see python -m tests.simulation.defects --help"
    assert violation(seed, [DEFECTS[name]]) is not None, f"seed {seed} does not catch {name}; {again}"
    assert problem_without_defects(seed) is None


@pytest.mark.walk(parts(SCENARIOS))
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_defect_in_the_node_breaks_the_test_that_is_named_for_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "all")
    with DEFECTS[name].present():
        ended = pytest.main(["-q", "-x", "-p", "no:cacheprovider", str(ROOT / SCENARIOS[name])])
    assert ended == pytest.ExitCode.TESTS_FAILED


def test_every_defect_has_a_seed_or_a_test() -> None:
    assert {*caught(), *SCENARIOS, *(hole.name for hole in HOLES)} == {*DEFECTS}
    assert not {*caught()} & {*SCENARIOS}


def test_every_test_that_is_named_for_a_defect_exists() -> None:
    """Most are not played again in a run; one that was renamed, or is of an engine that is not here, shows here."""
    named = sorted({str(ROOT / test) for test in SCENARIOS.values()})
    assert pytest.main(["-q", "--collect-only", "-p", "no:cacheprovider", *named]) == pytest.ExitCode.OK


def test_every_defect_of_the_table_fits_the_code_and_is_gone_afterwards() -> None:
    for found in DEFECTS.values():
        with found.present():
            pass
    assert problem_without_defects(1) is None


def test_a_slip_in_code_that_was_rewritten_since_is_an_error() -> None:
    stale = defect("stale", "", ("crdt.hlc:pack", "words that are not there", ""))
    with pytest.raises(LookupError, match="0 times"), stale.present():
        pass


def test_a_slip_reaches_whoever_imported_the_function() -> None:
    from crdt.hlc import pack

    with defect("shifted", "", ("crdt.hlc:pack", "COUNTER_BITS", "COUNTER_BITS + 1")).present():
        assert pack(1) == 1 << 17
    assert pack(1) == 1 << 16
