"""`[node] machine = "small"`: no limit is above what such a machine carries, and what is less stays."""

from __future__ import annotations

import pytest

from node.config.example import example_toml
from node.config.reading import parse
from node.config.sections import SMALL, Config, LimitsSection
from node.errors import ConfigError


@pytest.mark.parametrize("text", ["[node]\n", example_toml()])
def test_a_small_machine_lowers_what_the_file_says_too(text: str) -> None:
    said = text.replace('machine = "standard"\n', "").replace("[node]\n", '[node]\nmachine = "small"\n', 1)
    config = parse(said)
    assert config.small
    for name, most in SMALL.items():
        assert getattr(config.limits, name) == most < getattr(LimitsSection(), name)
    rest = {name for name in LimitsSection.__slots__ if not name.startswith("_")} - SMALL.keys()
    assert all(getattr(config.limits, name) == getattr(LimitsSection(), name) for name in rest)


def test_what_is_less_stays() -> None:
    config = parse('[node]\nmachine = "small"\n[limits]\nring_rows = 7\n')
    assert config.limits.ring_rows == 7


def test_a_machine_is_standard_or_small() -> None:
    assert not Config().check().small
    with pytest.raises(ConfigError, match="machine 'tiny' is none of standard, small"):
        parse('[node]\nmachine = "tiny"\n')
