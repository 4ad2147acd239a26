"""Fingerprints and signed heads over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from prometheus_client.parser import text_string_to_metric_families

from node.core.keyring import fingerprint
from node.wire.links.heads import head_of
from tests.harness import Client, World
from tests.runtime.api_rig import ADMIN, request, served

if TYPE_CHECKING:
    from pathlib import Path

    from node.runtime.api.routes import Api


async def asked(api: Api, path: str, **query: str) -> tuple[int, dict[str, Any]]:
    answer = await api.answer(request(path, {name: [value] for name, value in query.items()}), ADMIN)
    assert isinstance(answer.body, bytes)
    return answer.status, orjson.loads(answer.body)


async def test_keys_and_heads_are_shown_and_a_key_is_decided_about(tmp_path: Path) -> None:
    world = World(tmp_path, node_id="hub")
    own, keyring = world.around.signatures.public, world.core.replica.keyring
    keyring.met("n1", bytes(32), world.core.replica.log.group.commit.meta)
    Client(world, "ana").connect().do("orders", "mesa-1", "CREATE", {"note": "x"})
    world.advance(1_000)
    world.settle()
    (head,) = world.reader.heads("hub")
    world.close()
    async with served(world) as node:
        status, report = await asked(node.api, "/api/v1/keys")
        assert (status, report["node_id"]) == (200, "hub")
        assert report["keys"]["hub"] == [{"fingerprint": fingerprint(own), "by": ""}]
        assert (await asked(node.api, "/api/v1/links"))[1]["keys"] == report["keys"]
        status, heads = await asked(node.api, "/api/v1/heads")
        assert [head_of(one, head.received_ms) for one in heads["heads"]] == [head]
        assert (await asked(node.api, "/api/v1/heads", node="n1"))[1]["heads"] == []
        wrong = await asked(node.api, "/api/v1/keys/trust", node="n1", fingerprint="0000")
        assert wrong[0] == 404
        status, report = await asked(node.api, "/api/v1/keys/forget", node="n1", fingerprint=fingerprint(bytes(32)))
        assert (status, list(report["keys"])) == (200, ["hub"])
        metrics = await node.api.answer(request("/metrics"), ADMIN)
        assert isinstance(metrics.body, bytes)
        names = {family.name for family in text_string_to_metric_families(metrics.body.decode())}
        assert {"comanda_keys_offered", "comanda_head_alarms"} <= names
