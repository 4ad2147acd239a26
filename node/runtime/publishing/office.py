"""What head office's page asks for: a list is taken, looked at against stores, and sent. It blocks, for a thread."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict, evolve, field

from crdt.classes import define, frozen
from node.asking import Unanswered
from node.clock import timestamp
from node.lists.columns import Misfit, Wanted, likely_key, mapped, proposed, texts_of
from node.lists.listed import Listed
from node.lists.planning import Refusal
from node.lists.reading import SQLITE, Unreadable
from node.printable import printable
from node.runtime.publishing.place import of_data, of_owner
from node.runtime.publishing.preview import Preview, short
from node.runtime.publishing.record import (
    Held,
    How,
    Record,
    Store,
    begun,
    how_far,
    keep,
    kept,
    listed_again,
    options_of,
    records,
)
from node.runtime.publishing.run import Run
from node.runtime.publishing.sending import Who

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.lists.planning import Plan
    from node.lists.reading import Table

NAME = 200
"""Most characters of a list's name."""

PROBLEMS = 50
"""Rows that cannot be read and are named at once."""

REMEMBERED = 50_000
"""Stores that are remembered to have a list."""

TERMINAL, KIND = "head-office", "pos"
"""As whom it is written, as by `comanda publish`."""


@define(eq=False, kw_only=True)
class Work:
    """What is being done, or was last. what: "look" or "send". sites: in which stores. record: which it goes on with.

    site: the store at work; done, total: of its entities. stores: how many have ended. halted: somebody wants it to
    end. wrong: why it ended before its end. preview: what it changes, as far as it is.
    """

    what: str
    listed: Listed
    sites: list[str]
    who: Who
    record: Record
    site: str | None = None
    stores: int = 0
    done: int = 0
    total: int = 0
    running: bool = True
    halted: bool = False
    wrong: str | None = None
    preview: Preview = field(factory=Preview)

    @property
    def looks(self) -> bool:
        return self.what == "look"

    def report(self) -> dict[str, object]:
        names = ("what", "site", "stores", "done", "total", "running", "wrong")
        said = {name: getattr(self, name) for name in names}
        return {"publication": self.record.id, **said, "of": len(self.sites)}


@frozen(kw_only=True)
class Wish:
    """What somebody wants of a list that was taken: `columns` says each column's field, "" for none."""

    rows: str
    file: str
    entity_type: str
    key: str | None
    columns: dict[str, str]
    decimal: str | None
    counts: bool
    revive: bool

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Wish:
        """Raises Misfit."""
        columns, key, decimal = said.get("columns"), said.get("key"), said.get("decimal")
        texts = [said.get("list"), said.get("file"), said.get("type"), key or ""]
        if not isinstance(columns, dict) or not all(isinstance(one, str) for one in (*texts, *columns.values())):
            raise Misfit("list, file, type, key, columns: textos / texts")
        if decimal not in (None, "comma", "point"):
            raise Misfit("decimal: comma, point")
        return cls(
            rows=said["list"],
            file=_named(said["file"]),
            entity_type=said["type"],
            key=key or None,
            columns=columns,
            decimal=decimal,
            counts=said.get("counts") is True,
            revive=said.get("revive") is True,
        )

    def listed(self, data: Path) -> Listed:
        """Raises Misfit, Unreadable, OSError."""
        path = kept(data, self.rows)
        if path is None:
            raise Misfit("a lista não está mais aqui: escolha de novo / the list is not here: choose it again")
        how = How(rows=self.rows, wanted={}, decimal=self.decimal, counts=self.counts, revive=self.revive)
        options = options_of(path, self.file, self.entity_type, how)
        found = options.found()
        wanted = {name: Wanted(self.columns.get(name, "").strip()) for name in found.columns}
        listed = Listed(options, found, wanted, self.key)
        mapped(found, wanted, self.key, decimal={"comma": ",", "point": ".", None: None}[self.decimal])
        return listed


def _named(file: str) -> str:
    return printable(file.replace("\\", "/").rpartition("/")[2], NAME) or "list"


def _column(found: Table, name: str) -> dict[str, object]:
    sample = next((row.cells[name] for row in found.rows if row.cells.get(name) not in (None, "")), None)
    return {"column": name, "field": proposed(name), "sample": short(next(texts_of(found, name), sample))}


def _head(record: Record) -> dict[str, object]:
    return {
        "publication": record.id,
        "file": record.file,
        "entity_type": record.entity_type,
        "begun": record.begun,
        "kept": record.how is not None,
    }


