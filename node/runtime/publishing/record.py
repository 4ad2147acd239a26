"""What was published: a file for each list, beside head office's database. It says how far each store is.

    missing --written into the store's realm here--> sent --a node of the store has it on disk--> delivered

A record is only told from: what is in a realm is there without it, and the same list once more finds what is missing.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from attrs import asdict, evolve, field
from cattrs import structure

from crdt import hlc
from crdt.classes import define, frozen
from crdt.json_values import canonical
from node.asking import Unanswered
from node.config.sections import REALMS
from node.lists.columns import Misfit, Wanted
from node.lists.listed import Listed, ListOptions
from node.lists.reading import SQLITE
from node.rights import LIST_BYTES
from node.runtime.whole_files import put_file
from storage.sqlite.database import DATABASE, StorageError
from storage.sqlite.meta import read_fact
from storage.sqlite.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

FOLDER = "publications"
KEPT = 100
"""Records at one time; the oldest goes."""

LISTS = "lists"
"""In that folder: lists as they came, by what they say."""

LOOSE = 8
"""Lists at one time that nothing was published of."""

ENDINGS = (".csv", ".txt", ".json", ".jsonl", ".ndjson")
"""A file's ending says something of what is in it."""

ROWS = re.compile(rf"[0-9a-f]{{32}}({'|'.join(map(re.escape, ENDINGS))})?")


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

    @property
    def written(self) -> bool:
        """Whether it was, and whole."""
        return self.seq is not None and self.wrong is None


@frozen(kw_only=True)
class How:
    """A list that was kept, and how it is read. rows: its file in LISTS. wanted: [field, kind] by column."""

    rows: str
    wanted: dict[str, list[str | None]]
    key: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    skip: int = 0
    zone: str = "America/Sao_Paulo"
    counts: bool = False
    revive: bool = False


@define(kw_only=True)
class Record:
    """id: of what the list says. begun: ISO time of the latest run. node: by which process of head office.
    offices: its processes, which hold copies and are no nodes of a store. how: by which the list is read again, where
    it was kept."""

    id: str
    file: str
    entity_type: str
    begun: str
    node: str | None = None
    offices: list[str] = field(factory=list)
    how: How | None = None
    stores: dict[str, Store] = field(factory=dict)

    def put(self, data: Path) -> None:
        """Raises OSError."""
        folder = data / FOLDER
        folder.mkdir(exist_ok=True)
        put_file(folder / f"{self.id}.json", orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2), 0o600)


def begun(data: Path, listed: Listed, sites: list[str], at: str) -> Record:
    """The record of a list that is published: with what there is already, where it is the same list again. The list
    is kept beside it, so that it can be gone on with.

    Raises OSError.
    """
    options = listed.options
    wanted = {name: [one.field, one.kind] for name, one in listed.wanted.items()}
    content = options.file.read_bytes()
    rows = hashlib.sha256(content).hexdigest()
    said = [options.entity_type, listed.key, wanted, options.counts, options.revive, rows]
    name = hashlib.sha256(canonical(said)).hexdigest()[:12]
    before = next((one for one in records(data) if one.id == name), None)
    stores = dict.fromkeys(sites, Store()) if before is None else dict.fromkeys(sites, Store()) | before.stores
    kept = keep(data, content, options.name)
    how = None if kept is None else _how(listed, kept, wanted)
    return Record(id=name, file=options.name, entity_type=options.entity_type, begun=at, how=how, stores=stores)


def _how(listed: Listed, rows: str, wanted: dict[str, list[str | None]]) -> How:
    one = listed.options
    return How(
        rows=rows,
        wanted=wanted,
        key=listed.key,
        encoding=one.encoding,
        delimiter=one.delimiter,
        decimal=one.decimal,
        skip=one.skip,
        zone=one.zone.key,
        counts=one.counts,
        revive=one.revive,
    )


def keep(data: Path, content: bytes, name: str) -> str | None:
    """Keep a list; what its file is called. None for one that is too long, or a database. name: as people call it.

    Raises OSError.
    """
    if len(content) > LIST_BYTES or content.startswith(SQLITE):
        return None
    folder = data / FOLDER / LISTS
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ending = Path(name).suffix.casefold()
    rows = f"{hashlib.sha256(content).hexdigest()[:32]}{ending if ending in ENDINGS else ''}"
    put_file(folder / rows, content, 0o600)
    named = {one.how.rows for one in records(data) if one.how is not None} | {rows}
    loose = sorted(
        (path for path in folder.iterdir() if path.name not in named), key=lambda path: path.stat().st_mtime
    )
    for path in loose[: max(0, len(loose) - LOOSE)]:
        path.unlink(missing_ok=True)
    return rows


def kept(data: Path, rows: str) -> Path | None:
    """A list that was kept. rows: of anybody, so it names a file of that folder or none."""
    path = data / FOLDER / LISTS / rows
    return path if ROWS.fullmatch(rows) and path.is_file() else None


def options_of(path: Path, name: str, entity_type: str, how: How) -> ListOptions:
    """How a list that was kept is read again. Raises Misfit."""
    try:
        zone = ZoneInfo(how.zone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise Misfit(f"fuso desconhecido / unknown time zone: {how.zone[:64]}") from error
    return ListOptions(
        file=path,
        called=name,
        entity_type=entity_type,
        encoding=how.encoding,
        delimiter=how.delimiter,
        decimal=how.decimal,
        skip=how.skip,
        zone=zone,
        counts=how.counts,
        revive=how.revive,
    )


def listed_again(data: Path, record: Record) -> Listed:
    """The list of a record. Raises Misfit, Unreadable, OSError."""
    how = record.how
    path = None if how is None else kept(data, how.rows)
    if how is None or path is None:
        raise Misfit("a lista não está mais aqui / the list is not here any more: comanda publish send FILE")
    options = options_of(path, record.file, record.entity_type, how)
    wanted = {name: Wanted(str(said[0] or ""), said[1]) for name, said in how.wanted.items()}
    return Listed(options, options.found(), wanted, how.key)


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

    def report(self) -> dict[str, object]:
        """For programs. `node` is who has it; `epoch` and `seq` say which log of head office it was written into."""
        return {**asdict(self.store), "site": self.site, "state": self.state, "node": self.node, "at": self.at}


def how_far(data: Path, record: Record, site: str, ask: Callable[[str], dict[str, Any]]) -> Held:
    """Of one store, by what is here and by its owner, where that is another process. ask: for the owner's answer to
    `GET /api/v1/links`, by the store; raises Unanswered."""
    store = record.stores[site]
    try:
        here = held(data, site, store, record.offices) if store.node in (None, record.node) else None
        if here is not None and (here.state != "sent" or len(record.offices) < 2):
            return here
        return held_at_owner(ask(site), site, store, record.offices)
    except StorageError as error:
        return Held(site, "missing", evolve(store, wrong=str(error)))
    except Unanswered as error:
        return Held(site, "sent", evolve(store, wrong=str(error)))


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
