"""The targets by name. Each is called with bytes and raises where they do what they must not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from tests.fuzz.mutation import mutated, mutated_lines
from tests.fuzz.updates import Updates, Vectors

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence


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
    "update": Kind(Updates, mutated, False, 4_096, 1_500),
    "state_vector": Kind(Vectors, mutated, False, 512, 500),
}