@define(eq=False)
class Office:
    """data: head office's data directory.

    delivered: by store, log and row, what was found delivered. It stays so, and to look costs a database each time.
    """

    data: Path
    _delivered: dict[tuple[str, str | None, int | None], Held] = field(factory=dict, init=False)

    # ------------------------------------------------------------------ lists

    def take(self, content: bytes, file: str) -> dict[str, object]:
        """Keep a list, and say what was recognised of it. Raises Misfit, Unreadable, OSError."""
        if content.startswith(SQLITE):
            raise Misfit("um banco SQLite se publica com / an SQLite file is published by: comanda publish send")
        name = _named(file)
        rows = keep(self.data, content, name)
        path = None if rows is None else kept(self.data, rows)
        if rows is None or path is None:
            raise Misfit("a lista é grande demais / the list is too long: comanda publish send")
        found = options_of(path, name, "", How(rows=rows, wanted={})).found()
        if not found.columns:
            raise Unreadable("não há colunas / there are no columns")
        wrong = [row for row in found.rows if row.problem is not None]
        return {
            "list": rows,
            "file": name,
            "rows": len(found.rows),
            "recognised": found.recognised,
            "key": likely_key(found.columns),
            "columns": [_column(found, name) for name in found.columns],
            "problems": [Refusal(one.line, "", None, one.problem or "").report() for one in wrong[:PROBLEMS]],
        }

    def wished(self, said: Mapping[str, Any]) -> Listed:
        """Raises Misfit, Unreadable, OSError."""
        return Wish.read(said).listed(self.data)

    def again(self, name: str) -> tuple[Listed, list[str]] | None:
        """The list of a publication, and the stores into which it was not written, or not whole; None where there is
        none. Raises Misfit, Unreadable, OSError."""
        record = self._found(name)
        if record is None:
            return None
        lacking = [site for site, store in record.stores.items() if not store.written]
        return listed_again(self.data, record), lacking

    # ------------------------------------------------------------------ at work

    def work(self, what: str, listed: Listed, sites: list[str], user: str, offices: list[str]) -> Work:
        """To be carried out. offices: the processes of head office, this one first. Raises OSError."""
        names = list(dict.fromkeys(sites))
        record = begun(self.data, listed, names, timestamp())
        record.node, record.offices = offices[0], offices
        who = Who(TERMINAL, KIND, user, printable(listed.options.name))
        return Work(what=what, listed=listed, sites=names, who=who, record=record)

    def carry_out(self, work: Work) -> None:
        """Whatever stops it is said in `wrong`."""

        def begins(site: str, plan: Plan) -> None:
            work.site, work.done, work.total = site, 0, len(plan.created) + len(plan.changed)

        def told(count: int) -> None:
            work.done += count

        def ended(site: str, plan: Plan | None) -> None:
            work.site, work.stores = None, work.stores + 1
            if plan is not None:
                work.preview.add(plan)

        run = Run(
            data=self.data,
            listed=work.listed,
            record=work.record,
            sites=work.sites,
            who=work.who,
            place=partial(of_data, self.data),
            dry_run=work.looks,
            begins=begins,
            told=told,
            ended=ended,
            halted=lambda: work.halted,
        )
        try:
            run()
        except (Misfit, Unanswered, OSError) as error:
            work.wrong = str(error)
        finally:
            work.running = False

    # ------------------------------------------------------------------ what is told

    def publications(self) -> list[dict[str, object]]:
        """The latest first: in how many stores each is written, of how many."""
        return [
            {
                **_head(one),
                "stores": len(one.stores),
                "written": sum(store.written for store in one.stores.values()),
            }
            for one in records(self.data)
        ]

    def publication(self, name: str, work: Work | None) -> dict[str, object] | None:
        """How far each store is, and what a look has found; None where there is no such publication."""
        looked = None if work is None or work.record.id != name else work.record
        record = self._found(name)
        if record is None:
            if looked is None:
                return None
            record = evolve(looked, stores=dict.fromkeys(looked.stores, Store()))
        stores = [self._how_far(record, site).report() for site in sorted(record.stores)]
        said: dict[str, object] = {**_head(record), "stores": stores, "work": None, "planned": []}
        if work is not None and looked is not None:
            planned = [{"site": site, **asdict(looked.stores[site])} for site in work.sites if work.looks]
            said |= {"work": {**work.report(), "preview": work.preview.report()}, "planned": planned}
        return said

    def _how_far(self, record: Record, site: str) -> Held:
        store = record.stores[site]
        known = self._delivered.get(key := (site, store.epoch, store.seq))
        if known is not None:
            return evolve(known, store=store)
        found = how_far(self.data, record, site, partial(of_owner, self.data))
        if found.state == "delivered":
            if len(self._delivered) >= REMEMBERED:
                self._delivered.clear()
            self._delivered[key] = found
        return found

    def _found(self, name: str) -> Record | None:
        return next((one for one in records(self.data) if one.id == name), None)
