"""The examples of the clients' READMEs, as they are printed: every order is on the kitchen's screen, once."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.client.door import Door, dropping, unchanged
from tests.client.examples import JAVASCRIPT, PYTHON, Language, Program, examples_of
from tests.patience import http_get
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from pathlib import Path

    import trio

DISHES = ("feijoada", "moqueca", "caldo", "tapioca", "pirão", "vatapá", "acarajé")


@pytest.mark.parametrize("language", [PYTHON, JAVASCRIPT], ids=lambda language: language.name)
@pytest.mark.parametrize("example", ["waiter", "kitchen"])
def test_an_example_has_twenty_lines(language: Language, example: str) -> None:
    source = examples_of(language.readme)[f"{example}.{language.ending}"]
    assert 10 <= len([line for line in source.splitlines() if line]) <= 20


def on_screen(lines: list[str]) -> dict[str, list[dict[str, Any]]]:
    """What the kitchen's screen shows."""
    return json.loads(lines[-1])["pedidos"] if lines else {}


@pytest.mark.parametrize("language", [PYTHON, JAVASCRIPT], ids=lambda language: language.name)
async def test_every_order_is_on_the_kitchens_screen_once(
    tmp_path: Path, nursery: trio.Nursery, language: Language
) -> None:
    """The node is killed, the cable out for an hour, and the waiter's machine restarted in the middle of a send."""
    node = NodeProcess(tmp_path / "data").start()
    door = Door(node.port)
    await nursery.start(door.serve)
    waiter_of = (language, "waiter", f"ws://127.0.0.1:{door.port}", str(tmp_path / "waiter.store"))
    kitchen = await Program.start(nursery, tmp_path, language, "kitchen", node.url)
    waiter = await Program.start(nursery, tmp_path, *waiter_of)
    written = iter(enumerate(DISHES, 1))

    async def order() -> None:
        await waiter.type("{} {}".format(*next(written)))

    await order()
    await order()
    await kitchen.until(lambda lines: len(on_screen(lines)) == 2)

    node.kill()
    await order()
    node.start()
    await kitchen.until(lambda lines: len(on_screen(lines)) == 3)

    door.silent = True  # the cable is out
    door.freeze()
    await order()
    tried = door.tried
    await waiter.hour()
    assert door.tried >= tried + 60, "it dials, at least once a minute"
    await order()
    door.silent = False
    await kitchen.until(lambda lines: len(on_screen(lines)) == 5)

    door.to_node = dropping("data_sync")  # it sends, and is switched off before anything arrives
    sent = door.sent["data_sync"]
    await order()
    await order()
    await door.until(lambda: door.sent["data_sync"] >= sent + 1)
    await waiter.kill()
    door.to_node = unchanged
    waiter = await Program.start(nursery, tmp_path, *waiter_of)
    await waiter.leave()
    assert waiter.said == ["tudo entregue"]
    await kitchen.until(lambda lines: len(on_screen(lines)) == len(DISHES))

    wanted = {f"mesa-{number}": [dish] for number, dish in enumerate(DISHES, 1)}
    shown = on_screen(kitchen.said)
    assert {name: [item["name"] for item in items] for name, items in shown.items()} == wanted
    http = f"http://127.0.0.1:{node.port}"
    entries = http_get(f"{http}/api/v1/audit?limit=100").json()["entries"]
    assert Counter(entry["entity_id"] for entry in entries) == Counter(wanted.keys())
    await kitchen.kill()
    node.end()


async def test_the_example_of_a_test_passes(tmp_path: Path, autojump_clock: object) -> None:
    printed: dict[str, Any] = {}
    exec(examples_of(PYTHON.readme)["test_waiter.py"], printed)
    (test,) = [value for name, value in printed.items() if name.startswith("test_")]
    await test(tmp_path, autojump_clock)
