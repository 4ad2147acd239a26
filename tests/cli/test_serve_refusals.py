"""A node that cannot start says why in one sentence, whatever it was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from click.testing import CliRunner

from node.cli import main
from node.cli.serve import _cannot_start
from node.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

ADDRESSES = (
    "",
    "hub",
    "hub:8001",
    "https://hub:8001/x",
    "wss://hub:8001/ws",
    "ws://",
    "ws://:8001",
    "ws://hub:0",
    "ws://hub:99999",
    "ws://hub:port",
    "ws://hub:8001/ws",
    "ws://hub:8001?x=1",
    "ws://[::1",
    "ws://[hub]:8001",
    "ws://pão:8001",
    "ws://hub\n:8001",
    "x" * 5_000,
)


@pytest.fixture(autouse=True)
def _no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def starts(*_: object) -> None:
        raise AssertionError("it starts")

    monkeypatch.setattr(trio, "run", starts)


@pytest.mark.parametrize("flag", ["--upstream", "--peer"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_a_bad_address_is_one_sentence_and_status_2(tmp_path: Path, flag: str, address: str) -> None:
    result = CliRunner().invoke(main, ["serve", "--port", "0", "--data", str(tmp_path / "data"), flag, address])
    assert result.exit_code == 2
    assert result.output.startswith("Error: ")
    assert len(result.output) < 500
    assert result.output.count("\n") == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "settings",
    [
        '[time]\nzone = "Mars/Olympus"',
        '[time]\nzone = "../../etc/passwd"',
        '[time]\nzone = ""',
        "[time]\nidle_ping_s = 1",
    ],
)
def test_a_bad_setting_is_one_sentence_and_status_2(tmp_path: Path, settings: str) -> None:
    (tmp_path / "c.toml").write_text(settings)
    result = CliRunner().invoke(
        main, ["serve", "--config", str(tmp_path / "c.toml"), "--data", str(tmp_path / "data")]
    )
    assert (result.exit_code, result.output.count("\n")) == (2, 1), result.output


def test_an_error_in_the_middle_of_a_start_is_one_sentence_too() -> None:
    group = ExceptionGroup("nursery", [ExceptionGroup("nursery", [ConfigError("no such thing")])])
    assert str(_cannot_start(group, "localhost:1")) == "no such thing"
    odd = ExceptionGroup("nursery", [KeyError("ours"), ConfigError("x")])
    assert _cannot_start(odd, "localhost:1") is odd
