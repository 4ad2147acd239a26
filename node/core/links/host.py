"""What the files of this folder ask of each other and of their node, so that none of them imports `Core`.

Node   what the links need of the node that they belong to        Core
Host   what one link needs of all the links of its node           Links
Peer   what the parts of a link, and other links, need of one     Link
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Any

    from node.core.delivery.cursors import Cursors
    from node.core.delivery.delivery import Delivery
    from node.core.links.asked import Asked
    from node.core.links.budget import Budget
    from node.core.links.feed import LinkFeed
    from node.core.links.first_sync import FirstSync
    from node.core.links.hashes import Hashes
    from node.core.links.held_at import HeldAt
    from node.core.links.pace import Pace
    from node.core.links.peer_log import PeerLog
    from node.core.links.walk import Walk
    from node.core.locks.requests import LockRequests
    from node.core.log.view import LogView
    from node.core.operations.replica import Replica
    from node.core.ports import Disk, Health, Instant, Surroundings
    from node.core.statistics import Statistics
    from node.wire.frames import Latest
    from node.wire.links.handshake import Hello
    from storage.records import Key, ParkedRow, PeerRow


class Node(Protocol):
    """What links ask of their node."""

    @property
    def node_id(self) -> str: ...

    @property
    def replica(self) -> Replica: ...

    @property
    def log(self) -> LogView: ...

    @property
    def disk(self) -> Disk: ...

    @property
    def around(self) -> Surroundings: ...

    @property
    def health(self) -> Health: ...

    @property
    def statistics(self) -> Statistics: ...

    @property
    def cursors(self) -> Cursors: ...

    @property
    def lock_requests(self) -> LockRequests: ...

    def clock(self) -> Instant:
        """The time now."""
        ...

    def retry_parked(self, row: ParkedRow) -> None:
        """Try an operation of the quarantine again."""
        ...

    def key_is_known(self, node: str) -> None:
        """A key of a node was taken. What is kept out of that node perhaps lacked nothing else."""
        ...

    def mark_changed(self) -> None:
        """Monitors are to be told the status soon."""
        ...


class Peer(Protocol):
    """One link, as its parts and other links see it."""

    host: Host
    role: str
    url: str | None
    challenge: str
    """What the dialling side drew for this connection."""
    hello: Hello | None
    """Who the other node said it is; None until it has."""
    node_key: str | None
    """Fingerprint of the key that the other side has to prove; None where any will do."""
    peer_log: PeerLog
    held_at: HeldAt
    """How far the other log was held at rows of this one."""

    @property
    def whole_upto(self) -> tuple[int, ...]:
        """By priority class, the row of the other log up to which nothing of it is missing here."""
        ...

    state: str
    """handshake | up | closed"""
    compare_owed: bool
    """A comparison is due as soon as both sides are caught up."""
    asked: Asked
    contents: Walk
    """How far what entities hold was compared."""
    delivery: Delivery[LinkFeed]

    @property
    def peer_id(self) -> str:
        """The other node's id; empty until it is known."""
        ...

    @property
    def via(self) -> str:
        """ "node:epoch" of the other side."""
        ...

    @property
    def enters(self) -> Callable[[], tuple[int, str] | None]:
        """Take the seat under the other node's name. Returns the close code and reason if another one keeps it."""
        ...

    def reply(self, *messages: bytes) -> None: ...

    def level(self) -> None:
        """A comparison has found that this node holds all that the other one holds."""
        ...

    def close(self, code: int, reason: str) -> None: ...

    def guarded(self, act: Callable[..., object], *arguments: object) -> None:
        """Do something of this link. If our own code fails on it, the link ends alone."""
        ...

    def of_another_realm(self, named: object) -> None:
        """The other side, or a message of it, says that it is another store's."""
        ...

    def go(self, upto: Sequence[int], after: Mapping[int, Key]) -> None:
        """The handshake is over: follow this node's log from these positions on."""
        ...


class Host(Protocol):
    """All the links of a node, as one of them sees them."""

    @property
    def node(self) -> Node: ...

    @property
    def backlog_bytes(self) -> int:
        """What may wait on one link to be handled."""
        ...

    @property
    def frames(self) -> Latest:
        """The frames that links were sent last."""
        ...

    @property
    def hashes(self) -> Hashes:
        """Of entities that links have compared."""
        ...

    @property
    def pace(self) -> Pace:
        """How often links do what they do by the clock."""
        ...

    @property
    def window_rows(self) -> int:
        """Most rows under way on one link."""
        ...

    @property
    def epoch(self) -> str:
        """The epoch of this node's log."""
        ...

    @property
    def left_out(self) -> dict[str, tuple[int, ...]]:
        """Id of the other node -> how far its log was held when something came that could not be taken."""
        ...

    def held_at_of(self, hello: Hello) -> HeldAt:
        """How far the log of a node was held at rows of this one, over all its links since the start."""
        ...

    @property
    def peers(self) -> Mapping[str, PeerRow]:
        """What is durably held of other nodes' logs, by node id."""
        ...

    @property
    def states_after(self) -> dict[str, dict[int, Key]]:
        """Node:epoch -> class -> the last entity that came in a first synchronisation, since the start."""
        ...

    def came_up_to(self, via: str, after: Mapping[int, Key]) -> None:
        """Entities of a first synchronisation came, by class up to these."""
        ...

    @property
    def connected(self) -> Collection[str]:
        """The ids of the linked nodes."""
        ...

    @property
    def first_sync(self) -> FirstSync | None: ...

    def authority(self) -> str: ...

    def came(self, link: Any) -> None: ...

    def linked(self, link: Any) -> bool: ...

    def link_up(self, link: Any) -> None: ...

    def met(self, hello: Hello, *, empty: bool) -> None: ...

    def filling(self) -> Peer | None: ...

    def holds_back(self, link: Peer) -> bool: ...

    def release(self) -> None: ...

    def owe_comparisons(self, but: Peer) -> None: ...

    def follow_clock(self, link: Any) -> None: ...

    def heard_of_terminals(self, link: Peer, message: Mapping[str, Any]) -> None: ...

    def budget(self, peer: str) -> Budget:
        """What a linked node has cost in this minute."""
        ...

    def heard_heads(self, link: Peer, message: Mapping[str, Any]) -> None: ...

    def heard_what_terminals_knew(self, link: Peer, message: Mapping[str, Any]) -> None: ...

    def asked_of_terminal(self, link: Peer, message: Mapping[str, Any]) -> None: ...

    def forked(self, link: Peer, reason: str) -> None: ...

    def set_back(self, link: Peer, reason: str) -> None: ...

    def report_twin(self, what: str) -> None: ...
