"""The realms that head office keeps, one a store, beside its own.

Each lies in a folder of `realms/` in the data directory, which is a data directory of its own: what commands do with
a node's, they do with a store's (`--data comanda-data/realms/loja-017`). A store without a folder is not kept, and
nobody makes one by asking for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trio
from attrs import evolve, field

from crdt.classes import define
from node.config.sections import REALMS, SITE, Config
from node.runtime.kept_realm import Kept, new_realm
from node.runtime.realm import House, Realm
from node.runtime.storage_thread import Pools
from storage.sqlite.database import DATABASE, StorageError


@define(eq=False, kw_only=True)
class Realms:
    """Those of one process.

    nursery: in which they run. config, node_id: of head office itself. allow: asks the system for what so many need.
    shared, others: what is said of a realm, and of the other processes, where several share them out.
    """

    nursery: trio.Nursery
    config: Config
    node_id: str
    house: House
    allow: Callable[[int], None]
    shared: Callable[[str], dict[str, object]] = lambda name: {}
    others: Callable[[], dict[str, object]] = dict
    pools: Pools = field(factory=Pools, init=False)
    _found: dict[str, Kept] = field(factory=dict, init=False)

    @property
    def folder(self) -> Path:
        return Path(self.config.node.data) / REALMS

    def find(self, name: str) -> Kept | None:
        """The realm of a store; None where it is not kept here."""
        if SITE.match(name) is None or not (self.folder / name / DATABASE).is_file():
            return None
        if name not in self._found:
            self._found[name] = Kept(
                config=self._config(name),
                house=self.house,
                pools=self.pools,
                nursery=self.nursery,
                open_to_all=self.config.this_machine_only or self.config.node.insecure,
            )
            self.allow(len(self._found))
        return self._found[name]

    def open(self, name: str) -> Realm | None:
        """The realm of a store, if it is open."""
        kept = self._found.get(name)
        return None if kept is None else kept.realm

    def running(self) -> list[tuple[str, Realm]]:
        """Those that are open, by name."""
        return [(name, kept.realm) for name, kept in self._found.items() if kept.realm is not None]

    async def made(self, name: str) -> Kept:
        """The realm of a store that head office keeps, in another of its processes at first. Raises StorageError."""
        if SITE.match(name) is None:
            raise StorageError(f"{name[:128]!r} is no name of a store")
        if self.find(name) is None:
            await trio.to_thread.run_sync(new_realm, self.folder / name, name)
        kept = self.find(name)
        assert kept is not None
        return kept

    def _config(self, name: str) -> Config:
        """That of head office, for a store's copy: it dials nobody, and is so small that hundreds fit in."""
        own = self.config
        node = evolve(own.node, id=self.node_id, site=name, data=str(self.folder / name), machine="small")
        links = evolve(own.links, upstream=None, peers=[], office=None, token=None, at={})
        if own.hubs.database is not None:  # a link for each store, and the database says which process lives
            ping_s = max(links.ping_s, own.hubs.lease_s / 2)
            links = evolve(links, ping_s=ping_s, silence_s=max(links.silence_s, 3 * ping_s))
        backup = evolve(own.backup, second_folder=None)  # the copies of two realms would have one name there
        return evolve(own, node=node, links=links, backup=backup).sized()

    def kept(self) -> list[Kept]:
        """All of them, by name."""
        try:
            names = sorted(path.name for path in self.folder.iterdir())
        except OSError:
            return []
        return [kept for name in names if (kept := self.find(name)) is not None]

    async def report(self) -> dict[str, object]:
        """What is said of each, and of the other processes."""
        kept = self.kept()
        await trio.to_thread.run_sync(_look, kept)
        return {"realms": [{**one.report(), **self.shared(one.name)} for one in kept], **self.others()}


def _look(kept: list[Kept]) -> None:
    for one in kept:
        one.look()
