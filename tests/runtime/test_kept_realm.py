"""A store's realm at head office: opened once, for who may, closed when nobody is there, and alone in its faults."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import pytest
import trio
from attrs import evolve

from node.config.sections import Config, NodeSection, TimeSection
from node.core.start import REALM
from node.runtime import kept_realm
from node.runtime.api.joining import Reached
from node.runtime.api.tokens import made
from node.runtime.disk_space import DiskSpace
from node.runtime.kept_realm import Kept, NotOpened
from node.runtime.net.http import Request
from node.runtime.realm import House, Realm
from node.runtime.realms import Realms
from storage.sqlite.store import Store
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


def store(data: Path, site: str, *, token: bool = False) -> str:
    """A store that is kept there, perhaps with a token, which is returned."""
    shown, row = made("hub", "node", "", "2026-01-15T10:00:00.000Z", {}, None)
    with closing(Store.open(data / "realms" / site, None, lambda: uuid.uuid4().hex)) as opened:
        opened.set_meta({REALM: site})
        opened.put_tokens([row] if token else [])
    return shown


@asynccontextmanager
async def office(data: Path, host: str = "localhost", rest_s: float = 60.0) -> AsyncIterator[Realms]:
    config = Config(node=NodeSection(data=str(data), host=host), time=TimeSection(realm_rest_s=rest_s))
    house = House(Reached(None, [(False, "127.0.0.1:1")]), DiskSpace(directory=data, settings=config.disk))
    async with trio.open_nursery() as nursery:
        yield Realms(nursery=nursery, config=config, node_id="office", house=house, allow=lambda count: None)
        nursery.cancel_scope.cancel()


def kept(realms: Realms, site: str) -> Kept:
    found = realms.find(site)
    assert found is not None
    return found


def asking(path: str = "/api/v1/whoami", user: str | None = "root") -> Request:
    return Request("GET", path, path, {}, {"host": "localhost"}, "127.0.0.1:9", user=user)


async def until(check: Callable[[], object]) -> None:
    with trio.fail_after(PATIENCE_S):
        while not check():  # noqa: ASYNC110 (what is waited for holds no event)
            await trio.sleep(0.01)


async def test_many_who_come_at_once_find_one_realm_and_it_is_its_stores(tmp_path: Path) -> None:
    store(tmp_path, "a")
    async with office(tmp_path) as realms:
        found: list[int] = []
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                found.append((await kept(realms, "a").http(asking())).status)

            for _ in range(10):
                nursery.start_soon(ask)
        assert found == [200] * 10
        realm = kept(realms, "a").realm
        assert realm is not None
        assert (realm.name, realm.core.node_id, realm.core.replica.settings.realm) == ("a", "office", "a")
        assert not realm.diallers
        assert realms.find("b") is None
        assert realms.find("../a") is None


async def test_it_rests_when_nobody_is_there_and_opens_again(tmp_path: Path) -> None:
    store(tmp_path, "a")
    async with office(tmp_path, rest_s=0.01) as realms:
        for _ in range(3):
            one = kept(realms, "a")
            assert (await one.http(asking())).status == 200
            await until(lambda one=one: one.realm is None)


async def test_a_fault_ends_one_realm_and_no_other_and_who_comes_next_opens_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(kept_realm, "AGAIN_S", 0.0)
    store(tmp_path, "a")
    store(tmp_path, "b")
    async with office(tmp_path) as realms:
        one, other = kept(realms, "a"), kept(realms, "b")
        for each in (one, other):
            assert (await each.http(asking())).status == 200
        assert one.realm is not None

        async def fails() -> None:
            raise IndexError("on purpose")

        one.realm._nursery.start_soon(fails)
        await until(lambda: one.realm is None)
        await one._ended.wait()
        assert "it ended" in str(one.wrong)
        assert other.realm is not None
        assert (await other.http(asking())).status == 200
        assert (await one.http(asking())).status == 200
        assert one.wrong is None
    assert "on purpose" in caplog.text


async def test_what_cannot_begin_says_why_and_is_left_alone_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path, "a")
    tries = 0

    kept_open: list[object] = []

    class Broken(Realm):
        def __init__(self, held: Any, *of: Any) -> None:
            nonlocal tries
            tries += 1
            kept_open.append(held)
            raise KeyError("on purpose")

    monkeypatch.setattr(kept_realm, "Realm", Broken)
    async with office(tmp_path) as realms:
        for _ in range(3):
            with pytest.raises(NotOpened, match="on purpose"):
                await kept(realms, "a").http(asking())
        assert tries == 1
        monkeypatch.undo()
        monkeypatch.setattr(kept_realm, "AGAIN_S", 0.0)
        assert (await kept(realms, "a").http(asking())).status == 200, "its database was closed"


@pytest.mark.parametrize(("host", "open_to_all"), [("localhost", True), ("10.0.0.5", False)])
async def test_without_tokens_it_takes_nobody_from_a_network(tmp_path: Path, host: str, open_to_all: bool) -> None:
    store(tmp_path, "a")
    token = store(tmp_path, "b", token=True)
    async with office(tmp_path, host) as realms:
        a, b = kept(realms, "a"), kept(realms, "b")
        assert await a.knows(None) is open_to_all
        assert await a.knows(token) is open_to_all
        assert [await b.knows(shown) for shown in (None, "cmd_wrong", token)] == [False, False, True]
        if not open_to_all:
            with pytest.raises(NotOpened, match="token add"):
                await a.http(asking())
        assert (await b.http(asking())).status == 200


async def test_another_stores_database_in_its_folder_is_not_opened(tmp_path: Path) -> None:
    store(tmp_path, "a")
    (tmp_path / "realms" / "a").rename(tmp_path / "realms" / "b")
    async with office(tmp_path) as realms:
        with pytest.raises(NotOpened, match="holds the data of 'a'"):
            await kept(realms, "b").http(asking())


def test_the_configuration_of_a_store_dials_nobody_and_is_small(tmp_path: Path) -> None:
    store(tmp_path, "a")
    own = Config(node=NodeSection(data=str(tmp_path), site="office"))
    own = evolve(own, links=evolve(own.links, upstream="ws://x:1", peers=["ws://y:1"], office="ws://z:1"))
    realms = Realms(
        nursery=None,  # type: ignore[arg-type]
        config=own,
        node_id="office",
        house=None,  # type: ignore[arg-type]
        allow=lambda count: None,
    )
    config = kept(realms, "a").config
    assert config.links.dialled() == []
    assert (config.node.site, config.node.id, config.small) == ("a", "office", True)
    assert config.limits.resident_bytes < own.limits.resident_bytes
