"""The history behind the entities of a first synchronisation: the rows of the peer's log up to where entities began.

    history_want       from this row on, up to that one     -> pages of operations, each with a history_position
    history_proofs     who signed the operations of a page, one signature for commits that follow each other
    history_position   so far the history is here           -> history_want, which asks for the next page

The receiver says how far it is, so nothing is sent twice on one connection, and a connection that comes back goes on
where the last one was; after a restart too, as the position is stored with the rows. What the peer holds without a
row is found by the comparison at the end.

While no page comes, it is asked for again; the sender goes on with what is under way. If that is in vain time and
again, the history is given up, the sender is told so, and comparisons find what is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from node.wire.links import history as wire

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.core.links.first_sync import FirstSync
    from node.core.links.host import Peer

META = "history"
"""The fact under which the position is stored."""


def begin(link: Peer) -> None:
    """Ask for the history from where it is held on, if this link's node is the one that fills this one."""
    sync = _sync(link)
    if sync is not None and sync.phase == "history":
        if sync.upto is None:
            sync.begin_history(link.via, max(link.peer_log.positions))
        _go_on(link, sync)


def receive(link: Peer, message: Mapping[str, Any]) -> None:
    """Take a message about history. Raises InvalidMessage."""
    if message["type"] == "history_want":
        link.delivery.feed.send_history(link.delivery, *wire.read_want(message))
        return
    sync = _sync(link)
    if message["type"] == "history_proofs":
        runs = wire.read_proofs(message)
        if sync is not None and sync.phase == "history":
            for run in runs:
                link.host.node.replica.keyring.take(run)
        return
    at = wire.read_position(message)
    if sync is None or sync.phase != "history" or sync.upto != at.upto:
        return
    replica = link.host.node.replica
    sync.history_came(at.at, replica.held.digests.count + len(replica.quarantine), link.host.node.clock().mono_ms)
    sync.operations_total = at.held
    _go_on(link, sync)


def stands_still(link: Peer, sync: FirstSync) -> None:
    """Nothing came for a while: ask again, or give up."""
    if sync.upto is not None and sync.asks_again(link.host.node.clock().mono_ms):
        link.reply(wire.want(sync.after, sync.upto))
        return
    if sync.upto is not None:
        link.reply(wire.want(sync.upto, sync.upto))  # it counts as sent, and holds up no comparison
    _over(link, sync)
    link.host.owe_comparisons(but=link)
    link.host.node.disk.wake_writer()


def _over(link: Peer, sync: FirstSync) -> None:
    """The history is here, or given up. A comparison shows what is missing, if anything is."""
    node = link.host.node
    sync.ended_ms = node.clock().mono_ms
    node.replica.log.group.commit.meta[META] = ""
    link.compare_owed = True


def _go_on(link: Peer, sync: FirstSync) -> None:
    if sync.complete:
        _over(link, sync)
    else:
        assert sync.upto is not None
        link.host.node.replica.log.group.commit.meta[META] = sync.stored()
        link.reply(wire.want(sync.after, sync.upto))


def _sync(link: Peer) -> FirstSync | None:
    sync = link.host.first_sync
    return sync if sync is not None and sync.runs_with(link.peer_id) else None
