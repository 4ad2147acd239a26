from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from storage.records import Commit
from storage.sqlite.database import StorageError
from tests.storage.rows import conflict, entity, fields_of, row, rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from storage.records import LogRow
    from storage.sqlite.reader import Reader
    from storage.sqlite.store import Store


def seqs(found: Sequence[LogRow]) -> list[int]:
    return [item.seq for item in found]


def test_an_entity_is_found_by_type_and_id(store: Store, reader: Reader) -> None:
    store.commit(Commit(entities=[entity("a"), entity("a", "products", version=9)]))
    assert reader.entity("products", "a") == entity("a", "products", version=9)
    assert reader.entity("customers", "a") is None


def test_fetch_brings_what_is_there_and_leaves_out_what_is_not(store: Store, reader: Reader) -> None:
    group = rows(1, 3)
    group.rows.append(row(4, kind="refused", operation_id="op-refused"))
    group.entities = [entity("a"), entity("b", "products")]
    group.conflicts = [conflict("x")]
    store.commit(group)
    found = reader.fetch(
        [("orders", "a"), ("orders", "b"), ("products", "b"), ("orders", "a")],
        ["pos-1/op-2", "pos-1/op-refused", "pos-1/op-9", "pos-2/op-1"],
        ["x", "y"],
    )
    assert found.entities == {("orders", "a"): entity("a"), ("products", "b"): entity("b", "products")}
    assert list(found.operations) == ["pos-1/op-2"]
    assert [fields_of(one) for one in found.operations["pos-1/op-2"]] == [fields_of(row(2))]
    assert found.conflicts == {"x": conflict("x")}


def test_one_id_of_two_terminals_is_two_operations_and_two_copies_of_one_are_both_found(
    store: Store, reader: Reader
) -> None:
    group = rows(1, 4, operation_id="op-1")
    group.rows[1].terminal_id = group.rows[3].terminal_id = "pos-2"
    store.commit(group)
    found = reader.fetch([], ["pos-1/op-1", "pos-2/op-1"], []).operations
    assert {name: [one.seq for one in copies] for name, copies in found.items()} == {
        "pos-1/op-1": [1, 3],
        "pos-2/op-1": [2, 4],
    }


def test_fetch_takes_more_keys_than_one_statement(store: Store, reader: Reader) -> None:
    store.commit(Commit(entities=[entity(f"e{n}") for n in range(1200)]))
    found = reader.fetch([("orders", f"e{n}") for n in range(1300)], [], [])
    assert len(found.entities) == 1200


def test_entities_are_paged_by_id_without_the_dead(store: Store, reader: Reader) -> None:
    store.commit(
        Commit(entities=[entity("c"), entity("a"), entity("b", deleted=True), entity("d"), entity("x", "products")])
    )
    assert [e.entity_id for e in reader.entities("orders", None, 2)] == ["a", "c"]
    assert [e.entity_id for e in reader.entities("orders", "c", 2)] == ["d"]
    assert [e.entity_id for e in reader.entities("orders", None, 9, True)] == ["a", "b", "c", "d"]


def test_the_state_of_some_types_is_paged_in_key_order_with_the_dead(store: Store, reader: Reader) -> None:
    store.commit(
        Commit(
            entities=[
                entity("b", "products"),
                entity("z", deleted=True),
                entity("a", "products"),
                entity("m"),
                entity("c", "customers"),
            ]
        )
    )
    pages, after = [], None
    while page := reader.state(["products", "orders"], after, 2, 99, "ana"):
        pages += [(e.entity_type, e.entity_id) for e in page]
        after = pages[-1]
    assert pages == [("orders", "m"), ("orders", "z"), ("products", "a"), ("products", "b")]
    assert reader.state([], None, 9, 99, "ana") == []


def test_rows_are_read_by_class_between_two_positions(store: Store, reader: Reader) -> None:
    store.commit(Commit(rows=[row(seq, priority=seq % 3) for seq in range(1, 13)]))
    assert seqs(reader.rows(0, 3, 9, 99)) == [6, 9]
    assert seqs(reader.rows(None, 3, 9, 99)) == [4, 5, 6, 7, 8, 9]
    assert seqs(reader.rows(None, 3, 9, 2)) == [4, 5]
    assert reader.rows(3, 0, 12, 99) == []


