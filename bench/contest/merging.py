"""Merging, in one process: an edit by each of several writers in turn, and its merge into a document that follows.

Every contestant gets the same edits and keeps what it must for its next one. Only Comanda checks the bytes before it
merges them, knows who wrote each value, and keeps every value that was not chosen.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from bench.contest.servers import PACKAGES, SERVERS
from crdt.document import Document
from crdt.engine import INSTALLED
from crdt.records import NewField

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIELDS = ("status", "table", "total", "note", "customer")

Edit = tuple[int, str, int]
"""Writer, field, value."""


@frozen
class Merged:
    """edit_us, merge_us: of each edit. snapshot: bytes of the document at the end; load_us: to open it again."""

    edit_us: list[float]
    merge_us: list[float]
    snapshot: int
    load_us: float


def edits(seed: int, count: int, writers: int) -> list[Edit]:
    rng = random.Random(seed)
    return [(step % writers, rng.choice(FIELDS), step) for step in range(count)]


def contestants() -> Iterator[tuple[str, Callable[[list[Edit], int], Merged]]]:
    """Name, and what merges; only those that are installed here."""
    for engine in INSTALLED:
        yield f"Comanda on {engine}", partial(_comanda, engine)
    if find_spec("y_py"):
        yield "y-py, a map", _y_py
    if find_spec("pycrdt"):
        yield "pycrdt, a map", _pycrdt
    if find_spec("loro"):
        yield "loro, a map", _loro
    if PACKAGES.is_dir() and shutil.which("node"):
        for package in ("yjs", "loro-crdt", "@automerge/automerge"):
            yield f"{package} (Node.js), a map", partial(_node, package)


def _run(
    script: list[Edit],
    edit: Callable[[Edit], Any],
    spread: Callable[[Edit, Any], None],
    merge: Callable[[Any], object],
    snapshot: Callable[[], bytes],
    load: Callable[[bytes], object],
) -> Merged:
    edit_us, merge_us = [], []
    for step in script:
        begun = time.perf_counter()
        update = edit(step)
        edit_us.append((time.perf_counter() - begun) * 1e6)
        spread(step, update)
        begun = time.perf_counter()
        merge(update)
        merge_us.append((time.perf_counter() - begun) * 1e6)
    end, loads = snapshot(), []
    for _ in range(10):
        begun = time.perf_counter()
        load(end)
        loads.append((time.perf_counter() - begun) * 1e6)
    return Merged(edit_us, merge_us, len(end), min(loads))


def _comanda(engine: str, script: list[Edit], writers: int) -> Merged:
    documents = [Document.load(None, writer=1_000 + n, engine=engine) for n in range(writers)]
    follower = Document.load(None, writer=1, engine=engine)

    def edit(step: Edit) -> Any:
        writer, name, value = step
        field = NewField((name,), value, value, "pos-1", f"op-{value}", value, value, value)
        return documents[writer].edit(supersede=list(documents[writer].siblings((name,))), fields=[field])

    def spread(step: Edit, made: Any) -> None:
        for place, other in enumerate(documents):
            if place != step[0]:
                other.apply(made.update, made.before)

    return _run(
        script,
        edit,
        spread,
        lambda made: follower.apply(made.update, made.before),
        follower.encode,
        lambda end: Document.load(end, writer=7, engine=engine),
    )


def _value(step: Edit) -> str:
    """As much as Comanda keeps of a write: the value, its author and its operation."""
    return json.dumps([step[2], "pos-1", f"op-{step[2]}"])


def _y_py(script: list[Edit], writers: int) -> Merged:
    import y_py

    updates: list[bytes] = []
    documents = [y_py.YDoc() for _ in range(writers)]
    maps = [document.get_map("fields") for document in documents]
    follower = y_py.YDoc()
    follower.get_map("fields")
    for document in documents:
        document.observe_after_transaction(lambda event: updates.append(bytes(event.get_update())))

    def edit(step: Edit) -> bytes:
        with documents[step[0]].begin_transaction() as transaction:
            maps[step[0]].set(transaction, step[1], _value(step))
        return updates[-1]

    def spread(step: Edit, update: bytes) -> None:
        for place, other in enumerate(documents):
            if place != step[0]:
                y_py.apply_update(other, update)

    return _run(
        script,
        edit,
        spread,
        partial(y_py.apply_update, follower),
        lambda: bytes(y_py.encode_state_as_update(follower)),
        lambda end: y_py.apply_update(y_py.YDoc(), end),
    )


def _pycrdt(script: list[Edit], writers: int) -> Merged:
    from pycrdt import Doc, Map

    updates: list[bytes] = []
    documents: list[Doc[Any]] = [Doc() for _ in range(writers)]
    maps = [document.get("fields", type=Map) for document in documents]
    follower: Doc[Any] = Doc()
    follower.get("fields", type=Map)

    def edit(step: Edit) -> bytes:
        seen = documents[step[0]].observe(lambda event: updates.append(event.update))
        maps[step[0]][step[1]] = _value(step)
        documents[step[0]].unobserve(seen)
        return updates.pop()

    def spread(step: Edit, update: bytes) -> None:
        for place, other in enumerate(documents):
            if place != step[0]:
                other.apply_update(update)

    return _run(
        script, edit, spread, follower.apply_update, follower.get_update, lambda end: Doc[Any]().apply_update(end)
    )


def _loro(script: list[Edit], writers: int) -> Merged:
    from loro import ExportMode, LoroDoc

    updates: list[bytes] = []
    documents = [LoroDoc() for _ in range(writers)]
    follower = LoroDoc()

    def made(update: bytes) -> bool:
        updates.append(bytes(update))
        return True  # go on telling

    kept = [document.subscribe_local_update(made) for document in documents]

    def edit(step: Edit) -> bytes:
        document = documents[step[0]]
        document.get_map("fields").insert(step[1], _value(step))
        document.commit()
        return updates.pop()

    def spread(step: Edit, update: bytes) -> None:
        for place, other in enumerate(documents):
            if place != step[0]:
                other.import_(update)

    found = _run(
        script,
        edit,
        spread,
        follower.import_,
        lambda: bytes(follower.export(ExportMode.Snapshot())),
        lambda end: LoroDoc().import_(end),
    )
    kept.clear()
    return found


def _node(package: str, script: list[Edit], writers: int) -> Merged:
    with tempfile.TemporaryDirectory(prefix="comanda-contest-") as folder:
        asked = Path(folder, "asked.json")
        values = [[writer, name, _value((writer, name, value))] for writer, name, value in script]
        asked.write_text(json.dumps({"package": package, "writers": writers, "edits": values}))
        command = ["node", "--no-warnings", str(SERVERS / "merge.mjs"), str(asked)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return Merged(found["edit_us"], found["merge_us"], found["snapshot"], found["load_us"])
