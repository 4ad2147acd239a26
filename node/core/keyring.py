"""Whose key is whose: the public keys that this node has pinned, and what a proof is worth by them.

The first key that is heard of a node is its key, whether the node proves it on a link of its own or one that speaks
for it tells it; it is kept durably. Another key of the same node, or the same key of another node, is an alarm and is
not taken before somebody decides (`comanda keys trust`). A node may then have several: what it signed before stays
proven.

A key that others only told of gives way to one that the node proves itself, with an alarm: whoever told of it was
wrong, or somebody has the token of that node. It then waits for somebody who decides.
"""

from __future__ import annotations

import logging
from hashlib import blake2b
from typing import TYPE_CHECKING

import orjson
from attrs import field

from crdt.classes import define
from node.core.ports import Signatures
from node.errors import InvalidMessage
from storage.proofs import BadProof, leaf_hash, statement_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from node.wire.links.operations import RemoteOperation
    from storage.proofs import Run

logger = logging.getLogger("comanda.keys")

KEYS = "keys"
"""The fact (`storage/sqlite/meta.py`) that holds the pinned keys."""

VERIFIED, UNSIGNED, UNKNOWN = "verified", "unsigned", "unknown"
"""What was found of a proof (`storage.records.LogRow.signed`)."""

NODES = 1_000
"""Most nodes whose keys are pinned."""

KEYS_OF_NODE = 8
"""Most keys of one node, and most that wait for a decision."""

PROVEN = 1_000
"""Latest signatures that were checked and are remembered: the operations of one commit share theirs."""


def fingerprint(key: bytes) -> str:
    """A public key for people: 32 hexadecimal digits in groups of four."""
    digits = blake2b(key, digest_size=16).hexdigest()
    return "-".join(digits[place : place + 4] for place in range(0, len(digits), 4))


