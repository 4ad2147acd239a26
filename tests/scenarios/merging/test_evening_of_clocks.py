"""Evenings of terminals whose clocks lie, drift and are set, against a model that knows the true times.

Nobody confirms, so nobody has seen what others write: of each order the note that was truly written last is shown.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field

from crdt import hlc
from tests.harness import Client, World, settle_all
from tests.scenarios.seeds import FEW_SEEDS

if TYPE_CHECKING:
    from pathlib import Path

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
LIES = (0, 0, 1_000, 90_000, -10 * MINUTE, 10 * MINUTE, -3 * HOUR, DAY, -DAY, -40 * 365 * DAY)
TABLES = ("mesa-1", "mesa-2")
CLOSE_MS = 5_000
"""Who wrote within this of each other wrote at the same time, as far as clocks tell."""


@define(eq=False)
class Tablet:
    """ahead_ms, drift: its clock. queue: written without a connection."""

    client: Client
    ahead_ms: int
    drift: int
    pinged_ms: int = 0
    queue: list[dict[str, Any]] = field(factory=list)

    def shows(self) -> str:
        world = self.client.world
        return hlc.iso(world.wall_ms + self.ahead_ms + world.mono_ms * self.drift // 1_000_000)

    @property
    def here(self) -> bool:
        return self.client.session is not None


@define(eq=False)
class Evening:
    """written: table -> (true time, terminal, note)."""

    world: World
    rng: random.Random
    tablets: list[Tablet] = field(factory=list)
    written: dict[str, list[tuple[int, str, str]]] = field(factory=dict)

    def pass_time(self, ms: int) -> None:
        """Everybody who is connected pings every 30 s."""
        until = self.world.wall_ms + ms
        while self.world.wall_ms < until:
            self.world.advance(min(1_000, until - self.world.wall_ms))
            for tablet in self.tablets:
                if tablet.here and self.world.mono_ms - tablet.pinged_ms >= 30_000:
                    tablet.pinged_ms = self.world.mono_ms
                    tablet.client.send({"type": "ping", "timestamp": tablet.shows()})

    def write(self, tablet: Tablet) -> None:
        table, note = self.rng.choice(TABLES), f"n-{self.rng.getrandbits(40):x}"
        operation = tablet.client.operation("orders", table, "UPDATE", {"note": note}, timestamp=tablet.shows())
        self.written.setdefault(table, []).append((self.world.wall_ms, tablet.client.name, note))
        if tablet.here:
            tablet.client.submit(operation)
        else:
            tablet.queue.append(operation)

    def come(self, tablet: Tablet) -> None:
        tablet.client.connect()
        tablet.pinged_ms = self.world.mono_ms
        for operation in tablet.queue:
            tablet.client.submit(operation)
        tablet.queue.clear()

    def step(self) -> None:
        tablet = self.rng.choice(self.tablets)
        what = self.rng.random()
        if what < 0.6:
            self.write(tablet)
        elif what < 0.75 and tablet.here:
            tablet.client.disconnect()
        elif what < 0.9 and not tablet.here:
            self.come(tablet)
        elif tablet.here:  # its clock is set, and nobody writes on it for a minute
            tablet.ahead_ms = self.rng.choice(LIES)
            self.pass_time(61_000)
        self.pass_time(int(self.rng.expovariate(1 / 45_000)))

    def end(self) -> None:
        for tablet in self.tablets:
            if not tablet.here:
                self.come(tablet)
        settle_all(self.world, [tablet.client for tablet in self.tablets])


@pytest.mark.parametrize("seed", FEW_SEEDS)
def test_what_was_truly_written_last_is_shown(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    evening = Evening(World(tmp_path / "node"), rng)
    for name in ("ana", "bia", "ciro"):
        client = Client(evening.world, name, confirms=False, pongs=False).connect()
        evening.tablets.append(Tablet(client, rng.choice(LIES), rng.choice([0, 0, 50, -50])))
    evening.pass_time(MINUTE)
    for _ in range(40):
        evening.step()
    evening.end()
    shown = evening.world.view("orders")
    for table, written in evening.written.items():
        last, author, note = max(written)
        close = {n for at, other, n in written if last - at < CLOSE_MS and other != author}
        assert shown[table]["note"] in {note, *close}, (seed, table)
    evening.world.close()