def test_the_audit_is_filtered_by_entity_terminal_and_time(store: Store, reader: Reader) -> None:
    store.commit(
        Commit(
            rows=[
                row(1, entity_id="a"),
                row(2, entity_id="b", terminal_id="pos-2"),
                row(3, entity_id=None, targets=("a", "c")),
                row(4, entity_id="a", entity_type="products"),
                row(5, entity_id="a", kind="notice", targets=("pos-1",)),
                row(6, entity_id="a", kind="refused", terminal_id="pos-2"),
            ]
        )
    )
    assert seqs(reader.audit()) == [1, 2, 3, 4, 6]
    assert seqs(reader.audit("orders")) == [1, 2, 3, 6]
    assert seqs(reader.audit("orders", "a")) == [1, 3, 6]
    assert seqs(reader.audit("products", "a")) == [4]
    assert seqs(reader.audit("products", "c")) == []
    assert seqs(reader.audit(entity_id="a")) == [1, 3, 4, 6]
    assert seqs(reader.audit(terminal_id="pos-2")) == [2, 6]
    assert seqs(reader.audit("orders", "a", terminal_id="pos-2")) == [6]
    assert seqs(reader.audit(since=2002, until=2004)) == [2, 3, 4]
    assert seqs(reader.audit(after=3, limit=1)) == [4]
    assert seqs(reader.audit(kinds=("refused",))) == [6]
    assert seqs(reader.audit(newest=True, limit=2)) == [6, 4]
    assert seqs(reader.audit(newest=True, upto=3, after=1)) == [3, 2]
    assert seqs(reader.audit("orders", "a", newest=True)) == [6, 3, 1]
    assert seqs(reader.audit(entity_id="a", newest=True, limit=2)) == [6, 4]


def test_the_audit_is_filtered_by_the_user_that_it_shows(store: Store, reader: Reader) -> None:
    named = (b'{"user_id":"bia"}', b'{"user_id":7}', b"", b"no json")
    rows = [row(seq, user_id=None, operation=text) for seq, text in enumerate(named, 1)]
    store.commit(Commit(rows=[*rows, row(5, user_id="ana", operation=named[0])]))
    assert seqs(reader.audit(user_id="bia")) == [1]
    assert seqs(reader.audit(user_id="ana")) == [5]
    assert seqs(reader.audit(user_id="nobody")) == []


def test_conflicts_are_listed_by_state_in_the_order_they_came(store: Store, reader: Reader) -> None:
    store.commit(Commit(conflicts=[conflict("z", seq=1), conflict("a", seq=2), conflict("m", "closed", seq=3)]))
    assert [c.conflict_id for c in reader.conflicts("open")] == ["z", "a"]
    assert [c.conflict_id for c in reader.conflicts(None, 1)] == ["a", "m"]
    assert [c.conflict_id for c in reader.conflicts(None, limit=1)] == ["z"]


def test_a_reader_sees_a_commit_as_soon_as_it_is_made(store: Store, reader: Reader) -> None:
    for seq in (1, 2, 3):
        store.commit(rows(seq, seq))
        assert reader.head() == (seq, store.chain)
        assert seqs(reader.rows(None, 0, seq, 9))[-1] == seq


def test_every_read_of_a_closed_reader_is_a_storage_error(reader: Reader) -> None:
    reader.close()
    for read in (reader.tokens, reader.head, reader.audit, lambda: reader.entity("orders", "a")):
        with pytest.raises(StorageError):
            read()


def test_the_state_leaves_out_what_only_others_have_written_since_a_row(store: Store, reader: Reader) -> None:
    def written(seq: int, entity_id: str | None, terminal_id: str = "ana", *targets: str) -> LogRow:
        return row(seq, entity_id=entity_id, terminal_id=terminal_id, targets=targets)

    store.commit(
        Commit(
            rows=[
                written(1, "old"),
                row(2, kind="refused", entity_id="refused-first", terminal_id="bia"),
                written(3, "old"),
                written(4, "new"),
                written(5, "own", "bia"),
                written(6, "refused-first"),
                written(7, None, "ana", "bulk", "old"),
                written(8, "dead"),
            ],
            entities=[
                *(entity(name, seq=seq) for name, seq in (("new", 4), ("own", 5), ("refused-first", 6), ("old", 7))),
                *(entity("bulk", seq=7), entity("dead", seq=8, deleted=True)),
            ],
        )
    )

    def state(begun: int) -> list[str]:
        return [found.entity_id for found in reader.state(["orders"], None, 9, begun, "bia")]

    assert state(2) == ["dead", "old", "own"]
    assert state(4) == ["dead", "new", "old", "own"]
    assert state(7) == ["bulk", "dead", "new", "old", "own", "refused-first"]
    store.prune(5)
    assert state(2) == ["dead", "new", "old", "own"], "of archived rows it is not known which was the first"
