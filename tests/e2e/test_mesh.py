"""Real nodes in random topologies, over links that fail, with kill -9 among them: they agree, and lose nothing.

COMANDA_MESHES evenings from seed COMANDA_SEED on; the long run is the same with a bigger number.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import trio
from click.testing import CliRunner

from node.cli import main
from storage.sqlite.reader import Reader
from tests.e2e.evening import Evening

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.terminal import Grant
    from tests.processes import NodeProcess

MESHES = int(os.environ.get("COMANDA_MESHES", "1"))
FIRST = int(os.environ.get("COMANDA_SEED", "7"))
TOLD = 60
"""Steps of the story that are printed when it ended badly."""

BAD_LINE = re.compile(r"Traceback|\b(ERROR|CRITICAL) |new epoch")
"""What no node may log here: nothing is broken, and no log was rolled back."""


@pytest.mark.parametrize("seed", range(FIRST, FIRST + MESHES))
async def test_nodes_over_failing_links_agree_and_lose_nothing_confirmed(tmp_path: Path, seed: int) -> None:
    evening = Evening(tmp_path, seed)
    try:
        async with trio.open_nursery() as nursery:
            await evening.run(nursery)
            await evening.agree(nursery)
            await promises_were_kept(evening)
            evening.note("stopping")
            assert await evening.stop() == [0] * len(evening.nodes), "a node did not stop cleanly"
            nursery.cancel_scope.cancel()
        logs_are_the_same(evening.nodes)
        for node in evening.nodes:
            bad = [line for line in node.said().splitlines() if BAD_LINE.search(line)]
            assert not bad, f"{node.data.name} logged: {bad}"
    except BaseException:
        tell(evening, seed)
        (tmp_path / "journal.txt").write_text(evening.journals())
        raise
    finally:
        await evening.close()
        (tmp_path / "story.txt").write_text("\n".join(evening.story))


async def promises_were_kept(evening: Evening) -> None:
    """What terminals were told holds on every node; nothing they were told should not have been said."""
    wrong = [f"{terminal.name}: {said}" for terminal in evening.terminals for said in terminal.wrong]
    assert not wrong, wrong
    confirmed = [message for terminal in evening.terminals for message in terminal.confirmed]
    kept = {place for terminal in evening.terminals for place in terminal.kept}
    for number, node in enumerate(evening.nodes):
        held = {entry["operation_id"]: entry for entry in await evening.audit(number)}
        lost = {message["operation_id"] for message in confirmed} - held.keys()
        assert not lost, f"confirmed, and not in the audit of {node.data.name}: {sorted(lost)}"
        refused = {entry["operation_id"] for entry in await evening.entries(number, "refused")}
        gone = {operation_id for name, operation_id in kept if name == node.data.name} - refused
        assert not gone, f"refused by {node.data.name}, and not kept: {sorted(gone)}"
        report = await evening.get(number, "links")
        assert report["epoch"] == evening.epochs[number], f"{node.data.name} thinks that it was rolled back"
        assert not report["twins"], f"{node.data.name} saw its double: {report['twins']}"
    state = await evening.state(0)
    for message in confirmed:
        entry = held[message["operation_id"]]
        versions = message.get("versions") or {entry["entity_id"]: message["version"]}
        for entity_id, version in versions.items():
            now = state[entry["entity_type"]][entity_id]["version"] if entity_id is not None else version
            assert now >= version, f"{entity_id} is at {now}, and was confirmed at version {version}: {message}"
    leases_were_exclusive([grant for terminal in evening.terminals for grant in terminal.grants])


def leases_were_exclusive(grants: list[Grant]) -> None:
    """One fencing token names one lease, later leases on an entity have larger ones, and a lease that counts in the
    whole store excludes all others of its authority."""
    for one, other in itertools.permutations(grants, 2):
        same = (one.terminal, one.key) == (other.terminal, other.key)
        if one.authority == other.authority:
            assert same or one.counter != other.counter, f"one token for two leases: {one} {other}"
            if one.key == other.key and one.got < other.asked and not other.cut_off:
                assert one.counter <= other.counter, f"the later lease has the smaller token: {one} {other}"
        alike = one.authority[0] == other.authority[0] and one.scope == other.scope == "store"
        if alike and one.key == other.key and one.terminal != other.terminal:
            both = max(one.got, other.got) < min(one.until, other.until)
            assert not both, f"two terminals held one lock: {one} {other}"


def logs_are_the_same(nodes: list[NodeProcess]) -> None:
    """Read from the databases of stopped nodes: whole operations with their origins, once each; chains unbroken."""
    first: set[tuple[object, ...]] | None = None
    for node in nodes:
        name = node.data.name
        checked = CliRunner().invoke(main, ["audit", "verify", "--data", str(node.data)])
        assert checked.exit_code == 0, f"{name}: {checked.output}"
        reader = Reader(node.data / "comanda.db")
        rows = reader.audit(limit=1_000_000, kinds=("operation",))
        reader.close()
        accepted = Counter((row.operation_id, row.origin) for row in rows)
        twice = [key for key, times in accepted.items() if times > 1]
        assert not twice, f"{name} holds operations twice: {twice}"
        held = {
            (r.operation_id, r.origin, r.link_key, r.terminal_id, r.user_id, r.stamp, r.accepted, r.operation)
            for r in rows
        }
        first = held if first is None else first
        assert held == first, f"the logs of {nodes[0].data.name} and {name} differ by {held ^ first}"


def tell(evening: Evening, seed: int) -> None:
    """How it came to this, and how to have it again."""
    print(f"seed {seed}: COMANDA_MESHES=1 COMANDA_SEED={seed} python -m pytest tests/e2e/test_mesh.py")
    head, steps = evening.story[:2], evening.story[2:]
    print(*head, f"... {max(len(steps) - TOLD, 0)} steps", *steps[-TOLD:], sep="\n")
    for node in evening.nodes:
        if node.log.exists() and (log := node.said()):
            print(f"--- {node.log}", log[-4_000:], sep="\n")
