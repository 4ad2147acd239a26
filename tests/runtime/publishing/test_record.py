"""What is told of a published list: missing until it is written, and delivered when a node of the store has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from node.runtime.publishing import record as module
from node.runtime.publishing.office import Office
from node.runtime.publishing.record import Held, Record, Store, held, held_at_owner, how_far, records
from storage.records import FollowerRow
from tests.sink.rig import Store as Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "realms" / "loja-a", "loja-a")
    made.order(0)
    yield made
    made.close()


def confirm(site: Site, seq: int, *, epoch: str | None = None) -> None:
    """A node of the store has its log up to here."""
    row = FollowerRow("hub", epoch or site.core.links.epoch, (seq,) * 4, 1_768_471_200_000)
    site.core.cursors.note_follower(row)
    site.core.store_cursors()
    site.commit()


def test_what_is_on_a_disk_of_the_store_is_delivered(tmp_path: Path, site: Site) -> None:
    written = Store(epoch=site.core.links.epoch, seq=4, created=1)
    assert held(tmp_path, "loja-a", Store()).state == "missing"
    assert held(tmp_path, "loja-b", written).state == "missing", "head office keeps it no more"
    assert held(tmp_path, "loja-a", written).state == "sent"
    confirm(site, 3)
    assert held(tmp_path, "loja-a", written).state == "sent"
    confirm(site, 4)
    assert (held(tmp_path, "loja-a", written).state, held(tmp_path, "loja-a", written).node) == ("delivered", "hub")
    told = held(tmp_path, "loja-a", Store(node="office", epoch=site.core.links.epoch, seq=4)).report()
    assert (told["node"], told["seq"]) == ("hub", 4), "who has it, and not who wrote it"
    confirm(site, 9, epoch="another log")
    assert held(tmp_path, "loja-a", written).state == "sent"


def test_a_copy_at_head_office_is_no_node_of_the_store(tmp_path: Path, site: Site) -> None:
    confirm(site, 4)
    written = Store(node="office", epoch=site.core.links.epoch, seq=4)
    assert held(tmp_path, "loja-a", written, ["office", "hub"]).state == "sent"
    assert held(tmp_path, "loja-a", written, ["office"]).state == "delivered"


def test_what_another_process_of_head_office_owns_is_told_by_it() -> None:
    def told(confirmed: list[int] | None, epoch: str = "e") -> Held:
        here: dict[str, Any] = {"peer": "south", "confirmed": [9] * 4}
        away: dict[str, Any] = {"peer": "hub", "confirmed": confirmed, "last_seen": "2026-01-15T10:00:00.000Z"}
        unknown: dict[str, Any] = {"peer": None, "confirmed": None}
        said = {"node_id": "north", "epoch": epoch, "links": [here, unknown], "away": [away]}
        return held_at_owner(said, "loja-a", Store(node="north", epoch="e", seq=4), ["north", "south"])

    assert told(None).state == "sent"
    assert told([4, 4, 3, 4]).state == "sent"
    assert (told([4] * 4).state, told([4] * 4).node, told([4] * 4).at) == (
        *("delivered", "hub"),
        "2026-01-15T10:00:00.000Z",
    )
    gone = told([4] * 4, epoch="another log")
    assert gone.state == "sent"
    assert "north" in str(gone.store.wrong)
    assert held_at_owner({}, "loja-a", Store(), []).state == "missing"


def test_rows_of_a_log_that_was_set_back_are_not_told_to_be_there(tmp_path: Path, site: Site) -> None:
    confirm(site, 4)
    gone = held(tmp_path, "loja-a", Store(epoch="before", seq=4))
    assert (gone.state, gone.store.wrong is not None) == ("missing", True)


def test_so_many_records_are_kept_and_a_damaged_one_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    for day in range(5):
        made = Record(id=f"list{day}", file="a.csv", entity_type="products", begun=f"2026-01-0{day + 1}T00:00:00Z")
        made.stores["loja-a"] = Store(seq=day, epoch="e")
        made.put(tmp_path)
    (tmp_path / module.FOLDER / "list3.json").write_text("{")
    (tmp_path / module.FOLDER / "list2.json").write_text('{"id": 1}')
    assert [(one.id, one.stores["loja-a"].seq) for one in records(tmp_path)] == [
        ("list4", 4),
        ("list1", 1),
        ("list0", 0),
    ]
    made.id, made.begun = "list9", "2026-01-09T00:00:00Z"
    made.put(tmp_path)
    assert [one.id for one in records(tmp_path)] == ["list9", "list4", "list1"]
    assert not (tmp_path / module.FOLDER / "list0.json").exists()


def test_a_store_that_has_a_list_is_not_looked_at_again_until_something_else_was_written(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int | None] = []

    def counted(data: Path, record: Record, realm: str, ask: Any) -> Held:
        looks.append(record.stores[realm].seq)
        return how_far(data, record, realm, ask)

    monkeypatch.setattr("node.runtime.publishing.office.how_far", counted)
    office, epoch = Office(tmp_path), site.core.links.epoch
    record = Record(id="a", file="a.csv", entity_type="products", begun="2026-01-15T10:00:00.000Z", node="office")

    def told(seq: int) -> object:
        record.stores["loja-a"] = Store(node="office", epoch=epoch, seq=seq)
        record.put(tmp_path)
        said = office.publication("a", None)
        assert said is not None
        return [(row["state"], row["seq"]) for row in said["stores"]]  # type: ignore[attr-defined]

    assert told(4) == [("sent", 4)]
    confirm(site, 4)
    assert told(4) == told(4) == [("delivered", 4)]
    assert told(9) == [("sent", 9)]
    confirm(site, 9)
    assert told(9) == told(9) == [("delivered", 9)]
    assert looks == [4, 4, 9, 9], "once more after it was delivered, never"
