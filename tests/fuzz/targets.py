"""The targets by name. Each is called with bytes and raises where they do what they must not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import frozen

from tests.fuzz.cores import Links, Terminals
from tests.fuzz.heads import Heads
from tests.fuzz.messages import LinkMessages, Messages
from tests.fuzz.mutation import mutated, mutated_heads, mutated_json, mutated_lines, mutated_steps
from tests.fuzz.records import Records
from tests.fuzz.updates import Updates, Vectors


class Target(Protocol):
    def __call__(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    @staticmethod
    def seeds() -> list[bytes]:
        """What mutations begin with."""
        ...


@frozen
class Kind:
    """longest: bytes of an input in a long run. everyday: how many mutations the everyday test makes."""

    target: Callable[[], Target]
    mutate: Callable[[random.Random, bytes, Sequence[bytes]], bytes]
    mutate_in_long_runs: bool
    longest: int
    everyday: int


TARGETS: dict[str, Kind] = {
    "update": Kind(Updates, mutated, False, 4_096, 2_000),
    "state_vector": Kind(Vectors, mutated, False, 512, 750),
    "message": Kind(Messages, mutated_json, True, 8_192, 4_000),
    "link_message": Kind(LinkMessages, mutated_json, True, 16_384, 3_000),
    "terminal": Kind(Terminals, mutated_lines, True, 16_384, 250),
    "link": Kind(Links, mutated_lines, True, 32_768, 250),
    "records": Kind(Records, mutated_steps, True, 16_384, 60),
    "head": Kind(Heads, mutated_heads, True, 4_096, 150),
}
