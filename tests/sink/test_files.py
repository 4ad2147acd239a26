"""The same in files: each operation once, money digit for digit, wherever the sink is killed."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow.parquet
import pytest

from node.errors import ConfigError
from node.lists.cells import guarded
from node.sink import sheets
from node.sink.files import PAGE, Files
from node.sink.follow import Follower, Refused
from node.sink.mapping import Counted, Mapping
from node.sink.page import Page
from node.sink.sheets import Csv, Parquet
from node.sink.watch import Watch
from tests.cli.test_json import run
from tests.sink.rig import ZONE, Store, cursor, of_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date
    from pathlib import Path

    from node.sink.sheets import Sheet

SHEETS = [pytest.param(Csv(guarded), id="csv"), pytest.param(Parquet.load(), id="parquet")]


class Killed(BaseException):
    """The sink is gone."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "realms" / "loja-a", "loja-a")
    for number in range(3):
        made.order(number)
    yield made
    made.close()


def files(
    store: Store, folder: Path, sheet: Sheet, *, page: int = PAGE, day_of: Callable[[str], date] | None = None
) -> Files:
    counted = Counted(ZONE, "05:00", day_of or cursor(store).day_of)
    return Files(
        folder=folder,
        sheet=sheet,
        follower=Follower(Watch(store.directory.parent.parent)),
        mapping=Mapping(),
        counted=lambda _: counted,
        page=page,
    )


def rows(folder: Path, sheet: Sheet, table: str) -> list[dict[str, Any]]:
    found = []
    for path in sorted((folder / table).glob(f"*/*{sheet.ends}")):
        read = sheet.read(path)
        assert {(row["site"], row["business_day"]) for row in read} <= {(path.parent.name, path.stem)}
        found += read
    return found


def agree(store: Store, folder: Path, sheet: Sheet) -> None:
    said = of_log(store)
    operations = rows(folder, sheet, "operations")
    assert sorted(int(row["link_key"]) for row in operations) == sorted(said["operations"])
    assert {row["order_id"]: Decimal(row["total"]) for row in rows(folder, sheet, "orders")} == {
        key: Decimal(json.dumps(data["total"])) for key, data in said["orders"].items()
    }
    payments = rows(folder, sheet, "payments")
    assert len(payments) == len(said["payments"])
    assert {(row["order_id"], row["payment_id"]): Decimal(row["amount"]) for row in payments} == {
        key: Decimal(json.dumps(one["amount"])) for key, one in said["payments"].items()
    }
    lines = [(row["order_id"], row["line_id"]) for row in rows(folder, sheet, "order_lines")]
    assert sorted(lines) == sorted(said["lines"])


@pytest.mark.parametrize("sheet", SHEETS)
def test_the_files_are_what_the_log_says_and_follow_it(store: Store, tmp_path: Path, sheet: Sheet) -> None:
    folder = tmp_path / "out"
    files(store, folder, sheet).run(once=True)
    agree(store, folder, sheet)
    before = {path: path.stat().st_mtime_ns for path in folder.glob(f"*/*/*{sheet.ends}")}
    assert len(before) == 4
    files(store, folder, sheet).run(once=True)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "nothing new, nothing written"
    store.till.do("orders", "mesa-1", "UPDATE", {"payments": [], "items": [{"id": "2", "sku": "suco", "price": 8}]})
    store.order(7)
    files(store, folder, sheet).run(once=True)
    agree(store, folder, sheet)
    store.till.do("orders", "mesa-2", "DELETE", {})
    files(store, folder, sheet).run(once=True)
    gone = [row for row in rows(folder, sheet, "orders") if row["order_id"] == "mesa-2"]
    assert [row["deleted"] in (True, "true") for row in gone] == [True]
    assert "mesa-2" not in {row["order_id"] for row in rows(folder, sheet, "payments")}


