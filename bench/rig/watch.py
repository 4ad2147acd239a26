"""What something costs a node, and what a bystander felt meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from attrs import frozen

from bench.rig.bystander import TERMINAL
from bench.rig.load import percentiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.rig.node_process import NodeProcess

BYSTANDER = TERMINAL
RATE = 10.0
"""Operations of the bystander a second."""

SETTLE_S = 0.5
"""The bystander alone, before what is measured begins."""


@frozen
class Felt:
    """Of the bystander's operations: how many, the longest wait and its 99th percentile, and the most CPU that the
    node spent between one of them and its confirmation. In ms."""

    operations: int
    longest: float
    p99: float
    cpu: float

    def said(self) -> str:
        return f"{self.longest:.0f} / {self.p99:.0f} / {self.cpu:.0f}"


@frozen
class Cost:
    """cpu_s: of the node for one time, without what the bystander cost it. wall_s: of one time."""

    cpu_s: float
    wall_s: float
    felt: Felt


class Watch:
    """A running node and the bystander beside it, which writes `rate` operations a second to some of the orders.

    operation_s, idle: CPU seconds of one operation of the bystander, and of the node in a second without any.
    """

    def __init__(self, node: NodeProcess, orders: int, rate: float = RATE) -> None:
        self.node, self.orders, self.rate = node, orders, rate
        self.operation_s = self.idle = 0.0
        self._first = 0

    def calibrate(self, seconds: float) -> Cost:
        """The bystander alone: what its operations cost, and what it feels when nothing is asked."""
        used = self.node.cpu_s()
        time.sleep(seconds)
        self.idle = (self.node.cpu_s() - used) / seconds
        cost = self.cost(lambda: time.sleep(seconds))
        self.operation_s = max(cost.cpu_s / max(cost.felt.operations, 1), 0.0)
        return Cost(self.operation_s, cost.wall_s, cost.felt)

    def cost(self, act: Callable[[], object], at_least_s: float = 0.0) -> Cost:
        """Do it, again and again for so long, beside the bystander."""
        command = [sys.executable, "-m", "bench.rig.bystander", "--url", self.node.url, "--pid", str(self.node.pid)]
        command += ["--rate", str(self.rate), "--orders", str(self.orders), "--first", str(self._first)]
        bystander = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert bystander.stdout is not None
        try:
            bystander.stdout.readline()  # it is connected
            time.sleep(SETTLE_S)
            begun, used, times = time.perf_counter(), self.node.cpu_s(), 0
            while not times or time.perf_counter() - begun < at_least_s:
                act()
                times += 1
            ended, used = time.perf_counter(), self.node.cpu_s() - used
        finally:
            printed = bystander.communicate()[0]
        if bystander.returncode:
            raise RuntimeError("the bystander was not served")
        samples: list[tuple[float, float, float]] = json.loads(printed)
        self._first += len(samples)
        within = [(wait, cpu) for at, wait, cpu in samples if at + wait >= begun and at <= ended]
        waits = percentiles([wait for wait, _ in within])
        felt = Felt(len(within), waits["max"], waits["p99"], 1000 * max((cpu for _, cpu in within), default=0.0))
        own = self.idle * (ended - begun) + self.operation_s * len(within)
        return Cost(max(used - own, 0.0) / times, (ended - begun) / times, felt)
