"""Why does it not sync, and what will soon be wrong? A hub, a node below it, and what each says of the other."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from importlib import metadata
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from node.cli import main
from node.config.sections import Config, Listen
from node.runtime import machine, x509
from node.runtime.api.refusals import why_refused
from tests.authority import HOSTS, Authority
from tests.faults.rig import until
from tests.patience import PATIENCE_S, connect, http_get
from tests.processes import NodeProcess, write_order

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def comanda(*arguments: str, data: Path) -> str:
    return CliRunner().invoke(main, [*arguments, "--data", str(data)]).stdout


def findings(data: Path) -> dict[str, dict[str, Any]]:
    return {one["code"]: one for one in json.loads(comanda("doctor", "--json", data=data))["findings"]}


def test_a_cut_link_and_a_refused_token_are_told_on_both_sides(tmp_path: Path) -> None:
    hub = NodeProcess(tmp_path / "hub", "--id", "hub")
    token = comanda("token", "add", "below", "--type", "node", data=hub.data).strip()
    hub.start()
    config = f'[links]\ntoken = "{token}"\npaused_s = 0.2\n'
    below = NodeProcess(tmp_path / "below", "--id", "below", "--upstream", hub.url, config=config).start()
    ready = f"http://127.0.0.1:{below.port}/readyz"
    try:
        until(lambda: http_get(ready, params={"links": "1"}).status_code == 200)
        until(lambda: "link_down" not in findings(below.data))
        hub.kill()
        until(lambda: http_get(ready, params={"links": "1"}).status_code == 503)
        assert http_get(ready).status_code == 200
        write_order(below)
        until(lambda: "is down" in below.said())
        told = findings(below.data)["link_down"]
        assert hub.url in told["about"]
        assert "1 row waits (" in told["en"]
        hub.start()
        until(lambda: "is back" in below.said())
        assert below.said().count("is down") == 1
        comanda("token", "revoke", "below", data=hub.data)
        # The link that was there ends with other words; these are of the next dial.
        refused = "4003 Authentication failed: revoked token"
        until(lambda: refused in findings(below.data).get("link_refused", {}).get("en", ""))
        assert "revoked token" in findings(hub.data)["token_refused"]["en"]
        assert "below from 127.0.0.1 is refused: revoked token" in hub.said()
        assert below.said().count("(Authentication failed: revoked token)") == 1
        assert hub.stop() == 0
        assert "not_running" in findings(hub.data)
    finally:
        hub.end()
        below.end()


def test_a_type_that_the_hub_does_not_know_is_told_where_it_is_written(tmp_path: Path) -> None:
    hub = NodeProcess(tmp_path / "hub", "--id", "hub").start()
    config = """[entities.reservations]
priority = "medium"
requires_lock = false
conflict_resolution = "merge_changes"
audit_required = true
"""
    below = NodeProcess(tmp_path / "below", "--id", "below", "--upstream", hub.url, config=config).start()
    try:
        until(lambda: "link_down" not in findings(below.data))
        with connect(f"{below.url}/ws/pos-1?type=pos") as pos:
            operation = {"id": "r", "entity_type": "reservations", "entity_id": "r-1", "operation": "CREATE"}
            more = {"data": {"status": "open"}, "terminal_id": "pos-1"}
            pos.send(json.dumps({"type": "data_sync", "operation": {**operation, **more}}))
            while json.loads(pos.recv(PATIENCE_S)).get("operation_id") != "r":
                pass
        until(lambda: "kept_out" in findings(below.data))
        assert "unknown entity type" in findings(below.data)["kept_out"]["en"]
        assert "unknown entity type" in comanda("status", data=below.data)
        assert "hub cannot apply 1 operation" in below.said()
        assert "quarantine" in findings(hub.data)
    finally:
        hub.end()
        below.end()


def test_each_way_a_token_is_refused_is_named_on_both_sides(tmp_path: Path) -> None:
    hub = NodeProcess(tmp_path / "hub", "--id", "hub")
    tokens = {"no token": "", "wrong token": f'token = "cmd_{"x" * 43}"'}
    for why, terminal_id, kind in (("another's token", "other", "node"), ("token of another type", "below", "pos")):
        made = comanda("token", "add", terminal_id, "--type", kind, data=hub.data).strip()
        tokens[why] = f'token = "{made}"'
    hub.start()
    try:
        for why, line in tokens.items():
            config = f"[links]\n{line}\npaused_s = 0.2\n"
            below = NodeProcess(tmp_path / "below", "--id", "below", "--upstream", hub.url, config=config).start()
            try:
                until(lambda why=why, below=below: why in findings(below.data).get("link_refused", {}).get("en", ""))
                refused = findings(hub.data)["token_refused"]
                assert (refused["about"], why in refused["en"]) == ("below", True)
                assert f"below from 127.0.0.1 is refused: {why}" in hub.said()
            finally:
                below.end()
    finally:
        hub.end()
    assert {*tokens} <= {one for one in why_refused.__code__.co_consts if isinstance(one, str)}


def be_of_version(older: str) -> None:
    """What a node's process calls first to be a program of another version."""
    found = metadata.distribution
    metadata.distribution = lambda name: SimpleNamespace(version=older) if name == "comanda" else found(name)


def test_a_certificate_that_ends_and_an_older_version_are_seen_from_both_ends(tmp_path: Path) -> None:
    """The hub's certificate has ten days left; the node below runs a program of another version."""
    tls = Authority(tmp_path / "tls")
    left = timedelta(days=x509.CERTIFICATE_DAYS - 10)
    x509.make(tls.folder, HOSTS, datetime.now(UTC) - left)
    hub = NodeProcess(tmp_path / "hub", "--id", "hub", *tls.flags()).start()
    config = f'[links]\nupstream = "{hub.url}"\n[links.at."{hub.url}"]\nca = "{tls.ca}"\n'
    older = ("tests.e2e.test_doctor:be_of_version", "0.0.1")
    below = NodeProcess(tmp_path / "below", "--id", "below", config=config, first=older).start()
    try:
        until(lambda: "version" in findings(hub.data))
        assert re.fullmatch(r"runs version 0\.0\.1, and this node \S+", findings(hub.data)["version"]["en"])
        assert findings(below.data)["version"]["about"] == "hub"
        assert findings(hub.data)["certificate"]["about"] == tls.certificate
        assert findings(below.data)["certificate"]["about"] == hub.url
    finally:
        below.end()
        hub.end()


def test_a_key_that_others_read_and_a_directory_that_cannot_be_written_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = Authority(tmp_path / "elsewhere")
    tls.again()
    tls.folder.chmod(0o755)
    (tls.folder / "certificate.key").chmod(0o644)
    config = Config(tls=tls.settings(), listen=[Listen("192.0.2.7"), Listen("127.0.0.1"), Listen("localhost")])
    assert machine.exposed(tmp_path, config) == [tls.key]
    assert machine.absent(config) == ["192.0.2.7"]
    assert machine.unwritable(tmp_path) == []
    monkeypatch.setattr(machine.os, "access", lambda path, mode: path != tmp_path)  # root may write everywhere
    assert machine.unwritable(tmp_path) == [str(tmp_path)]
