"""How two nodes greet each other: who they are, and what each holds of the other's log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from crdt.classes import frozen
from crdt.hlc import iso
from node.errors import InvalidMessage
from node.wire.codec import TERMINAL_ID
from node.wire.json_text import is_count, word
from node.wire.links.positions import MOST_POSITION, Claim, claim_fields, read_claim
from node.wire.outgoing import compact_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUBPROTOCOL = "comanda.v1"

NODE_TYPE = "node"
"""The `type` of a linked node in its URL, and of its token."""

KEY_BYTES, SIGNATURE_BYTES = 32, 64

VERSION_LENGTH = 64
REALM_LENGTH = 64

MOST_CLOCK_MS = 2**47
"""The last millisecond that a hybrid logical clock holds."""


@frozen
class Hello:
    """The other node, from `connection_established` or the query of its request. version: of its program, "" where it
    does not say. realm: the store that it is a node of, "" where that has no name."""

    node_id: str
    epoch: str
    head: int
    clock_ms: int
    authority: str
    claim: Claim | None
    version: str = ""
    realm: str = ""


CLOCK_PING = b'{"type":"ping"}'

MOST_KEPT_OUT = 2**53
LONGEST_REASON = 200
"""Characters of why an operation is kept out."""


@frozen
class KeptOut:
    """What a node cannot apply of what the other side of the link brought. why: of the latest of them."""

    count: int
    why: str


def ping(kept_out: KeptOut | None) -> bytes:
    """`ping`: asks for the other clock, and says what is kept out."""
    if kept_out is None:
        return CLOCK_PING
    return orjson.dumps({"type": "ping", "kept_out": {"count": kept_out.count, "why": kept_out.why}})


def read_kept_out(message: Mapping[str, Any]) -> KeptOut | None:
    """Of a `ping`; None where all that came is applied. Raises InvalidMessage."""
    said = message.get("kept_out")
    if said is None:
        return None
    if type(said) is not dict or not is_count(said.get("count"), MOST_KEPT_OUT, 1):
        raise InvalidMessage("expected how many are kept out", "$.kept_out")
    return KeptOut(said["count"], word(said.get("why", ""), LONGEST_REASON))


def clock_pong(wall_ms: int) -> bytes:
    """The documented `pong`, to a node: its clock in milliseconds too."""
    return orjson.dumps({"type": "pong", "server_time": iso(wall_ms), "clock": wall_ms})


def read_clock(message: Mapping[str, Any]) -> int:
    """Unix milliseconds. Raises InvalidMessage."""
    clock = message.get("clock")
    if not is_count(clock, MOST_CLOCK_MS):
        raise InvalidMessage("expected a clock", "$.clock")
    return clock


def speaks_for(nodes: Sequence[str], keys: Mapping[str, Sequence[bytes]]) -> bytes:
    """`speaks_for`: the nodes whose operations the sender passes on, and their public keys where it knows them."""
    said = {node: [key.hex() for key in of] for node, of in keys.items()}
    return orjson.dumps({"type": "speaks_for", "nodes": nodes, "keys": said})


def read_speaks_for(message: Mapping[str, Any]) -> list[str]:
    """Node ids. Raises InvalidMessage."""
    nodes = message.get("nodes")
    if type(nodes) is not list or not all(type(n) is str and TERMINAL_ID.match(n) is not None for n in nodes):
        raise InvalidMessage("expected node ids", "$.nodes")
    return nodes


def read_keys(message: Mapping[str, Any]) -> dict[str, list[bytes]]:
    """Public keys by node id, of `speaks_for`. Raises InvalidMessage."""
    said = message.get("keys", {})
    if type(said) is not dict or not all(TERMINAL_ID.match(node) and type(of) is list for node, of in said.items()):
        raise InvalidMessage("expected keys by node id", "$.keys")
    return {node: [hex_bytes(key, KEY_BYTES, "$.keys") for key in of] for node, of in said.items()}


@frozen
class Identification:
    """What a node says of its key when a link begins.

    key: its public key; b"" for a node without one.
    signature: of `challenged`, which shows that it has the private key.
    """

    key: bytes
    signature: bytes

    def fields(self) -> dict[str, object]:
        return {"key": self.key.hex(), "signature": self.signature.hex()} if self.key else {}


def read_identification(said: Mapping[str, Any]) -> Identification:
    """Raises InvalidMessage."""
    if said.get("key") is None:
        return Identification(b"", b"")
    return Identification(
        hex_bytes(said["key"], KEY_BYTES, "$.key"), hex_bytes(said.get("signature"), SIGNATURE_BYTES, "$.signature")
    )


def challenged(signer: str, other: str, challenge: str, realm: str) -> bytes:
    """What a node signs for another one to show who it is. challenge: what the other one drew for this connection.
    realm: the store of both, so that what is signed for one store shows nothing to another."""
    return b"comanda link\n" + orjson.dumps([signer, other, challenge, *([realm] if realm else [])])


def hex_bytes(text: Any, length: int, where: str) -> bytes:
    """Bytes of this length. Raises InvalidMessage."""
    try:
        found = bytes.fromhex(text)
    except (TypeError, ValueError):
        found = b""
    if len(found) != length:
        raise InvalidMessage(f"expected {length} bytes in hex", where)
    return found


def established(
    hello: Hello, terminal_id: str, server_time: str, session_id: str, identification: Identification
) -> bytes:
    """`connection_established` to a node: who this one is, and what it holds of the other's log.

    session_id: also what the other node has to sign.
    """
    node: dict[str, object] = {
        "id": hello.node_id,
        "epoch": hello.epoch,
        "head": hello.head,
        "clock": hello.clock_ms,
        "authority": hello.authority,
        **identification.fields(),
    }
    if hello.version:
        node["version"] = hello.version
    if hello.realm:
        node["realm"] = hello.realm
    if hello.claim is not None:
        node["holds"] = claim_fields(hello.claim)
    return compact_json(
        {
            "type": "connection_established",
            "terminal_id": terminal_id,
            "server_time": server_time,
            "session_id": session_id,
            "node": node,
        }
    )


def read_established(message: Mapping[str, Any]) -> Hello:
    """Who answered. Raises InvalidMessage where it is no node that speaks this subprotocol."""
    node = message.get("node")
    if message.get("type") != "connection_established" or type(node) is not dict:
        raise InvalidMessage("the other side is no Comanda node", "$.node")
    holds = node.get("holds")
    node_id, epoch, authority = node.get("id"), node.get("epoch"), node.get("authority")
    if type(node_id) is not str or TERMINAL_ID.match(node_id) is None:
        raise InvalidMessage("expected a node id", "$.node.id")
    if type(epoch) is not str or not 0 < len(epoch) <= 64 or type(authority) is not str or len(authority) > 128:
        raise InvalidMessage("expected an epoch and an authority", "$.node")
    head, clock = node.get("head"), node.get("clock")
    if not is_count(head, MOST_POSITION) or not is_count(clock, MOST_CLOCK_MS):
        raise InvalidMessage("expected a head and a clock", "$.node")
    version = node.get("version", "")
    if type(version) is not str or len(version) > VERSION_LENGTH:
        raise InvalidMessage("expected a version", "$.node.version")
    realm = node.get("realm", "")
    if type(realm) is not str or len(realm) > REALM_LENGTH:
        raise InvalidMessage("expected a realm", "$.node.realm")
    claim = read_claim(holds) if type(holds) is dict else None
    return Hello(node_id, epoch, head, clock, authority, claim, version, realm)
