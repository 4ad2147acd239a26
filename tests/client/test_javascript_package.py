"""The JavaScript client as npm packs it: its types, and the terminals of its README, copied word for word."""

from __future__ import annotations

import contextlib
import json
import random
import re
import shutil
import subprocess
import tarfile
import threading
from collections import Counter
from typing import IO, TYPE_CHECKING, NoReturn

import pytest

from tests.faulty_proxy import FaultyProxy
from tests.patience import PATIENCE_S, http_get
from tests.processes import ROOT, NodeProcess, missing, node_modules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PACKAGE = ROOT / "node" / "client" / "js"
ORDERS = [f"mesa-{number} moqueca pirão" for number in range(60)]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as it is packed, ws and the README's examples."""
    folder = tmp_path_factory.mktemp("program")
    modules = folder / "node_modules"
    modules.mkdir()
    npm = shutil.which("npm")
    if npm is None:
        missing("npm packs the JavaScript client")
    pack = [npm, "pack", "--json", "--pack-destination", str(folder)]
    packed = subprocess.run(pack, cwd=PACKAGE, capture_output=True, text=True, check=True)
    with tarfile.open(folder / json.loads(packed.stdout)[0]["filename"]) as archive:
        archive.extractall(folder, filter="data")
    (folder / "package").rename(modules / "comanda-client")
    for name in ("ws", "typescript", "@types"):
        (modules / name).symlink_to(node_modules() / name)
    readme = (PACKAGE / "README.md").read_text()
    for name, source in re.findall(r"<!-- (\w+\.mjs) -->\n```js\n(.*?)```", readme, re.S):
        (folder / name).write_text(source)
    return folder


def test_the_package_holds_the_modules_their_types_and_the_licence(program: Path) -> None:
    package = program / "node_modules" / "comanda-client"
    there = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    wanted = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    assert there == {name for name in wanted if "node_modules" not in name}
    assert (package / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert json.loads((package / "package.json").read_text()).get("dependencies") is None


@pytest.mark.parametrize("example", ["waiter.mjs", "kitchen.mjs"])
def test_an_example_has_twenty_lines(program: Path, example: str) -> None:
    assert 10 <= len([line for line in (program / example).read_text().splitlines() if line]) <= 20


def test_the_types_say_what_the_modules_are(program: Path) -> None:
    """The examples, and calls of everything that is exported, are checked against the types; so are the types."""
    (program / "types.mts").write_text((ROOT / "tests" / "client" / "javascript" / "types.mts").read_text())
    options = {"strict": True, "noEmit": True, "module": "nodenext", "target": "es2023", "lib": ["es2023", "dom"]}
    options |= {"allowJs": True, "checkJs": True, "noImplicitAny": False, "types": ["node"]}
    options |= {"skipDefaultLibCheck": True}  # the libraries are the compiler's own
    settings = {"compilerOptions": options, "include": ["*.mts", "*.mjs"]}
    (program / "tsconfig.json").write_text(json.dumps(settings))
    compiler = program / "node_modules" / "typescript" / "bin" / "tsc"
    run = subprocess.run(["node", str(compiler)], cwd=program, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


class Example:
    """One of the README's programs, running."""

    def __init__(self, program: Path, name: str, url: str) -> None:
        self.lines: list[str] = []
        self._heard = threading.Condition()
        self.process = subprocess.Popen(
            ["node", name, url], cwd=program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, output: IO[str]) -> None:
        for line in output:
            with self._heard:
                self.lines.append(line.strip())
                self._heard.notify_all()

    def until(self, holds: Callable[[list[str]], bool]) -> None:
        with self._heard:
            if not self._heard.wait_for(lambda: holds(self.lines), PATIENCE_S):
                self._fail()

    def _fail(self) -> NoReturn:
        pytest.fail(f"the last lines of {self.process.args}: {self.lines[-20:]}")

    def say(self, *lines: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{line}\n" for line in lines))
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture
def examples(program: Path) -> Iterator[Callable[[str, str], Example]]:
    started: list[Example] = []

    def start(name: str, url: str) -> Example:
        started.append(Example(program, name, url))
        return started[-1]

    yield start
    for example in started:
        example.kill()


def confirmed(count: int) -> Callable[[list[str]], bool]:
    return lambda lines: sum(" confirmed" in line for line in lines) >= count


def test_every_order_is_on_the_kitchens_screen_once(
    examples: Callable[[str, str], Example], program: Path, tmp_path: Path
) -> None:
    """The node is killed, the waiter's cable pulled, and the waiter's machine restarted in the middle of a send."""
    node = NodeProcess(tmp_path / "data").start()
    with FaultyProxy(node.port, random.Random(1)) as cable:
        kitchen = examples("kitchen.mjs", node.url)
        waiter = examples("waiter.mjs", f"ws://127.0.0.1:{cable.port}")
        waiter.say(*ORDERS[:20])
        waiter.until(confirmed(5))
        node.kill()
        waiter.say(*ORDERS[20:30])
        waiter.until(lambda lines: any(line.startswith("mesa-29 saved") for line in lines))
        node.start()
        waiter.until(confirmed(15))
        cable.block()
        cable.cut()
        waiter.say(*ORDERS[30:40])
        waiter.until(lambda lines: any(line.startswith("mesa-39 saved") for line in lines))
        cable.unblock()
        waiter.until(confirmed(40))
        waiter.say(*ORDERS[40:])
        waiter.until(confirmed(45))
        waiter.kill()
        told = {line.removesuffix(" saved") for line in waiter.lines}
        kept = told | set(re.findall(r'"tag":"(mesa-\d+)"', (program / "waiter.store").read_text()))
        waiter = examples("waiter.mjs", f"ws://127.0.0.1:{cable.port}")
        waiter.say(*(order for order in ORDERS if order.split()[0] not in kept))
        kitchen.until(lambda lines: sum(line.startswith("cook") for line in lines) >= len(ORDERS))
        shown = http_get(f"{node.url.replace('ws', 'http')}/api/v1/entities/orders?limit=1000").json()["entities"]
        assert {each["entity_id"] for each in shown} == {order.split()[0] for order in ORDERS}
        cooked = Counter(line for line in kitchen.lines if line.startswith("cook"))
        assert cooked == {f"cook {order}": 1 for order in ORDERS}
    node.end()
