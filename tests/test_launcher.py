"""What a test forgets to end ends with the tests."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.conftest import pytest_fixture_setup
from tests.launcher import HANDED, ROOT
from tests.patience import PATIENCE_S
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from pathlib import Path

FORGETS = """
import os, sys
from pathlib import Path
from tests.processes import NodeProcess
print(NodeProcess(Path(sys.argv[1]), "--id", "forgotten").start().process.pid, flush=True)
sys.stdin.read()
os._exit(1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a process learns of its parent's end on Linux alone")
def test_no_node_outlives_the_tests_that_forgot_it(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != HANDED}
    command = [sys.executable, "-c", FORGETS, str(tmp_path / "data")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True) as tests:
        assert tests.stdout is not None
        node = os.pidfd_open(int(tests.stdout.readline()))
        try:
            assert not select.select([node], [], [], 0)[0], "it runs"
            tests.kill()
            assert select.select([node], [], [], PATIENCE_S)[0], "it ended"
        finally:
            os.close(node)


def test_what_a_fixture_has_started_that_fails_is_ended(tmp_path: Path) -> None:
    setup = pytest_fixture_setup()
    next(setup)
    node = NodeProcess(tmp_path / "data").start()
    with pytest.raises(ValueError, match="half way"):
        setup.throw(ValueError("half way"))
    assert node.process.poll() is not None
    assert node not in NodeProcess.started
