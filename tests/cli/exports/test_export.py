"""`comanda export` from a real node in each format, now and as it was; imported again it changes nothing."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from node.cli import main
from node.cli.exports.formats import cell
from node.lists import notation
from node.lists.cells import without_guard
from node.lists.notation import Notation
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

PRODUCTS: dict[str, dict[str, Any]] = {
    "1": {"name": "Pão de queijo", "price": 4.5, "stock": 10, "active": True},
    "2": {"name": "=HYPERLINK(\"http://x\")", "price": 3, "barcode": "0789", "tags": ["a", {"b": 1}]},
    "3": {"name": "'-5; \"duas\"\nlinhas", "price": 1234567.89, "active": False, "code": 12345678, "note": "4,50"},
    "4": {"name": "sim", "price": "sob consulta", "size": "38", "active": None, "tags": []},
}  # fmt: skip
"""What is lost if a column is taken for one kind: each name, code and text comes back as it is."""

FILES = ("a.csv", "b.jsonl", "c.db")


def run(node: NodeProcess, *words: str) -> Result:
    return CliRunner().invoke(main, [*words, "--data", str(node.data)], env={"COLUMNS": "200"})


def lines_of(node: NodeProcess, *words: str) -> list[dict[str, Any]]:
    """What is exported to stdout."""
    return [json.loads(line) for line in done(node, "export", *words).stdout.splitlines()]


def done(node: NodeProcess, *words: str) -> Result:
    result = run(node, *words)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def send(
    node: NodeProcess, entity_type: str, entity_id: str, kind: str, *options: str, **data: Any
) -> dict[str, Any]:
    operation = {"entity_type": entity_type, "entity_id": entity_id, "operation": kind, "data": data}
    result = run(node, "send", json.dumps({"type": "data_sync", "operation": operation}), *options)
    return json.loads(result.output)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """With four products, an order, and a conflict about a customer."""
    running = NodeProcess(tmp_path_factory.mktemp("export") / "node").start()
    for entity_id, fields in PRODUCTS.items():
        send(running, "products", entity_id, "CREATE", **fields)
    send(running, "orders", "mesa-1", "CREATE", status="pending")
    send(running, "customers", "ana", "CREATE", phone="1")
    send(running, "customers", "ana", "UPDATE", "--terminal", "other", phone="2")
    yield running
    running.end()


@pytest.mark.parametrize("name", FILES)
def test_what_is_exported_is_imported_without_a_change(node: NodeProcess, tmp_path: Path, name: str) -> None:
    file = str(tmp_path / name)
    result = done(node, "export", "entities", file, "--type", "products")
    assert result.stderr == f"4 -> {file}\n"
    for more in ((), ("--counts",)):
        said = json.loads(done(node, "import", file, "--dry-run", "--json", *more).stdout)
        assert (said["created"], said["changed"], said["refused"], said["unchanged"]) == ([], [], [], 4)


def test_json_lines_move_every_value_to_another_node_as_it_is(node: NodeProcess, tmp_path: Path) -> None:
    file, again = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    done(node, "export", "entities", str(file), "--type", "products")
    other = NodeProcess(tmp_path / "other").start()
    done(other, "import", str(file))
    done(other, "export", "entities", str(again), "--type", "products")
    moved, there = ([json.loads(line) for line in path.read_text().splitlines()] for path in (again, file))
    assert moved == there == [{"entity_id": name, **fields} for name, fields in PRODUCTS.items()]
    other.end()


def test_csv_is_as_a_brazilian_spreadsheet_opens_it_and_no_cell_is_a_formula(
    node: NodeProcess, tmp_path: Path
) -> None:
    file = tmp_path / "a.csv"
    done(node, "export", "entities", str(file), "--type", "products")
    assert file.read_bytes().startswith(b"\xef\xbb\xbfentity_id;")
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = {row["entity_id"]: row for row in csv.DictReader(text, delimiter=";")}
    assert (rows["1"]["price"], rows["1"]["active"], rows["3"]["price"]) == ("4,5", "sim", "1234567,89")
    cells = [value for row in rows.values() for value in row.values()]
    assert not [value for value in cells if value.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert rows["2"]["name"] == '\'=HYPERLINK("http://x")'
    done(node, "export", "entities", str(file), "--type", "products", "--plain", "--force")
    with file.open(encoding="utf-8", newline="") as text:
        assert {row["entity_id"]: row["price"] for row in csv.DictReader(text)}["3"] == "1234567.89"


JSON = st.one_of(
    st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text(max_size=8)
)


@given(JSON, st.booleans())
def test_any_value_is_read_back_from_its_cell_where_it_is_shown(value: object, plain: bool) -> None:
    text = without_guard(cell(value, plain))
    written = Notation("." if plain else ",")
    assert text == value or notation.may_be(text.strip(), value, written)


def test_sqlite_has_a_table_for_each_type_and_parquet_its_columns(node: NodeProcess, tmp_path: Path) -> None:
    done(node, "export", "entities", str(tmp_path / "a.db"))
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        assert {*tables} >= {"products", "orders", "customers"}
        assert database.execute("select status from orders where entity_id = 'mesa-1'").fetchall() == [("pending",)]
    done(node, "export", "entities", str(tmp_path / "a.parquet"), "--type", "products")
    rows = {row["entity_id"]: row for row in pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pylist()}
    assert (rows["1"]["stock"], rows["1"]["active"], rows["1"]["price"]) == (10, True, "4.5")
    assert rows["2"]["tags"] == '["a",{"b":1}]'


def test_entities_come_as_they_were(node: NodeProcess, tmp_path: Path) -> None:
    send(node, "orders", "then", "CREATE", status="pending")
    entries = [
        json.loads(line) for line in done(node, "export", "operations", "--type", "orders").stdout.splitlines()
    ]
    at = next(entry["accepted_at"] for entry in entries if entry["entity_id"] == "then")
    while send(node, "orders", "then", "UPDATE", status="served")["timestamp"] <= at:
        pass

    def status(*options: str) -> list[str]:
        rows = lines_of(node, "entities", "--type", "orders", *options)
        return [row["status"] for row in rows if row["entity_id"] == "then"]

    assert (status(), status("--at", at)) == (["served"], ["pending"])
    assert status("--at", "2020-01-01") == status("--day", "31/12/2019") == []


def test_operations_are_of_the_business_day_on_which_they_were_accepted(node: NodeProcess, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    lines = lines_of(node, "operations")
    assert [row["seq"] for row in lines] == sorted(row["seq"] for row in lines)
    (first, *_) = lines
    done(node, "export", "operations", str(file), "--day", first["business_day"])
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = [*csv.DictReader(text, delimiter=";")]
    assert {row["business_day"] for row in rows} == {first["business_day"]}
    assert int(rows[0]["seq"]) == first["seq"]
    assert json.loads(rows[0]["after"]) == first["after"]
    assert first["local_time"].endswith("-03:00")
    now = datetime.now(UTC)
    long_ago = f"{now - timedelta(days=30):%d/%m/%Y}"
    assert lines_of(node, "operations", "--day", long_ago) == []
    later = f"{now + timedelta(days=2):%Y-%m-%d}"
    assert len(done(node, "export", "operations", "--day", long_ago, "--until", later).stdout.splitlines()) >= len(
        lines
    )


def test_conflicts_are_as_they_are_or_as_they_were(node: NodeProcess, tmp_path: Path) -> None:
    send(node, "customers", "eva", "CREATE", phone="1")
    send(node, "customers", "eva", "UPDATE", "--terminal", "other", phone="2")

    def of_eva(*options: str) -> dict[str, Any]:
        rows = lines_of(node, "conflicts", "--type", "customers", *options)
        (row,) = [row for row in rows if row["entity_id"] == "eva"]
        return row

    row = of_eva()
    assert (row["field"], row["state"], row["shown"]["phone"], row["other"]["phone"]) == ("phone", "open", "1", "2")
    assert row["other_by"].startswith("other/")
    done(node, "conflicts", "resolve", row["id"], "--accept", "remote", "--user", "rui", "--reason", "Liguei")
    now = of_eva()
    assert (now["state"], now["decided_how"], now["decided_by"], now["reason"]) == (
        "closed",
        "person",
        "rui",
        "Liguei",
    )
    if now["decided_at"] > row["created_at"]:
        assert of_eva("--at", row["created_at"])["state"] == "open"
    assert lines_of(node, "conflicts", "--at", "2020-01-01") == []


@pytest.mark.parametrize(
    "words",
    [
        ("entities",),
        ("entities", "a.txt", "--type", "products"),
        ("entities", "--format", "csv", "--type", "products"),
        ("operations", "--at", "ontem"),
        ("operations", "--day", "40/01/2026"),
        ("operations", "--until", "2026-01-01"),
        ("operations", "--day", "2026-01-01", "--at", "2026-01-01"),
        ("operations", "--zone", "Mars"),
        ("operations", "--day-begins", "5h"),
    ],
)
def test_what_cannot_be_meant_is_a_wrong_option(node: NodeProcess, words: tuple[str, ...]) -> None:
    assert run(node, "export", *words).exit_code == 2


def test_a_file_that_exists_is_kept_unless_it_is_to_be_replaced(node: NodeProcess, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text("mine")
    assert run(node, "export", "operations", str(file)).exit_code == 1
    assert run(node, "export", "entities", str(file), "--type", "unknown", "--force").exit_code == 1
    assert (file.read_text(), [path.name for path in tmp_path.iterdir()]) == ("mine", ["a.jsonl"])
    done(node, "export", "operations", str(file), "--force")
    assert file.read_text() != "mine"
