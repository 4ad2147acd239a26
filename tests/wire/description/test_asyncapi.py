"""The AsyncAPI document is one, by the AsyncAPI project's own parser."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from typing import TYPE_CHECKING

from node.wire.close_codes import CODES
from node.wire.description.asyncapi import ANSWERED, asyncapi
from node.wire.description.schemas import schemas
from tests.processes import ROOT, missing

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / "tests" / "asyncapi"
KNOWN = {"asyncapi-latest-version"}
"""What the parser says of any document that the tools of version 3.0.0 read as well."""


def installed() -> None:
    """npm's packages of the folder's lock, once; not committed."""
    with (FOLDER / ".npm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests run in several processes
        if (FOLDER / "node_modules" / "@asyncapi" / "parser").is_dir():
            return
        npm = shutil.which("npm")
        if npm is None:
            missing("Node and npm are needed for the AsyncAPI parser")
        done = subprocess.run(
            [str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            missing(f"npm ci in tests/asyncapi: {done.stderr[-300:]}")


def test_the_parser_of_the_asyncapi_project_finds_nothing_wrong(tmp_path: Path) -> None:
    installed()
    file = tmp_path / "asyncapi.json"
    file.write_text(json.dumps(asyncapi("0.0.0")))
    words = ["node", "check.mjs", str(file)]
    done = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert said["parsed"], said["found"]
    assert [one for one in said["found"] if one["code"] not in KNOWN] == []
    assert {*said["messages"]} == {*schemas()}


def test_each_code_is_told_in_plain_words() -> None:
    codes = asyncapi("0.0.0")["x-error-codes"]
    assert [code["code"] for code in codes] == [code.code for code in CODES]
    assert not [code for code in codes if "`" in str(code) or "](" in str(code)]
    assert {code["again"] for code in codes} == {"never", "later", "same", "reconnect"}


def test_each_answer_is_a_message_of_the_node() -> None:
    assert {f"from_node.{answer}" for answers in ANSWERED.values() for answer in answers} <= {*schemas()}
    assert {f"from_terminal.{kind}" for kind in ANSWERED} <= {*schemas()}
