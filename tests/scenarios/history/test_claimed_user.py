"""Who acted is who was logged in on the connection; whom an operation names besides is a claim, and told as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from node.core.log.messages import audit_entry
from tests.harness import Client
from tests.mesh import Mesh

if TYPE_CHECKING:
    from pathlib import Path

WRITES: dict[str, tuple[str, dict[str, Any]]] = {
    "CREATE": ("mesa-1", {"status": "pending"}),
    "UPDATE": ("mesa-2", {"status": "pending"}),
    "DELETE": ("mesa-3", {}),
    "BULK_UPDATE": ("", {"updates": [{"entity_id": "mesa-4", "data": {"status": "pending"}}]}),
}


@pytest.mark.parametrize("kind", WRITES)
@pytest.mark.parametrize(
    ("connected", "named", "told"),
    [
        ("user-1", "user-1", ("user-1", None)),
        ("user-1", None, ("user-1", None)),
        ("user-1", "gerente", ("user-1", "gerente")),
        (None, "gerente", ("gerente", "gerente")),
        (None, None, (None, None)),
    ],
)
def test_a_name_that_only_the_operation_gives_is_a_claim(
    tmp_path: Path, kind: str, connected: str | None, named: str | None, told: tuple[str | None, str | None]
) -> None:
    mesh = Mesh(tmp_path, 2, [(1, 0, True)])
    ana = Client(mesh.worlds[0], "ana").connect()
    assert ana.session is not None
    ana.session.identity = ana.session.identity.__class__("ana", "pos", connected, ana.session.identity.session_id)
    entity_id, data = WRITES[kind]
    ana.do("orders", entity_id or None, kind, data, **({} if named is None else {"user_id": named}))
    mesh.settle(ana.receive)
    for world in mesh.worlds:
        (row,) = world.reader.audit("orders", kinds=("operation",))
        entry = audit_entry(row)
        assert (entry["user_id"], entry.get("claimed_user_id")) == told
    mesh.close()


def test_a_refused_write_names_its_claim_too(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, 1, [])
    ana = Client(mesh.worlds[0], "ana").connect()
    ana.do("orders", "mesa-1", "CREATE", {"a": 1})
    ana.do("orders", "mesa-1", "DELETE", {})
    assert ana.do("orders", "mesa-1", "UPDATE", {"a": 2}, user_id="gerente")["code"] == 4007
    (row,) = mesh.worlds[0].reader.audit("orders", kinds=("refused",))
    entry = audit_entry(row)
    assert (entry["user_id"], entry["claimed_user_id"]) == ("user-1", "gerente")
    mesh.close()
