"""`comanda serve`: which configuration it takes, and that it says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from node.cli import main
from node.runtime import app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from node.config.sections import Config


@pytest.fixture
def taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The configurations that nodes were started with. No node runs."""
    configs: list[Config] = []

    async def serve(config: Config, started: Callable[[app.Started], None]) -> None:
        configs.append(config)
        started(app.Started("n", ["ws://x"], False))

    monkeypatch.setattr(app, "serve", serve)
    monkeypatch.chdir(tmp_path)
    return configs


def _serve(*flags: str) -> list[str]:
    result = CliRunner().invoke(main, ["serve", *flags])
    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_without_a_file_it_says_in_one_line_what_is_not_protected(taken: list[Config]) -> None:
    address, said = _serve()
    assert address.startswith("n ws://x")
    for words in ("sem comanda.toml", "pago", "no comanda.toml", "a paid order may go back", "comanda init"):
        assert words in said
    assert taken[0].entities == {}


def test_what_init_writes_is_taken_and_named(taken: list[Config], tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["init"]).exit_code == 0
    _, said = _serve()
    assert said == "configuração / configuration: comanda.toml"
    orders = taken[0].registry().get("orders")
    assert orders is not None
    assert orders.kinds.finals == ["status"]


@pytest.mark.parametrize("flags", [(), ("--data", "dados")])
def test_the_file_of_the_data_directory_is_taken_where_the_current_one_has_none(
    taken: list[Config], tmp_path: Path, flags: tuple[str, ...]
) -> None:
    data = tmp_path / (flags[1] if flags else "comanda-data")
    data.mkdir()
    (data / "comanda.toml").write_text("[node]\nport = 7001\n")
    assert _serve(*flags)[1].endswith(f"{data.name}/comanda.toml")
    (tmp_path / "comanda.toml").write_text("[node]\nport = 7002\n")
    assert _serve(*flags)[1].endswith(": comanda.toml")
    (tmp_path / "own.toml").write_text("[node]\nport = 7003\n")
    assert _serve(*flags, "--config", "own.toml")[1].endswith(": own.toml")
    assert [config.node.port for config in taken] == [7001, 7002, 7003]
