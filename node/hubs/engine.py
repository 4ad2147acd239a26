"""The port of the engine that head office's processes share: who is there, who owns what, and what an owner leaves.

Each call is one transaction. Leases end by the engine's clock. An engine may be away, be set back, and be emptied.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from crdt.classes import frozen


class EngineAway(Exception):
    """The engine gave no answer. Whether it did what was asked is not known."""


@frozen
class Member:
    """One of the processes. instance: of this start of it. node: its id. address: ws:// or wss://, for the others.
    token_hash: of the token that it shows to them."""

    instance: str
    node: str
    address: str
    token_hash: str = ""


@frozen
class Lease:
    """token: of the latest owner, 0 before the first. owner: its instance; "" while anybody may claim the realm.
    number: of its charter."""

    token: int = 0
    owner: str = ""
    number: int = 0


@frozen
class Charter:
    """What the next owner of a realm has to know and no log says: its tokens. number: grows with each that is put."""

    number: int = 0
    body: bytes = b""


@frozen
class Standing:
    """members: who was heard of within their leases' time. leases: of every realm that the engine knows."""

    members: Collection[Member]
    leases: Mapping[str, Lease]


@frozen
class Claimed:
    """A realm that is the asker's from now on, and what the owner before has left."""

    token: int
    charter: Charter


class Engine(Protocol):
    """Every call raises EngineAway."""

    def beat(self, member: Member, held: Mapping[str, int], realms: Collection[str], ttl_ms: int) -> Standing:
        """Say that a process is there, and renew what it owns; what there is then.

        held: realm -> token; one that is not the latest is not renewed. realms: made known where they are not.
        """

    def claim(self, member: Member, floors: Mapping[str, int], ttl_ms: int) -> dict[str, Claimed]:
        """Own realms that nobody owns, or that this instance owned already; those that it got.

        floors: realm -> the highest token that the asker has seen. The new one is higher than that and than all that
        the engine knows: it may have been set back.
        """

    def release(self, member: Member, held: Mapping[str, int]) -> None:
        """Own these no longer. held: realm -> token."""

    def put(self, member: Member, realm: str, token: int, charter: Charter) -> bool:
        """Leave a charter. False where the asker is not the owner under this token, or a later one is there."""

    def leave(self, member: Member) -> None:
        """The process ends. It has released what it owned."""

    def cut(self) -> None:
        """From another thread: end a call that waits, if there is one. What it asked may be done all the same."""
