"""The contract of an engine document, run over y_py and pycrdt, and the hazards of y-py that crdt/README.md lists."""

from __future__ import annotations

import ast
import gc
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest

from crdt import engine as engine_module
from crdt.engine import DEFAULT, ENGINES, INSTALLED, STRANDED, EngineError, merge, open_document, unpanicked
from crdt.update_encoder import encode_edit
from crdt.update_format import UpdateError, live_records
from tests.crdt.diffs import diff
from tests.crdt.editors import open_editor
from tests.processes import ROOT

of_y_py = pytest.mark.skipif("y_py" not in INSTALLED, reason="y-py has no wheel for this Python")
of_pycrdt = pytest.mark.skipif("pycrdt" not in INSTALLED, reason="only y-py is installed")
both = pytest.mark.skipif(INSTALLED != ENGINES, reason="only one engine is installed")
each_engine = pytest.mark.parametrize("engine", INSTALLED)
PAIRS = [(a, b) for a in INSTALLED for b in INSTALLED]


@each_engine
def test_an_edit_appends_and_deletes_in_one_transaction(engine: str) -> None:
    document = open_editor(engine, 9)
    document.edit([], ["a", "b", "c"])
    document.edit([(9, 0), (9, 2)], ["d"])
    assert document.texts(9) == ["b", "d"]
    assert document.state_vector() == {9: 4}


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
def test_what_one_engine_writes_the_other_reads(writer: str, reader: str) -> None:
    author = open_editor(writer, 9)
    follower = open_editor(reader, 10)
    for number in range(20):
        deletes = [(9, 0)] if number else []
        follower.apply(author.edit(deletes, [f'{{"n":{number},"s":"ação ☕"}}']))
    follower.edit([(9, 0)], ["mine"])
    author.apply(diff(reader, follower.encode(), author.state_vector()))
    assert author.texts(9) == follower.texts(9) == []
    assert author.texts(10) == follower.texts(10) == ["mine"]
    assert live_records(author.encode()) == live_records(follower.encode())
    assert open_editor(reader, 1, author.encode()).texts(10) == ["mine"]


@each_engine
def test_a_small_edit_stays_small_however_long_the_history(engine: str) -> None:
    document = open_editor(engine, 9)
    sizes = []
    for number in range(1_000):
        sizes.append(len(document.edit([(9, 0)] if number else [], [f"value-{number:04d}"])))
    assert max(sizes[1:]) <= min(sizes[1:]) + 8
    assert len(document.encode()) < 60


def test_malformed_bytes_never_reach_the_engine() -> None:
    for call in (
        lambda: open_editor(DEFAULT, 9, b"\x01\x02\x03"),
        lambda: open_editor(DEFAULT, 9).apply(b"\xff" * 30),
        lambda: merge([b"\x05\x01"]),
    ):
        with pytest.raises(UpdateError):
            call()


def test_a_panic_becomes_an_ordinary_error() -> None:
    class PanicException(BaseException):
        pass

    PanicException.__module__ = "pyo3_runtime"

    def panic() -> None:
        raise PanicException("Couldn't get item's parent")

    with pytest.raises(EngineError, match="panic"):
        unpanicked(panic)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpanicked(interrupt)


@of_y_py
def test_a_real_panic_of_y_py_is_caught() -> None:
    document = open_editor("y_py", 9)
    with pytest.raises(EngineError):
        document.edit([(9, 5)], [])


def test_no_root_is_touched_and_nothing_is_observed() -> None:
    """Either keeps the document for good (`test_update_encoder.py` measures it)."""
    source = Path(engine_module.__file__).read_text()
    named = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    assert named.isdisjoint({"get_array", "get_map", "get_text", "get", "get_xml_element", "Array", "Map"})
    assert not any("observe" in name for name in named)
    assert "apply_update" in named


@of_pycrdt
def test_a_call_that_failed_leaves_no_transaction_open() -> None:
    """y-py would abort the process."""
    document = open_editor("pycrdt", 9)
    document.edit([], ["a"])
    with pytest.raises(EngineError) as failed:
        document.integrate(b"\x01\x02\x03")
    document.edit([], ["b"])
    assert document.texts(9) == ["a", "b"]
    assert failed.value.__cause__ is not None, "it holds the frames, and what was opened in them"


