"""`comanda doctor`: findings for people and scripts, of a running node and of a stopped one."""

from __future__ import annotations

import json
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from node.cli import doctor as command
from node.cli import main
from node.cli.asking import NoNode
from storage.records import CLASSES, Commit, FollowerRow
from storage.sqlite.store import Store
from tests.harness import Client, World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Answers


def one(level: str) -> dict[str, str]:
    texts = {"pt": "sem disco", "en": "no disk", "remedy_pt": "troque", "remedy_en": "swap"}
    return {"code": "x", "level": level, "about": "hub\x1b[2J", **texts}


@pytest.mark.parametrize(("levels", "status"), [([], 0), (["warning"], 3), (["warning", "error"], 4), (["error"], 4)])
def test_the_worst_finding_is_the_exit_code(answers: Answers, levels: list[str], status: int) -> None:
    answers.by_path["/api/v1/doctor"] = [{"node_id": "n1", "findings": [one(level) for level in levels]}]
    for more in ([], ["--json"]):
        result = CliRunner().invoke(main, ["doctor", "--url", "http://n1", *more])
        assert result.exit_code == status
        assert "\x1b" not in result.output
    assert len(json.loads(result.output)["findings"]) == len(levels)


def test_each_finding_has_its_remedy_below_it(answers: Answers) -> None:
    answers.by_path["/api/v1/doctor"] = [{"node_id": "n1", "findings": [one("error")]}]
    lines = CliRunner().invoke(main, ["doctor", "--url", "http://n1"]).output.splitlines()
    assert lines == ["ERRO / ERROR  hub\\x1b[2J: sem disco / no disk", "    -> troque / swap"]


def test_a_node_elsewhere_that_does_not_answer_is_unknown(answers: Answers) -> None:
    assert CliRunner().invoke(main, ["doctor", "--url", "http://n1"]).exit_code == 1


def codes(directory: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    def nobody(*_: object) -> None:
        raise NoNode("nobody")

    monkeypatch.setattr(command, "ask", nobody)
    result = CliRunner().invoke(main, ["doctor", "--data", str(directory), "--json"])
    assert result.exit_code == 4, result.output
    return {found["code"]: found for found in json.loads(result.output)["findings"]}


def test_a_stopped_node_is_examined_by_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "node")
    Client(world, "ana").connect().do("orders", "mesa-1", "CREATE", {"note": "x"})
    world.close()
    store = Store.open(world.directory, None, lambda: "n")
    store.commit(Commit(followers=[FollowerRow("till", "e", (0,) * CLASSES, 1_700_000_000_000)]))
    store.close()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "node").chmod(0o755)
    (tmp_path / "node" / "comanda.db").chmod(0o644)
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "comanda.toml").write_text(
            f'[node]\nhost = "127.0.0.1"\nport = {port}\n[tls]\ncertificate = "none.pem"\n'
        )
        found = codes(tmp_path / "node", monkeypatch)
    assert {"not_running", "port_taken", "certificate_unreadable", "exposed"} <= set(found)
    assert "no_database" not in found
    assert "last seen 2023-11-14T22:13:20" in found["node_away"]["en"]
    assert "1 row waits for it (" in found["node_away"]["en"]


def test_a_directory_without_a_database_and_a_configuration_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "comanda.toml").write_text("[nod]\n")
    assert {"not_running", "no_database", "configuration"} <= set(codes(tmp_path, monkeypatch))
