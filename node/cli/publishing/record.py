"""What was published: a file for each list, beside head office's database. It says how far each store is.

    missing --written into the store's realm here--> sent --a node of the store has it on disk--> delivered

A record is only told from: what is in a realm is there without it, and the same list once more finds what is missing.
"""

from __future__ import annotations

import hashlib
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import orjson
from attrs import asdict, evolve, field
from cattrs import structure

from crdt import hlc
from crdt.classes import define, frozen
from crdt.json_values import canonical
from node.config.sections import REALMS
from node.runtime.whole_files import put_file
from storage.sqlite.database import DATABASE
from storage.sqlite.meta import read_fact
from storage.sqlite.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from node.cli.imports.options import Listed

FOLDER = "publications"
KEPT = 100
"""Records at one time; the oldest goes."""


@frozen(kw_only=True)
class Store:
    """What became of a list in one store.

    node, epoch, seq: up to which row of whose log it was written, None where it was not. refused: rows that it did
    not take. wrong: why it was not written.
    """

    node: str | None = None
    epoch: str | None = None
    seq: int | None = None
    created: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    wrong: str | None = None


@define(kw_only=True)
class Record:
    """id: of what the list says. begun: ISO time of the latest run. node: by which process of head office.
    offices: its processes, which hold copies and are no nodes of a store."""

    id: str
    file: str
    entity_type: str
    begun: str
    node: str | None = None
    offices: list[str] = field(factory=list)
    stores: dict[str, Store] = field(factory=dict)

    def put(self, data: Path) -> None:
        """Raises OSError."""
        folder = data / FOLDER
        folder.mkdir(exist_ok=True)
        put_file(folder / f"{self.id}.json", orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2), 0o600)


def begun(data: Path, listed: Listed, sites: list[str], at: str) -> Record:
    """The record of a list that is published: with what there is already, where it is the same list again.

    Raises OSError.
    """
    options = listed.options
    wanted = {name: [one.field, one.kind] for name, one in listed.wanted.items()}
    rows = hashlib.sha256(options.file.read_bytes()).hexdigest()
    said = [options.entity_type, listed.key, wanted, options.counts, options.revive, rows]
    name = hashlib.sha256(canonical(said)).hexdigest()[:12]
    before = next((one for one in records(data) if one.id == name), None)
    stores = dict.fromkeys(sites, Store()) if before is None else dict.fromkeys(sites, Store()) | before.stores
    return Record(id=name, file=options.file.name, entity_type=options.entity_type, begun=at, stores=stores)


def records(data: Path) -> list[Record]:
    """The latest first. What is no record is passed over."""
    found = []
    for path in (data / FOLDER).glob("*.json"):
        with suppress(Exception):  # whatever is wrong with it, it is no record
            found.append(structure(orjson.loads(path.read_bytes()), Record))
    found.sort(key=lambda one: one.begun, reverse=True)
    for old in found[KEPT:]:
        (data / FOLDER / f"{old.id}.json").unlink(missing_ok=True)
    return found[:KEPT]


@frozen
class Held:
    """How far a store is. state: missing, sent or delivered. node, at: who had the most of its log, and when."""

    site: str
    state: str
    store: Store
    node: str | None = None
    at: str | None = None


def held(data: Path, site: str, store: Store, offices: Collection[str] = ()) -> Held:
    """By the database here. Raises StorageError."""
    database = data / REALMS / site / DATABASE
    if store.seq is None or not database.is_file():
        return Held(site, "missing", store)
    with closing(Reader(database)) as reader:
        epoch, followers = read_fact(reader.queries.connection, "epoch"), reader.followers()
    if epoch != store.epoch:
        return Held(site, "missing", evolve(store, wrong="o banco voltou atrás / the database was set back"))
    ours = [(row.node_id, row.positions, hlc.iso(row.last_seen_ms)) for row in followers if row.epoch == epoch]
    return _furthest(site, store, ours, offices)


def held_at_owner(said: Mapping[str, Any], site: str, store: Store, offices: Collection[str]) -> Held:
    """By what the store's owner says of its links (`GET /api/v1/links`), where that is another process."""
    if store.seq is None:
        return Held(site, "missing", store)
    if said["epoch"] != store.epoch:
        wrong = f"agora com {said['node_id']}: publique de novo / has gone to {said['node_id']}: send it again"
        return Held(site, "sent", evolve(store, wrong=wrong))
    told = [(one["peer"], one["confirmed"], one.get("last_seen")) for one in (*said["links"], *said["away"])]
    return _furthest(site, store, [one for one in told if one[0] and one[1]], offices)


def _furthest(
    site: str, store: Store, followers: Sequence[tuple[str, Sequence[int], str | None]], offices: Collection[str]
) -> Held:
    """followers: id, which rows it has confirmed of the log that the list was written into, and when."""
    assert store.seq is not None
    of_store = [one for one in followers if one[0] not in offices]
    if not of_store:
        return Held(site, "sent", store)
    node, positions, at = max(of_store, key=lambda one: min(one[1]))
    return Held(site, "delivered" if min(positions) >= store.seq else "sent", store, node, at)
