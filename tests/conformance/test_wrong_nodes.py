"""A rule that cannot fail proves nothing: each of these wrong nodes is caught, and a right one is not."""

from __future__ import annotations

import pytest
import trio

from node.conformance.rule import RULES
from node.conformance.runner import FAILED, Outcome, try_rule
from node.conformance.subject import Subject
from tests.conformance.faults import FAULTS
from tests.conformance.nodes import held, told
from tests.conformance.proxy import HONEST, Fault, WrongNode
from tests.patience import PATIENCE_S

IMPATIENT_S = (1.0, 5.0, PATIENCE_S)
"""How long a rule waits for what a wrong node never sends; longer where a busy machine made it miss another."""
CAUGHT_BY = sorted({fault.rule for fault in FAULTS})


async def tried(node_port: int, fault: Fault, rule: str, patience: float) -> Outcome:
    async with trio.open_nursery() as nursery:
        port: int = await nursery.start(WrongNode(node_port, fault).serve)
        subject = Subject(f"ws://127.0.0.1:{port}", patience=patience, slow=max(patience, 5.0))
        outcome = await try_rule(subject, RULES[rule])
        nursery.cancel_scope.cancel()
    return outcome


@pytest.mark.walk(3)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_wrong_node_is_caught(fault: Fault, node_port: int) -> None:
    for patience in IMPATIENT_S:
        outcome = await tried(node_port, fault, fault.rule, patience)
        if fault.expects in outcome.expected:
            break
    assert outcome.state == FAILED, told(outcome)
    assert fault.expects in outcome.expected, told(outcome)


@pytest.mark.walk(3)
@pytest.mark.parametrize("rule", CAUGHT_BY)
async def test_the_same_node_without_the_fault_is_not(rule: str, node_port: int) -> None:
    outcome = await tried(node_port, HONEST, rule, PATIENCE_S)
    assert held(outcome), told(outcome)


@pytest.mark.parametrize("rule", ["frames.unmasked", "frames.opcode", "sizes.large_are_compressed"])
async def test_a_careless_websocket_is_caught(rule: str, node_port: int) -> None:
    """The proxy reads unmasked frames and odd opcodes, and does not compress."""
    outcome = await tried(node_port, HONEST, rule, IMPATIENT_S[0])
    assert outcome.state == FAILED, told(outcome)
