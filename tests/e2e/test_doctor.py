"""Why does it not sync? Two real nodes: the hub dies while orders are written below, and later refuses a token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from node.cli import main
from tests.faults.rig import until
from tests.patience import http_get
from tests.processes import NodeProcess, write_order

if TYPE_CHECKING:
    from pathlib import Path


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
        until(lambda: b"is down" in below.log.read_bytes())
        told = findings(below.data)["link_down"]
        assert hub.url in told["about"]
        assert "1 row waits (" in told["en"]
        hub.start()
        until(lambda: b"is back" in below.log.read_bytes())
        assert below.log.read_bytes().count(b"is down") == 1
        comanda("token", "revoke", "below", data=hub.data)
        # The link that was there ends with other words; these are of the next dial.
        refused = "4003 Authentication failed: revoked token"
        until(lambda: refused in findings(below.data).get("link_refused", {}).get("en", ""))
        assert "revoked token" in findings(hub.data)["token_refused"]["en"]
        assert b"below from 127.0.0.1 is refused: revoked token" in hub.log.read_bytes()
        assert below.log.read_bytes().count(b"(Authentication failed: revoked token)") == 1
        assert hub.stop() == 0
        assert "not_running" in findings(hub.data)
    finally:
        hub.end()
        below.end()
