"""Old history goes into archives at random moments of random evenings; everything else stays as it was."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING

import orjson
import pytest

from crdt.document import Document
from crdt.engine import DEFAULT, merge
from crdt.records import name_of
from node.screen import without_version
from storage.audit.archive_file import verify_archives
from storage.audit.chain_walk import verify
from storage.records import op_key
from tests.archives import rows_of, steps
from tests.mesh import shown
from tests.scenarios.evening import TYPES, Evening
from tests.scenarios.seeds import SEEDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness import World


class LongEvening(Evening):
    """As `Evening`, with nodes that archive meanwhile, forced or not, and are broken off at it."""

    def step(self) -> None:
        if self.rng.random() < 0.06:
            self.archive()
        else:
            super().step()

    def archive(self) -> None:
        number = self.rng.randrange(len(self.mesh.worlds))
        world = self.mesh.worlds[number]
        world.settle()
        upto = self.rng.randrange(world.store.head + 1)
        batch, force, broken_off = self.rng.randrange(1, 9), self.rng.random() < 0.6, self.rng.random() < 0.3
        for _ in steps(world, upto, force=force, batch=batch):
            for client in self.clients:
                if client.world is world and self.rng.random() < 0.3:
                    client.receive(2)
            if self.rng.random() < 0.3:
                world.settle()
            if broken_off and self.rng.random() < 0.3:
                for client in self.clients:
                    if client.world is world:
                        client.receive()
                        client.disconnect()
                self.mesh.crash(number)
                break


@pytest.mark.parametrize("seed", SEEDS)
def test_nodes_that_archive_agree_as_if_they_had_not(tmp_path: Path, seed: int) -> None:
    evening = LongEvening(tmp_path, seed)
    for _ in range(evening.rng.randrange(20, 200)):
        evening.step()
    evening.end()
    worlds = evening.mesh.worlds
    first = shown(worlds[0])
    for world in worlds:
        replica = world.core.replica
        assert not len(replica.quarantine), (seed, world.node_id)
        assert shown(world) == first, (seed, world.node_id)
        assert replica.held.digests.roots() == worlds[0].core.replica.held.digests.roots(), (seed, world.node_id)
        held = replica.held
        keys = {name: op_key(name) for name in evening.confirmed}
        missing = {name for name, key in keys.items() if key not in held.known and key not in held.archived}
        assert not missing, (seed, "confirmed and lost", missing)
        prove(world, evening.confirmed)
        rebuild(world)
    for client in evening.clients:
        for entity_type in TYPES:
            assert client.shown(entity_type) == without_version(client.world.view(entity_type)), (seed, client.name)
    again(evening)
    evening.mesh.close()


def prove(world: World, confirmed: set[str]) -> None:
    """The archives and the log are one chain, which holds each operation once; a restart finds what was there."""
    assert not list(verify(world.reader))
    paths = sorted(world.directory.parent.glob(f"{world.node_id}-*.jsonl.gz"))
    archives = [row.file for row in world.reader.archives()]
    assert not list(verify_archives([path for path in paths if str(path) in archives], world.reader.anchor()))
    anchor = world.store.anchor.seq
    rows = [row for row in rows_of(paths) if row.seq <= anchor] + world.reader.rows(None, anchor, 2**62, 2**31)
    keys = [row.link_key for row in rows if row.link_key is not None]
    assert len(keys) == len(set(keys)), "an operation is in the history twice"
    world.settle()
    boot, digests = world.store.boot(), world.core.replica.held.digests
    held = {entity_type: sorted(digest.keys) for entity_type, digest in digests.types.items() if len(digest.keys)}
    assert {entity_type: sorted(keys) for entity_type, keys in boot.link_keys.items() if keys} == held
    assert {*boot.operation_keys, *boot.archived_keys} >= set(map(op_key, confirmed))


def rebuild(world: World) -> None:
    """From its document as of the anchor and its rows since, every entity is what it is."""
    for entity_type in TYPES:
        for entity in world.reader.entities(entity_type, None, 1_000, deleted=True):
            base = world.reader.archived.base(entity_type, entity.entity_id)
            updates = [base[1]] if base is not None else []
            for row in world.reader.audit(entity_type, entity.entity_id, kinds=("operation", "state"), limit=10_000):
                if row.kind == "state":
                    updates.append(b64decode(row.updates))
                    continue
                entries = orjson.loads(row.updates)
                updates += [b64decode(entry[2]) for entry in entries if entry[1] == entity.entity_id]
            made = Document.load(merge(updates), writer=1, engine=DEFAULT)
            there = Document.load(entity.snapshot, writer=1, engine=DEFAULT)
            assert (made.vector, made.version) == (there.vector, there.version)
            assert {r.id for r in made.records()} == {r.id for r in there.records()}


def again(evening: Evening) -> None:
    """Every operation that was confirmed is sent a second time: it is known, and changes nothing."""
    before = [shown(world) for world in evening.mesh.worlds]
    sent = {name_of(operation["terminal_id"], operation["id"]): operation for operation in evening.sent}
    for client in evening.clients:
        client.inbox.clear()
        mine = [o for name, o in sent.items() if name in evening.confirmed and o["terminal_id"] == client.name]
        for operation in mine:
            client.send({"type": "data_sync", "operation": operation})
        client.world.settle()
        client.receive()
        answers = {m["operation_id"]: m for m in client.of("sync_confirmation")}
        assert {o["id"] for o in mine} <= answers.keys()
        assert all(answers[o["id"]]["status"] == "duplicate" for o in mine)
    assert [shown(world) for world in evening.mesh.worlds] == before
