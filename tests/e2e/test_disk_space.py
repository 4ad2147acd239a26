"""A node whose disk is at the last level says so everywhere, and what it confirms outlasts `kill -9`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.faults.rig import get, until
from tests.processes import NodeProcess, comanda, write_order

if TYPE_CHECKING:
    from pathlib import Path

EVERY_DISK = "[disk]\nlow_mb = 1000000000000\nlast_mb = 1000000000000\n"
"""More than any disk has."""


def test_at_the_last_level_it_says_no_stores_on_and_loses_nothing(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "node", config=EVERY_DISK).start()
    try:
        until(lambda: get(node, "/readyz").status_code == 503)
        assert "MB are left on the disk" in get(node, "/readyz").json()["reason"]
        write_order(node)  # returns once it is confirmed
        node.kill()
        node.start()
        until(lambda: get(node, "/readyz").status_code == 503)
        assert [one["entity_id"] for one in get(node, "/api/v1/entities/orders").json()["entities"]] == ["mesa-9"]
        assert "comanda_disk_level 2.0" in get(node, "/metrics").text
        found = comanda("doctor", "--data", node.data, "--json")
        assert found.returncode == 4
        assert "disk_full" in [one["code"] for one in json.loads(found.stdout)["findings"]]
        assert node.said().count("MB are left on the disk") == 2  # once for each start
    finally:
        node.end()
