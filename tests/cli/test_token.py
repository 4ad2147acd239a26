"""`comanda token`: made, listed and revoked while the node is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from node.cli import main

if TYPE_CHECKING:
    from pathlib import Path


def token(data: Path, *arguments: str) -> str:
    result = CliRunner().invoke(main, ["token", arguments[0], "--data", str(data), *arguments[1:]])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_token_is_shown_once_and_then_only_its_state(tmp_path: Path) -> None:
    secret = token(tmp_path, "add", "pos-1", "--type", "pos", "--label", "balcão").strip()
    assert len(secret) > 30
    listed = token(tmp_path, "list")
    assert secret not in listed
    assert [listed.split()[n] for n in (0, 1, 3, 4)] == ["pos-1", "pos", "live", "balcão"]


def test_all_tokens_of_a_terminal_are_revoked_together(tmp_path: Path) -> None:
    for terminal in ("pos-1", "pos-1", "kds-1"):
        token(tmp_path, "add", terminal, "--type", "pos")
    assert token(tmp_path, "revoke", "pos-1") == "2 revogado(s) / revoked\n"
    assert token(tmp_path, "revoke", "pos-1") == "0 revogado(s) / revoked\n"
    listed = token(tmp_path, "list").splitlines()
    assert [("revoked " in line) for line in sorted(listed)] == [False, True, True]


def test_a_directory_without_a_database_is_an_error(tmp_path: Path) -> None:
    assert CliRunner().invoke(main, ["token", "list", "--data", str(tmp_path / "none")]).exit_code == 1


@pytest.mark.parametrize("name", [".", "..", "a/b", "a b", "", "a\x1b", "x" * 129])
def test_a_token_of_a_name_that_no_terminal_can_have_is_refused(tmp_path: Path, name: str) -> None:
    made = CliRunner().invoke(main, ["token", "add", "--data", str(tmp_path), "--type", "pos", name])
    assert made.exit_code == 2
    assert all(line.isprintable() for line in made.output.splitlines())
    assert not list(tmp_path.iterdir())
