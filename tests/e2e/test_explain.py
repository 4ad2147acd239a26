"""Explaining, looking back and bringing back on a real node, over HTTP and on the command line."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from node.cli import main
from node.clock import timestamp
from node.runtime.api.tokens import new_token, token_hash
from storage.records import TokenRow
from storage.sqlite.store import Store
from tests.patience import PATIENCE_S, connect, http_get, http_post
from tests.processes import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from websockets.sync.client import ClientConnection


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    running = NodeProcess(tmp_path / "node").start()
    yield running
    running.end()


def get(node: NodeProcess, path: str, **parameters: object) -> httpx.Response:
    return http_get(f"http://127.0.0.1:{node.port}/api/v1/{path}", params=parameters)  # type: ignore[arg-type]


def head(node: NodeProcess) -> int:
    """The last row of its log."""
    return int(get(node, "links").json()["head"])


def explained(node: NodeProcess, *place: str) -> dict[str, Any]:
    answer = get(node, "/".join(("explain", *place)))
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


class Till:
    """A terminal that confirms what it gets while it waits for an answer."""

    def __init__(self, node: NodeProcess, name: str, socket: ClientConnection) -> None:
        self.node, self.name, self.socket = node, name, socket

    def write(
        self,
        entity_type: str,
        entity_id: str,
        data: dict[str, Any],
        kind: str = "UPDATE",
        at: str = "2026-01-15T10:00:00.000Z",
    ) -> dict[str, Any]:
        operation = {
            "id": f"{self.name}-{uuid.uuid4()}",
            "entity_type": entity_type,
            "entity_id": entity_id,
            "operation": kind,
            "data": data,
            "timestamp": at,
            "terminal_id": self.name,
            "user_id": f"user of {self.name}",
        }
        self.socket.send(json.dumps({"type": "data_sync", "operation": operation}))
        return self.answer()

    def answer(self) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(self.socket.recv(timeout=PATIENCE_S))
            if message["type"] == "data_sync":
                confirmed = {"operation_id": message["operation"]["id"], "terminal_id": self.name}
                self.socket.send(json.dumps({"type": "sync_confirmation", **confirmed}))
            elif message["type"] in ("sync_confirmation", "sync_error"):
                return message

    def hear(self, type_: str) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(self.socket.recv(timeout=PATIENCE_S))
            if message["type"] == type_:
                return message


@contextmanager
def till(node: NodeProcess, name: str, token: str | None = None) -> Iterator[Till]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with connect(f"{node.url}/ws/{name}?type=pos", additional_headers=headers, proxy=None) as socket:
        yield Till(node, name, socket)


def comanda(node: NodeProcess, *words: str, status: int = 0) -> str:
    """A command against the running node; what it printed."""
    result = CliRunner().invoke(main, [*words, "--url", f"http://127.0.0.1:{node.port}"])
    assert result.exit_code == status, result.output
    return result.output


@pytest.fixture
def collided(node: NodeProcess) -> tuple[NodeProcess, str, str]:
    """Two terminals that had not seen each other's: an order's status, a customer's phone. The phones' operations."""
    with till(node, "ana") as ana, till(node, "bia") as bia:
        ana.write("orders", "mesa-1", {"status": "pending"}, "CREATE")
        ana.write("orders", "mesa-1", {"status": "ready"})
        one = ana.write("customers", "rita", {"phone": "1111"})
        two = bia.write("customers", "rita", {"phone": "2222", "version": 1})
    return node, one["operation_id"], two["operation_id"]


# ------------------------------------------------------------------ explain


def test_a_field_is_explained_over_http(collided: tuple[NodeProcess, str, str]) -> None:
    node, one, two = collided
    found = explained(node, "customers", "rita", "phone")
    assert (found["value"], found["rule"]["strategy"]) == ("1111", "merge_non_conflicting")
    assert [(w["operation_id"], w["state"]) for w in found["candidates"]] == [(one, "shown"), (two, "candidate")]
    assert {w["origin"] for w in found["candidates"]} == {get(node, "links").json()["node_id"]}
    assert found["conflicts"][0]["id"] == get(node, "entities/customers/rita").json()["conflicts"][0]
    old = explained(node, "orders", "mesa-1", "status")["superseded"][0]
    assert (old["value"], old["user_id"], old["timestamp"]) == ("pending", "user of ana", "2026-01-15T10:00:00.000Z")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("explain/pizzas/p/price", 404),
        ("explain/orders/nowhere/status", 404),
        ("explain/orders/mesa-1", 404),
        ("explain/orders/mesa-1/status?limit=many", 400),
        ("explain/orders/mesa-1/status?limit=99999", 400),
        ("entities/orders?at=yesterday", 400),
        ("entities/orders?seq=999", 400),
        ("entities/orders?seq=-1", 400),
        ("entities/orders?seq=1&at=2026-01-15T10:00:00Z", 400),
        ("entities/pizzas?seq=1", 404),
        ("entities/orders/mesa-1?seq=0", 404),
        ("entities/orders/nowhere?seq=1", 404),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(
    collided: tuple[NodeProcess, str, str], path: str, status: int
) -> None:
    answer = http_get(f"http://127.0.0.1:{collided[0].port}/api/v1/{path}")
    assert (answer.status_code, bool(answer.json()["error"])) == (status, True)


def test_the_command_explains_in_portuguese_first(collided: tuple[NodeProcess, str, str]) -> None:
    node, one, two = collided
    said = comanda(node, "explain", "customers", "rita", "phone")
    assert said.index("De 2 escritas concorrentes fica a primeira") < said.index("Of 2 concurrent writes the first")
    for text in (
        'valor / value      "1111"',
        f"operação / operation {one}",
        f"operation {two}",
        "user of bia",
        '○ "2222"',
    ):
        assert text in said
    said = comanda(node, "explain", "orders", "mesa-1", "status")
    assert "substituído por / superseded by" in said
    assert json.loads(comanda(node, "explain", "orders", "mesa-1", "status", "--json"))["value"] == "ready"
    assert "unknown entity type" in comanda(node, "explain", "pizzas", "p", "price", status=1)


# ------------------------------------------------------------------ restore


def test_a_superseded_value_comes_back_as_a_new_operation_of_the_terminal_that_asks(
    collided: tuple[NodeProcess, str, str],
) -> None:
    node, _, _ = collided
    (old,) = explained(node, "orders", "mesa-1", "status")["superseded"]
    restore = ("explain", "orders", "mesa-1", "status", "--restore", old["operation_id"], "--terminal", "gerente")
    said = comanda(node, *restore, "--user", "Marta")
    assert "confirmado / confirmed restore-" in said
    found = explained(node, "orders", "mesa-1", "status")
    assert (found["value"], found["rule"]["why"], found["conflicts"]) == ("pending", ["only"], [])
    (now,) = found["candidates"]
    assert (now["terminal_id"], now["user_id"]) == ("gerente", "Marta")
    assert [w["value"] for w in found["superseded"]] == ["ready", "pending"]
    entry = get(node, "audit", entity_id="mesa-1").json()["entries"][-1]
    assert (entry["operation_id"], entry["changes"]["after"]) == (now["operation_id"], {"status": "pending"})
    assert "aparece / is shown already" in comanda(node, *restore[:5], now["operation_id"], *restore[6:], status=1)
    assert "não escreveu" in comanda(node, *restore[:5], "op-nowhere", *restore[6:], status=1)


def test_a_candidate_of_an_open_conflict_comes_back_as_its_resolution(collided: tuple[NodeProcess, str, str]) -> None:
    node, _, two = collided
    comanda(node, "explain", "customers", "rita", "phone", "--restore", two, "--terminal", "gerente")
    found = explained(node, "customers", "rita", "phone")
    assert (found["value"], found["rule"]["why"], found["conflicts"]) == ("2222", ["only", "decided"], [])
    assert found["superseded_total"] == 2
    assert get(node, "conflicts", state="open").json()["conflicts"] == []


def test_a_frozen_drawer_takes_back_an_earlier_state_whole_and_is_free_again(node: NodeProcess) -> None:
    with till(node, "ana") as ana, till(node, "bia") as bia:
        first = ana.write("cashier_operations", "k-1", {"type": "sale", "amount": 10}, "CREATE")
        ana.write("cashier_operations", "k-1", {"type": "deposit", "amount": 15})
        bia.write("cashier_operations", "k-1", {"amount": 20, "version": 1})
    comanda(
        node, "explain", "cashier_operations", "k-1", "amount", "--restore", first["operation_id"], "--terminal", "g"
    )
    entity = get(node, "entities/cashier_operations/k-1").json()
    assert (entity["data"]["amount"], entity["data"]["type"], entity["conflicts"]) == (10, "sale", [])


def test_a_refused_value_may_be_brought_back_and_a_lock_in_its_way_is_told(node: NodeProcess) -> None:
    with till(node, "ana") as ana, till(node, "bia") as bia:
        ana.write("orders", "mesa-1", {"status": "pending"}, "CREATE")
        lock = {"entity_type": "orders", "entity_id": "mesa-1", "terminal_id": "ana", "timeout": 60_000}
        ana.socket.send(json.dumps({"type": "acquire_lock", **lock}))
        lock_id = ana.hear("lock_acquired")["lock_id"]
        refused = bia.write("orders", "mesa-1", {"status": "paid"})
        assert refused["code"] == 4009
        command = ("explain", "orders", "mesa-1", "status", "--restore", refused["operation_id"], "--terminal", "g")
        assert "recusado / refused 4009: Could not acquire entity lock" in comanda(node, *command, status=1)
        ana.socket.send(json.dumps({"type": "release_lock", "lock_id": lock_id, "terminal_id": "ana"}))
        ana.hear("lock_released")
        comanda(node, *command)
    found = explained(node, "orders", "mesa-1", "status")
    assert found["value"] == "paid"
    assert refused["operation_id"] in [act["operation_id"] for act in found["refused"]]


def test_a_deletion_that_an_open_conflict_holds_up_is_carried_out(node: NodeProcess) -> None:
    with till(node, "ana") as ana, till(node, "bia") as bia:
        ana.write("customers", "rita", {"phone": "1"}, "CREATE")
        deletion = bia.write("customers", "rita", {"version": 1}, "DELETE")
    assert not get(node, "entities/customers/rita").json()["deleted"]
    comanda(
        node, "explain", "customers", "rita", "deleted_at", "--restore", deletion["operation_id"], "--terminal", "g"
    )
    entity = get(node, "entities/customers/rita").json()
    assert (entity["deleted"], entity["conflicts"]) == (True, [])


def test_an_order_that_was_deleted_is_told_with_who_did_it_and_comes_back_whole(node: NodeProcess) -> None:
    held = {
        "status": "served",
        "total": 80,
        "items": [{"id": "1", "qty": 2}],
        "payments": [{"id": "p", "amount": 20}],
    }
    with till(node, "ana") as ana:
        created = ana.write("orders", "mesa-1", held, "CREATE")
        gone = ana.write("orders", "mesa-1", {}, "DELETE")
    deletion = explained(node, "orders", "mesa-1", "total")["deletion"]
    (by,) = deletion["by"]
    assert (by["operation_id"], by["terminal_id"], by["user_id"]) == (gone["operation_id"], "ana", "user of ana")
    assert (by["terminal_type"], deletion["over"], deletion["entity"]) == ("pos", [], held)
    said = comanda(node, "explain", "orders", "mesa-1", "total")
    assert "por / by ana (user of ana), pos" in said
    assert "--restore OPERATION_ID" in said
    comanda(node, "explain", "orders", "mesa-1", "total", "--restore", created["operation_id"], "--terminal", "g")
    entity = get(node, "entities/orders/mesa-1").json()
    assert (entity["deleted"], {n: v for n, v in entity["data"].items() if n != "version"}) == (False, held)
    assert explained(node, "orders", "mesa-1", "total")["deletion"] is None


@pytest.mark.parametrize("field", ["note", "deleted_at"])
def test_what_a_deletion_prevailed_over_comes_back_and_the_order_with_it(node: NodeProcess, field: str) -> None:
    with till(node, "ana") as ana, till(node, "bia") as bia:
        ana.write("orders", "mesa-1", {"status": "pending", "total": 7}, "CREATE", timestamp())
        unseen = ana.write("orders", "mesa-1", {"note": "sem sal", "status": "ready"}, "UPDATE", timestamp())
        bia.write("orders", "mesa-1", {"version": 1}, "DELETE", timestamp())
    deletion = explained(node, "orders", "mesa-1", field)["deletion"]
    assert (deletion["counts"], [by["terminal_id"] for by in deletion["by"]]) == (True, ["bia"])
    over = {write["operation_id"]: write["data"] for write in deletion["over"]}
    assert over[unseen["operation_id"]] == {"note": "sem sal", "status": "ready"}
    comanda(node, "explain", "orders", "mesa-1", field, "--restore", unseen["operation_id"], "--terminal", "g")
    entity = get(node, "entities/orders/mesa-1").json()
    assert (entity["deleted"], entity["conflicts"]) == (False, [])
    assert {n: entity["data"][n] for n in ("note", "status", "total")} == {
        "note": "sem sal",
        "status": "ready",
        "total": 7,
    }


def test_a_deletion_that_lost_to_an_update_is_carried_out(node: NodeProcess) -> None:
    with till(node, "ana") as ana, till(node, "bia") as bia:
        ana.write("products", "p-1", {"price": 5}, "CREATE")
        ana.write("products", "p-1", {"price": 6})
        deletion = bia.write("products", "p-1", {"version": 1}, "DELETE")
    told = explained(node, "products", "p-1", "price")
    assert (told["deletion"]["counts"], told["rule"]["why"][-1]) == (False, "revived")
    comanda(
        node, "explain", "products", "p-1", "deleted_at", "--restore", deletion["operation_id"], "--terminal", "g"
    )
    assert get(node, "entities/products/p-1").json()["deleted"]


def test_a_terminal_that_is_connected_elsewhere_cannot_restore(collided: tuple[NodeProcess, str, str]) -> None:
    node, _, two = collided
    with till(node, "gerente") as gerente:
        gerente.hear("connection_established")
        said = comanda(
            node, "explain", "customers", "rita", "phone", "--restore", two, "--terminal", "gerente", status=1
        )
    assert "4004" in said
    assert "--terminal" in comanda(node, "explain", "customers", "rita", "phone", "--restore", two, status=2)


def test_with_tokens_the_terminal_of_the_token_restores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(tmp_path / "node", "node-t", lambda: uuid.uuid4().hex)
    tokens = {name: new_token() for name in ("ana", "gerente")}
    for name, token in tokens.items():
        store.put_tokens([TokenRow(token_hash(token), name, "pos", "", "2026-01-15T10:00:00Z", None)])
    store.close()
    node = NodeProcess(tmp_path / "node").start()
    try:
        with till(node, "ana", tokens["ana"]) as ana:
            first = ana.write("customers", "rita", {"phone": "1"})
            ana.write("customers", "rita", {"phone": "2"})
        command = ("explain", "customers", "rita", "phone", "--restore", first["operation_id"], "--terminal")
        assert "401" in comanda(node, *command, "gerente", status=1)
        monkeypatch.setenv("COMANDA_TOKEN", tokens["gerente"])
        assert "4003" in comanda(node, *command, "ana", status=1)
        said = comanda(node, *command, "gerente")
        assert "applied" in said  # it had read what it replaced
        assert 'valor / value      "1"' in said
    finally:
        node.end()


# ------------------------------------------------------------------ then


def test_entities_are_shown_as_they_were_at_a_row_and_at_a_time(node: NodeProcess) -> None:
    with till(node, "ana") as ana:
        ana.write("orders", "mesa-1", {"status": "pending"}, "CREATE")
        first = head(node)
        accepted = get(node, "audit").json()["entries"][-1]["accepted_at"]
        ana.write("orders", "mesa-2", {"status": "pending"}, "CREATE")
        ana.write("orders", "mesa-1", {"status": "paid"})
        ana.write("orders", "mesa-1", {}, "DELETE")
    one = get(node, "entities/orders/mesa-1", seq=first).json()
    assert (one["data"], one["deleted"], one["as_of"]) == ({"status": "pending", "version": 1}, False, {"seq": first})
    one = get(node, "entities/orders/mesa-1", at=accepted).json()
    assert (one["data"]["status"], one["as_of"]) == ("pending", {"at": accepted})
    now = get(node, "entities/orders", seq=first + 3).json()
    assert [entity["entity_id"] for entity in now["entities"]] == ["mesa-2"]
    then = get(node, "entities/orders", seq=first + 2).json()
    assert [(e["entity_id"], e["data"]["status"]) for e in then["entities"]] == [
        ("mesa-1", "paid"),
        ("mesa-2", "pending"),
    ]
    assert get(node, "entities/orders", at="2020-01-01T00:00:00Z").json()["entities"] == []
    dead = get(node, "entities/orders", seq=first + 3, deleted=1).json()["entities"]
    assert [entity["deleted"] for entity in dead] == [True, False]


def test_a_whole_type_is_paged_as_it_was(node: NodeProcess) -> None:
    with till(node, "ana") as ana:
        for number in range(7):
            ana.write("products", f"p-{number}", {"n": number}, "CREATE")
        last = head(node)
        for number in range(7):
            ana.write("products", f"p-{number}", {}, "DELETE")
    found, after = [], ""
    while after is not None:
        page = get(node, "entities/products", seq=last, limit=3, after=after).json()
        assert len(page["entities"]) <= 3
        found += [entity["data"]["n"] for entity in page["entities"]]
        after = page["next"]
    assert found == list(range(7))
    assert len(get(node, "entities/products", seq=last).json()["entities"]) == 7


def test_a_moment_that_is_archived_is_gone_and_what_follows_is_not(node: NodeProcess) -> None:
    with till(node, "ana") as ana:
        for number in range(4):
            ana.write("orders", "mesa-1", {"n": number})
    entries = get(node, "audit").json()["entries"]
    archived = f"http://127.0.0.1:{node.port}/api/v1/archive?until={entries[1]['seq']}"
    assert http_post(archived).status_code == 200
    assert get(node, "entities/orders/mesa-1", seq=entries[0]["seq"]).status_code == 410
    assert get(node, "entities/orders", seq=entries[0]["seq"]).status_code == 410
    assert get(node, "entities/orders/mesa-1", at=entries[0]["accepted_at"]).status_code == 410
    assert get(node, "entities/orders", at=entries[0]["accepted_at"]).json()["unknown"] == ["mesa-1"]
    assert [get(node, "entities/orders/mesa-1", seq=e["seq"]).json()["data"]["n"] for e in entries[1:]] == [1, 2, 3]
    assert "o registro não diz" in comanda(node, "show", "orders", "--at", entries[0]["accepted_at"])
    assert "até a linha 2 está arquivado" in comanda(node, "explain", "orders", "mesa-1", "n")
    result = CliRunner().invoke(main, ["verify", "--data", str(node.data)])
    assert result.exit_code == 0, result.output


def test_the_command_shows_entities_now_and_then(collided: tuple[NodeProcess, str, str]) -> None:
    node = collided[0]
    assert '"ready"' in comanda(node, "show", "orders", "mesa-1")
    assert '"pending"' in comanda(node, "show", "orders", "mesa-1", "--seq", "1")
    said = comanda(node, "show", "customers")
    assert "rita" in said
    assert "EM CONFLITO / IN CONFLICT" in said
    assert "nada / nothing" in comanda(node, "show", "orders", "--at", "2020-01-01T00:00:00Z")
    assert json.loads(comanda(node, "show", "orders", "--seq", "1", "--json"))["data"]["status"] == "pending"
    assert "--at ou / or --seq" in comanda(
        node, "show", "orders", "--seq", "1", "--at", "2020-01-01T00:00:00Z", status=2
    )


def test_a_running_node_and_a_stopped_one_are_verified(collided: tuple[NodeProcess, str, str]) -> None:
    node = collided[0]
    for _ in range(2):
        result = CliRunner().invoke(main, ["verify", "--data", str(node.data)])
        assert (result.exit_code, "2 entidades / entities" in result.output) == (0, True), result.output
        node.end()