@pytest.mark.parametrize("sheet", SHEETS)
def test_killed_at_every_file_it_comes_to_the_same(
    store: Store, tmp_path: Path, sheet: Sheet, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, deaths, put = sheets.put_file, 0, [0]

    def mortal(*arguments: Any) -> None:
        put[0] -= 1
        if put[0] < 0:
            raise Killed
        whole(*arguments)

    monkeypatch.setattr(sheets, "put_file", mortal)
    folder = tmp_path / "out"
    for dies_at in range(1_000):
        put[0] = dies_at
        try:
            files(store, folder, sheet, page=4).run(once=True)
        except Killed:
            deaths += 1
            continue
        break
    assert deaths >= 4
    agree(store, folder, sheet)
    put[0] = 10**9
    files(store, tmp_path / "other", sheet).run(once=True)
    for path in folder.glob(f"*/*/*{sheet.ends}"):
        assert sheet.read(path) == sheet.read(tmp_path / "other" / path.relative_to(folder))


def page(accepted_at: str, day: str, key: int) -> Page:
    made = Page()
    made.operations.append(
        {
            "link_key": key,
            "operation_id": str(key),
            "origin": "n",
            "terminal_id": "t",
            "user_id": None,
            "entity_type": "orders",
            "entity_id": "mesa-1",
            "kind": "UPDATE",
            "status": "applied",
            "accepted_at": accepted_at,
            "business_day": day,
            "operation": "{}",
            "changes": None,
        }
    )
    made.orders.append({"order_id": "mesa-1", "total": Decimal(1), "deleted": False})
    return made


@pytest.mark.parametrize("sheet", SHEETS)
def test_an_order_is_of_the_day_of_its_first_operation_whichever_comes_first(
    store: Store, tmp_path: Path, sheet: Sheet
) -> None:
    out = files(store, tmp_path, sheet)
    opened = out._cursor("loja-a", "x")
    for made in (
        page("2026-01-16T12:00:00.000Z", "2026-01-16", 1),
        page("2026-01-15T12:00:00.000Z", "2026-01-15", 2),
        page("2026-01-17T12:00:00.000Z", "2026-01-17", 3),
    ):
        out._write("loja-a", made, opened)
    opened.close()
    assert [row["business_day"] for row in rows(tmp_path, sheet, "orders")] == ["2026-01-15"]
    days = [row["business_day"] for row in rows(tmp_path, sheet, "operations")]
    assert days == ["2026-01-15", "2026-01-16", "2026-01-17"]


def test_a_killed_sink_leaves_no_order_where_it_is_not(store: Store, tmp_path: Path) -> None:
    """It put the order into the file of its first day, and what comes then belongs before that."""
    sheet = Csv(guarded)
    out = files(store, tmp_path, sheet)
    opened = out._cursor("loja-a", "x")
    late = page("2026-01-16T12:00:00.000Z", "2026-01-16", 1)
    out._write("loja-a", late, opened)
    opened.rollback()
    late.operations.extend(page("2026-01-15T12:00:00.000Z", "2026-01-15", 2).operations)
    out._write("loja-a", late, opened)
    opened.close()
    assert [row["business_day"] for row in rows(tmp_path, sheet, "orders")] == ["2026-01-15"]


def test_money_keeps_its_digits_and_what_does_not_fit_is_left_out() -> None:
    sheet = Parquet.load()
    said = [
        "0.1",
        "103.80",
        "-12345678901234567890.123456789",
        "1E+400",
        "0.0000000001",
        "99999999999999999999999999999",
    ]
    kept = [sheet.encode({"total": Decimal(one)})["total"] for one in said]
    assert kept == [*map(Decimal, said[:3]), None, None, Decimal(said[5])]


def test_no_text_is_a_formula_however_often_its_file_is_written(store: Store, tmp_path: Path) -> None:
    for name in ("=1+1", "=2+2"):
        store.till.do("orders", "mesa-9", "UPDATE", {"status": name})
        files(store, tmp_path / "out", Csv(guarded)).run(once=True)
        files(store, tmp_path / "out", Csv(guarded)).run(once=True)
        store.order(5)
    files(store, tmp_path / "out", Csv(guarded)).run(once=True)
    (row,) = [row for row in rows(tmp_path / "out", Csv(guarded), "orders") if row["order_id"] == "mesa-9"]
    assert row["status"] == "'=2+2"


def test_one_writes_into_a_folder_and_days_stay_as_they_were_counted(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    files(store, folder, Csv(guarded)).run(once=True)
    with pytest.raises(ConfigError, match="Manaus"):
        files(store, folder, Csv(guarded))._cursor("loja-a", "America/Manaus 05:00")
    with pytest.raises(ConfigError, match="another sink"):
        both(store, folder)
    (path,) = folder.glob("orders/*/*.csv")
    path.write_text("order_id\nmesa-1\n")
    store.order(8)
    with pytest.raises(Refused, match="other columns"):
        files(store, folder, Csv(guarded)).run(once=True)


def both(store: Store, folder: Path) -> None:
    """One sink begins while another one is at work."""
    store.order(7)
    day_of = cursor(store).day_of

    def meanwhile(moment: str) -> date:
        files(store, folder, Csv(guarded)).run(once=True)
        return day_of(moment)

    files(store, folder, Csv(guarded), day_of=meanwhile).run(once=True)


def test_the_command_writes_both(store: Store, tmp_path: Path) -> None:
    data, folder = store.directory.parent.parent, tmp_path / "out"
    for kind in ("csv", "parquet"):
        said = run(["sink", "--once", "--to", str(folder / kind), "--format", kind, "--data", str(data), "--json"])
        assert json.loads(said)["rows"] > 0
    agree(store, folder / "csv", Csv(guarded))
    (path,) = (folder / "parquet").glob("payments/loja-a/*.parquet")
    assert str(pyarrow.parquet.read_schema(path).field("amount").type) == "decimal128(38, 9)"
