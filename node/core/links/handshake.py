"""Who is at the other end of a link, and where each side goes on in the other's log.

    accepting side                                    dialling side
    Hello from the request's query  <------------------  connects
    connection_established, with its claim  ---------->  checks who it is
    checks who it is, and its claim  <---------------    sync_confirmation, with its claim; checks the other's

Each side signs what the other one drew for this connection (`node.wire.links.handshake.challenged`): the accepting
side what stands in the request's query, the dialling side the session id. So each knows the other's key before
anything else is taken of it (node/core/keyring.py), and before it takes another link's place: until then it is a
newcomer (`Links.newcomers`), which changes nothing.

A claim says how much of a log its sender holds. It fits if the log has that row with that hash. A claim that names a
row which the log never had means that this node is a restored copy: it goes on under a new epoch.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import field

from crdt import hlc
from crdt.classes import define
from node.core.keyring import fingerprint
from node.core.links.host import Peer
from node.core.log.entries import NO_POSITION
from node.core.ports import Unreadable
from node.errors import AlreadyConnected, AuthenticationFailed, InvalidMessage
from node.wire.close_codes import INTERNAL_ERROR, NORMAL, TRY_AGAIN_LATER
from node.wire.links.handshake import (
    Hello,
    Identification,
    challenged,
    established,
    read_established,
    read_identification,
)
from node.wire.links.positions import Claim, position_confirmation, read_claim
from storage.answers import ARCHIVED
from storage.records import CLASSES

if TYPE_CHECKING:
    from collections.abc import Mapping

LINKED_ALREADY = "linked already"


@define(eq=False, kw_only=True)
class Handshake:
    """The handshake of one link. session_id: what this side calls the connection."""

    link: Peer
    session_id: str
    held: bool = field(default=False, init=False)
    """The handshake waits while another link fills this node (first_sync.py)."""
    identified: bool = field(default=False, init=False)
    """The other side has shown who it is."""
    _challenge: str = field(default="", init=False)
    """What the other side drew for this connection."""

    # ------------------------------------------------------------------ the accepting side

    def open(self) -> None:
        """Send this side's first message. The peer answers with its claim, and shows who it is."""
        link = self.link
        hello = link.hello
        assert hello is not None
        link.host.came(link)
        self._goes_on_with(hello)
        self.held = link.host.holds_back(link)
        if not self.held:
            self._introduce(hello)

    def _introduce(self, hello: Hello) -> None:
        host = self.link.host
        node, now = host.node, host.node.clock()
        head = node.replica.log.committed
        claim, version = self._claimed(hello), node.around.version
        realm = node.replica.settings.realm
        mine = Hello(node.node_id, host.epoch, head, now.wall_ms, host.authority(), claim, version, realm)
        own = self._identification(self.link.challenge)
        self.link.reply(established(mine, hello.node_id, hlc.iso(now.wall_ms), self.session_id, own))

    # ------------------------------------------------------------------ the dialling side

    def established(self, message: Mapping[str, Any]) -> None:
        """Take the other side's first message. Raises InvalidMessage."""
        link = self.link
        host, hello = link.host, read_established(message)
        if hello.node_id == host.node.node_id:
            host.report_twin(f"{link.url} is a node with this node's own id {host.node.node_id}")
            link.close(AlreadyConnected.code, "a node with this id is already there")
            return
        if hello.realm != host.node.replica.settings.realm:
            link.of_another_realm(hello.realm)
            return
        if not self._identify(hello.node_id, message["node"], link.challenge):
            return
        self._challenge = str(message.get("session_id", ""))
        self._goes_on_with(hello)
        host.met(hello, empty=self.claim().empty)
        if hello.claim is None:
            raise InvalidMessage("the other side does not say what it holds", "$.node.holds")
        if not host.linked(link):
            link.close(NORMAL, LINKED_ALREADY)
            return
        self.held = host.holds_back(link)
        if not self.held:
            self._answer(hello.claim)

    def _answer(self, claim: Claim) -> None:
        hello = self.link.hello
        assert hello is not None
        own = self._identification(self._challenge)
        self.link.reply(position_confirmation(self._claimed(hello), own.fields()))
        self.begin(claim)

    # ------------------------------------------------------------------ both

    def answered(self, message: Mapping[str, Any]) -> None:
        """Take the first message of the node that dialled. Raises InvalidMessage."""
        link, claim = self.link, read_claim(message)
        hello = link.hello
        assert hello is not None
        if not self._identify(hello.node_id, message, self.session_id):
            return
        taken = link.enters()
        if taken is not None:
            link.close(*taken)
        elif not link.host.linked(link):
            link.close(NORMAL, LINKED_ALREADY)
        elif link.host.holds_back(link):
            link.close(TRY_AGAIN_LATER, "another node began to fill this one")
        else:
            link.host.met(hello, empty=self.claim().empty)
            self.begin(claim)

    def _identification(self, challenge: str) -> Identification:
        """Who this node is, to the other side, which drew the challenge."""
        node, hello = self.link.host.node, self.link.hello
        assert hello is not None
        mine = node.around.signatures
        if not mine.public:
            return Identification(b"", b"")
        realm = node.replica.settings.realm
        return Identification(mine.public, mine.sign(challenged(node.node_id, hello.node_id, challenge, realm)))

    def _identify(self, node_id: str, said: Mapping[str, Any], challenge: str) -> bool:
        """Whether the other side is who it says. challenge: what was drawn here. Raises InvalidMessage."""
        node, other = self.link.host.node, read_identification(said)
        replica, mine = node.replica, node.around.signatures
        statement = challenged(node_id, node.node_id, challenge, replica.settings.realm)
        if mine.public and other.key and not mine.verify(other.key, statement, other.signature):
            problem: str | None = f"{node_id} does not have the private key of {fingerprint(other.key)}"
        elif self.link.node_key and fingerprint(other.key) != self.link.node_key:
            problem = f"{node_id} has the key {fingerprint(other.key)}, and not {self.link.node_key}"
        else:
            known = set(replica.keyring.pinned.get(node_id, ()))
            problem = replica.keyring.met(node_id, other.key, replica.log.group.commit.meta)
            if other.key not in known and problem is None:
                node.key_is_known(node_id)
        self.identified = problem is None
        if problem is not None:
            self.link.close(AuthenticationFailed.code, problem)
        return self.identified

    def _goes_on_with(self, hello: Hello) -> None:
        link = self.link
        link.hello = hello
        link.delivery.feed.peer = link.via
        link.peer_log.resume(hello, link.host.peers.get(hello.node_id))
        if not link.peer_log.known:  # its rows are numbered anew
            link.host.left_out.pop(hello.node_id, None)

    def release(self) -> None:
        """Go on after having been held."""
        hello = self.link.hello
        if self.held and self.link.state == "handshake" and hello is not None:
            self.held = False
            if hello.claim is not None:
                self.link.host.met(hello, empty=self.claim().empty)
                self._answer(hello.claim)
            else:
                self._introduce(hello)

    def _claimed(self, hello: Hello) -> Claim:
        """The claim that the other side is told, and answers."""
        claim = self.claim()
        self.link.asked.claimed(claim, hello.head)
        return claim

    def claim(self) -> Claim:
        """What this node holds of the other's log."""
        link = self.link
        host, hello, peer_log = link.host, link.hello, link.peer_log
        assert hello is not None
        replica = host.node.replica
        no_rows = replica.held.digests.count <= len(replica.held.archived)
        empty = not peer_log.known and no_rows and not replica.quarantine
        if host.first_sync is not None:
            empty = host.first_sync.wants_states(hello.node_id, hello.head, known=peer_log.known, empty=empty)
        after = host.states_after.get(link.via, {})
        epoch = hello.epoch if peer_log.known else None
        return Claim(epoch, tuple(peer_log.positions), *peer_log.last_row, empty, after)

    def begin(self, claim: Claim) -> None:
        """Follow this log from where the other side says it is, if that is a row of this log."""
        link = self.link
        host, disk = link.host, link.host.node.disk
        head = host.node.replica.log.committed
        if claim.epoch != host.epoch:
            replica = host.node.replica
            if claim.epoch is not None and not replica.log.committed:
                replica.origins.recover(replica.log.group.commit.meta)  # this node was here before, with another log
                replica.keyring.lost = True
            # It holds nothing of this log: it gets every entity, then the operations that a comparison finds missing.
            link.go([NO_POSITION if claim.empty else head] * CLASSES, claim.after)
            return
        furthest = max(*claim.positions, claim.last_row)
        if furthest > head:
            host.forked(link, f"{link.peer_id} holds row {furthest} of this log, which ends at {head}")
            return
        if claim.last_row == 0:
            link.go(claim.positions, claim.after)
            return

        def compare(row_hash: bytes | Unreadable | None) -> None:
            if link.state != "handshake":
                return
            if isinstance(row_hash, Unreadable):
                link.close(INTERNAL_ERROR, f"this node cannot read its log: {row_hash.reason}")
                return
            if row_hash in (claim.last_hash, ARCHIVED):  # or the hash of an archived row is not known any more
                link.go(claim.positions, claim.after)
            else:
                host.forked(link, f"{link.peer_id} holds another row {claim.last_row} of this log")

        disk.row_hash(claim.last_row, partial(link.guarded, compare))