@define(eq=False, kw_only=True)
class Keyring:
    """The pinned keys.

    pinned: node -> its keys, the first one first, and for each the linked node that told it; "" where the node
        proved it itself.
    offered: node -> keys that wait for a decision, and what is wrong with each.
    """

    node_id: str
    signatures: Signatures
    pinned: dict[str, dict[bytes, str]] = field(factory=dict)
    offered: dict[str, dict[bytes, str]] = field(factory=dict)
    lost: bool = False
    """This node was here before, with another log and perhaps another key: linked nodes may say which one."""
    _proven: dict[tuple[str, bytes, bytes], None] = field(factory=dict)

    @classmethod
    def of(cls, node_id: str, signatures: Signatures, meta: Mapping[str, str]) -> Keyring:
        """As it is stored."""
        stored: dict[str, dict[str, str]] = orjson.loads(meta.get(KEYS, "{}"))
        pinned = {name: {bytes.fromhex(key): by for key, by in keys.items()} for name, keys in stored.items()}
        return cls(node_id=node_id, signatures=signatures, pinned=pinned)

    def store(self, meta: dict[str, str]) -> None:
        """Put all of it into a commit's meta."""
        kept = {name: {key.hex(): by for key, by in keys.items()} for name, keys in self.pinned.items()}
        meta[KEYS] = orjson.dumps(kept).decode()

    def own(self, meta: dict[str, str]) -> None:
        """This node's own key is one of its keys."""
        key = self.signatures.public
        known = self.pinned.setdefault(self.node_id, {}) if key else {}
        if key and key not in known:
            if known:
                logger.warning(
                    "this node goes on under a new key, %(fingerprint)s: linked nodes have to be told "
                    "(`comanda keys trust`)",
                    {"fingerprint": fingerprint(key)},
                )
            known[key] = ""
            self.store(meta)

    # ------------------------------------------------------------------ learning

    def met(self, node: str, key: bytes, meta: dict[str, str]) -> str | None:
        """A linked node has proved its key, or has none (b""). Returns why it is not taken for that node."""
        known = self.pinned.get(node)
        if not self.signatures.public or (not key and not known):
            return None
        if not key:
            return f"{node} has a key, and does not prove it"
        if known and key in known:
            if known[key]:
                known[key] = ""  # what another node told is proven
                self.store(meta)
            return None
        self._prefer(node, key)
        return self._pin(node, key, "", meta, taken=not self.pinned.get(node))

    def _prefer(self, node: str, proven: bytes) -> None:
        """What was only told of a node, or of its key, gives way to the key that the node has proved."""
        told = [(node, key) for key in self.pinned.get(node, {})] if all(self.pinned.get(node, {}).values()) else []
        told += [(name, proven) for name, keys in self.pinned.items() if keys.get(proven)]
        for name, key in told:
            by = self.pinned[name].pop(key)
            if not self.pinned[name]:
                del self.pinned[name]
            self._proven.clear()
            self._wait(name, key, f"{by} says that {name} has the key {fingerprint(key)}; {node} has proved another")

    def told(
        self, peer: str, keys: Mapping[str, Sequence[bytes]], meta: dict[str, str], may: Callable[[str], bool]
    ) -> list[str]:
        """A linked node says which keys those have whose operations it passes on. Returns of whom one was taken.

        may: whether it speaks for a node.
        """
        if not self.signatures.public:
            return []
        new = []
        for node, several in keys.items():
            if node != self.node_id and not may(node):
                continue
            taken = not self.pinned.get(node) or (node == self.node_id and self.lost)
            for key in several[:KEYS_OF_NODE]:
                if key not in self.pinned.get(node, {}) and self._pin(node, key, peer, meta, taken=taken) is None:
                    new.append(node)
        self.lost = self.lost and self.node_id not in keys
        return new

    def _pin(self, node: str, key: bytes, by: str, meta: dict[str, str], *, taken: bool) -> str | None:
        """Take a key of a node, or sound the alarm. taken: whether it may be taken. Returns what is wrong with it."""
        other = next((name for name, keys in self.pinned.items() if key in keys), None)
        told = f"{by} says that {node} has" if by else f"{node} has"
        if other is not None:
            wrong = f"{told} the key of {other}, {fingerprint(key)}"
        elif taken:
            return self._take(node, key, by, meta)
        else:
            known = ", ".join(map(fingerprint, self.pinned[node]))
            wrong = f"{told} the key {fingerprint(key)}, and is known by {known}"
        self._wait(node, key, wrong)
        return wrong

    def _wait(self, node: str, key: bytes, wrong: str) -> None:
        """A key waits for somebody who decides."""
        waiting = self.offered.get(node, {})
        if key not in waiting and len(waiting) < KEYS_OF_NODE and (waiting or len(self.offered) < NODES):
            logger.error(
                "%(what)s: not taken before somebody decides (`comanda keys trust %(node)s ...`)",
                {"what": wrong, "node": node},
            )
            self.offered.setdefault(node, {})[key] = wrong

    def _take(self, node: str, key: bytes, by: str, meta: dict[str, str]) -> str | None:
        if node not in self.pinned and len(self.pinned) >= NODES:
            only_told = None if by else next((name for name, keys in self.pinned.items() if all(keys.values())), None)
            if only_told is None:
                return f"the keys of {NODES} nodes are known already"
            del self.pinned[only_told]  # names that a linked node made up keep nobody out who proves its key
        self.pinned.setdefault(node, {})[key] = by
        self.store(meta)
        logger.info(
            "%(node)s has the key %(fingerprint)s%(told)s",
            {"node": node, "fingerprint": fingerprint(key), "told": f", {by} says" if by else ""},
        )
        return None

    def keys_of(self, nodes: Sequence[str]) -> dict[str, list[bytes]]:
        """The keys of these nodes, as far as they are known."""
        return {name: list(self.pinned[name]) for name in nodes if self.pinned.get(name)}

    # ------------------------------------------------------------------ deciding

    def trust(self, node: str, said: str, meta: dict[str, str]) -> bool:
        """Somebody decides that a node has the key of this fingerprint. Returns whether such a key was offered."""
        key = next((key for key in self.offered.get(node, ()) if fingerprint(key) == said), None)
        if key is None:
            return False
        self.pinned.setdefault(node, {})[key] = ""
        del self.offered[node]
        self.store(meta)
        return True

    def forget(self, node: str, said: str, meta: dict[str, str]) -> bool:
        """Somebody decides that a key is no key of a node any more. Returns whether it was. This node's stays."""
        keys = self.pinned.get(node, {})
        key = next((key for key in keys if fingerprint(key) == said and key != self.signatures.public), None)
        if key is None:
            return False
        del keys[key]
        if not keys:
            del self.pinned[node]
        self._proven.clear()
        self.store(meta)
        return True

    @property
    def waiting(self) -> int:
        """How many keys wait for a decision."""
        return sum(map(len, self.offered.values()))

    def report(self) -> dict[str, object]:
        """`GET /api/v1/keys`."""
        return {
            "node_id": self.node_id,
            "keys": {
                node: [{"fingerprint": fingerprint(key), "by": by} for key, by in keys.items()]
                for node, keys in sorted(self.pinned.items())
            },
            "offered": {
                node: [{"fingerprint": fingerprint(key), "reason": wrong} for key, wrong in keys.items()]
                for node, keys in sorted(self.offered.items())
            },
        }

    # ------------------------------------------------------------------ checking

    def check(self, remote: RemoteOperation) -> str:
        """What an operation's proof is worth (`found`). Raises InvalidMessage."""
        leaf = leaf_hash(
            remote.authored,
            remote.entries,
            stamp=remote.stamp,
            accepted=remote.accepted,
            origin=remote.origin,
            terminal_id=remote.terminal_id,
            user_id=remote.user_id,
            lock_status=remote.lock_status,
        )
        return self.found(remote.origin, remote.proof, leaf)

    def found(self, origin: str, proof: bytes, leaf: bytes) -> str:
        """What a proof is worth: VERIFIED, UNSIGNED, or UNKNOWN where the key of its origin is not known.

        Raises InvalidMessage where its origin has a key, and this is not signed with it.
        """
        keys = self.pinned.get(origin)
        if not keys:
            return UNKNOWN if proof else UNSIGNED
        if not proof:
            raise InvalidMessage(f"{origin} signs what it accepts, and this is not signed", "$.link.proof")
        try:
            statement, signature = statement_of(leaf, proof)
        except BadProof as error:
            raise InvalidMessage(str(error), "$.link.proof") from None
        if not self._signed(origin, keys, statement, signature):
            raise InvalidMessage(f"it is not signed by {origin}", "$.link.proof")
        return VERIFIED

    def take(self, run: Run) -> bool:
        """Commits that follow each other: where the last signature is its node's, all of them are.

        Returns whether they are proven.
        """
        said = run.statements()
        if not self._signed(run.origin, self.pinned.get(run.origin, {}), *said[-1]):
            return False
        for statement, signature in said:
            self._prove(run.origin, statement, signature)
        return True

    def _signed(self, node: str, keys: Mapping[bytes, str], statement: bytes, signature: bytes) -> bool:
        if (node, statement, signature) in self._proven:
            return True
        if not any(self.signatures.verify(key, statement, signature) for key in keys):
            return False
        self._prove(node, statement, signature)
        return True

    def _prove(self, node: str, statement: bytes, signature: bytes) -> None:
        self._proven[node, statement, signature] = None
        if len(self._proven) > PROVEN:
            del self._proven[next(iter(self._proven))]
