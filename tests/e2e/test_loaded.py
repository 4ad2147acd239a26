"""What a node does not use it does not load: on a small machine its modules are most of its memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.request import urlopen

from tests.patience import PATIENCE_S
from tests.processes import NodeProcess, write_order

if TYPE_CHECKING:
    from pathlib import Path

SELDOM = {"rich", "prometheus_client", "psutil", "cryptography.x509", "httpx"}


def test_a_node_loads_what_is_seldom_used_when_it_is(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "node", wrap=("env", "PYTHONPROFILEIMPORTTIME=1")).start()
    try:
        write_order(node)
        loaded = re.findall(r"^import time:.*\| *(\S+)$", node.log.read_text(), re.MULTILINE)
        assert "node.runtime.realm" in loaded
        assert SELDOM & {*loaded} == set()
        with urlopen(f"{node.url.replace('ws', 'http', 1)}/metrics", timeout=PATIENCE_S) as figures:
            assert b"comanda_build_info" in figures.read()
    finally:
        node.end()