@of_y_py
def test_a_document_does_not_leave_its_thread() -> None:
    script = (
        "import threading\nfrom crdt.engine import EngineError, open_document\n"
        "from crdt.update_encoder import encode_edit\n"
        "document = open_document('y_py', 9)\nfound = []\n"
        "def work():\n"
        "    try:\n        document.integrate(encode_edit(9, 0, ['x'], []))\n"
        "    except EngineError as error:\n        found.append(str(error))\n"
        "thread = threading.Thread(target=work)\nthread.start()\nthread.join()\nprint(len(found))\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "1"


@of_y_py
def test_a_document_of_a_circle_ends_on_its_own_thread_wherever_it_is_collected(
    capfd: pytest.CaptureFixture[str],
) -> None:
    gc.collect()
    circle: list[object] = [open_document("y_py", 1)]
    circle.append(circle)
    kept = weakref.ref(circle[0])
    del circle
    collector = threading.Thread(target=gc.collect)
    collector.start()
    collector.join()
    assert kept() is None, "nobody collected it"
    assert [len(stranded) for stranded in STRANDED.values() if stranded] == [1]
    open_document("y_py", 2)
    assert not any(STRANDED.values())
    gc.collect()
    assert capfd.readouterr().err == ""


def test_merging_touches_no_root_and_keeps_every_record() -> None:
    author = open_editor(DEFAULT, 9)
    updates = [author.edit([], ["a"]), author.edit([(9, 0)], ["b"]), author.edit([], ["c"])]
    assert live_records(merge(updates)) == live_records(author.encode())


@of_y_py
def test_the_pinned_y_py_is_the_one_the_hazards_were_measured_on() -> None:
    from importlib.metadata import version

    assert version("y-py") == "0.6.2"


@each_engine
def test_a_long_document_is_emptied_at_once(engine: str) -> None:
    document = open_document(engine, 9)
    count = 2_000
    document.integrate(encode_edit(9, 0, [str(number) for number in range(count)], []))
    document.integrate(encode_edit(9, count, ["last"], [(9, clock) for clock in range(count) if clock != 7]))
    assert [text for _, _, text in live_records(document.encode())[0]] == ["7", "last"]


def alone(script: str, *hidden: str) -> str:
    """What a script prints in a process in which the hidden packages are not installed."""
    hide = (
        "import sys\nfrom importlib.machinery import PathFinder\nfound = PathFinder.find_spec\n"
        f"hidden = {hidden!r}\n"
        "PathFinder.find_spec = lambda name, *rest: None if name in hidden else found(name, *rest)\n"
    )
    result = subprocess.run([sys.executable, "-c", hide + script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@both
@pytest.mark.parametrize("there", ENGINES)
def test_the_engine_that_is_installed_is_taken(there: str) -> None:
    other = next(name for name in ENGINES if name != there)
    said = alone(
        "from crdt import engine\nfrom crdt.update_encoder import encode_edit\n"
        "from node.config.sections import Config\n"
        "updates = [encode_edit(9, 0, ['a'], []), encode_edit(9, 1, ['b'], [(9, 0)])]\n"
        "print(engine.DEFAULT, Config().check().node.engine, len(engine.merge(updates)), sorted(\n"
        "    name for name in engine.ENGINES if name in sys.modules))\n",
        other,
    )
    size = len(merge([encode_edit(9, 0, ["a"], []), encode_edit(9, 1, ["b"], [(9, 0)])], there))
    assert said == f"{there} {there} {size} {[there]}"


@both
def test_an_engine_that_is_not_installed_is_refused_by_name() -> None:
    said = alone(
        "from attrs import evolve\nfrom node.config.sections import Config\nfrom node.errors import ConfigError\n"
        "config = Config()\n"
        "try:\n    evolve(config, node=evolve(config.node, engine='y_py')).check()\n"
        "except ConfigError as error:\n    print(error)\n",
        "y_py",
    )
    assert said == "[node] engine y_py is not installed here; pycrdt is"


def test_an_engine_is_named_in_one_file() -> None:
    """Whoever names one fails where only the other is installed; INSTALLED and DEFAULT name those that are."""
    named = {
        str(path.relative_to(ROOT))
        for folder in ("crdt", "strategies", "storage", "node", "bench")
        for path in (ROOT / folder).rglob("*.py")
        if "contest" not in path.parts  # it measures each engine beside the others, where it is installed
        for found in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(found, ast.Constant) and found.value in ENGINES
    }
    assert named == {str(Path("crdt", "engine.py"))}


def test_no_engine_is_imported_before_a_document_is_opened() -> None:
    assert (
        alone("import crdt.document, node.config.sections\nprint({'y_py', 'pycrdt'} & set(sys.modules))") == "set()"
    )


def test_the_engine_of_a_report_reads_no_file_again(monkeypatch: pytest.MonkeyPatch) -> None:
    said = engine_module.running(INSTALLED[0])
    monkeypatch.setattr(engine_module, "version", None)
    assert engine_module.running(INSTALLED[0]) == said
