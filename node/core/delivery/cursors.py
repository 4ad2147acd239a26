"""How far terminals and linked nodes have confirmed this log, also while they are away.

Cursors that moved are stored within a second. After a crash the rows of that second are delivered again. A
terminal that was connected then may have read them.

Only so many terminals are known: pages in a browser draw ids and never come back. One that is let go begins anew when
it comes again. What it wrote, and the names of its operations, stay in the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, field

from crdt.classes import define
from node.core.delivery.sendings import Sendings
from node.core.log.entries import NO_POSITION, NOTHING
from storage.records import CursorRow, FollowerRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence, Set

    from node.core.ports import Instant
    from storage.records import Commit

SHARE = 100
"""One in so many more terminals are let go than have to be."""

FLUSH_MS = 1_000
"""How long a position that moved may wait before it is stored."""


@define(eq=False)
class Cursors:
    """The terminals and nodes that this node knows: how far each is, and when it was last here, by its id."""

    terminals: dict[str, CursorRow]
    nodes: dict[str, FollowerRow]
    sendings: dict[str, Sendings] = field(factory=dict, init=False)
    """When each terminal was sent what, since the node started."""
    _moved_cursors: set[str] = field(factory=set, init=False)
    _moved_followers: set[str] = field(factory=set, init=False)
    _gone: set[str] = field(factory=set, init=False)
    """Terminals that were let go, and whose cursor is stored still."""
    _stored_ms: int = field(default=0, init=False)

    @classmethod
    def begin(
        cls, terminals: Iterable[CursorRow], nodes: Iterable[FollowerRow], heads: Sequence[int], stored_ms: int
    ) -> Cursors:
        """Those of a node that starts. heads: the last row of each class. stored_ms: when the last one was stored."""
        cursors = cls({row.terminal_id: row for row in terminals}, {row.node_id: row for row in nodes})
        for row in list(cursors.terminals.values()):
            if row.online:  # until the node ended it was sent what was committed, and nothing since
                seen_ms, sent = max(row.last_seen_ms, stored_ms), tuple(map(max, row.sent, heads))
                cursors.note_cursor(evolve(row, sent=sent, last_seen_ms=seen_ms, online=False))
        return cursors

    def note_cursor(self, row: CursorRow) -> None:
        """A terminal is at this place in the log."""
        self.terminals[row.terminal_id] = row
        self._moved_cursors.add(row.terminal_id)

    def let_go(self, most: int, stay: Set[str]) -> list[str]:
        """Forget terminals where more than `most` are known, and a few more, so that not every newcomer costs a look.

        Those that have confirmed nothing go first: they come back as they went. Then those last seen longest ago.
        stay: terminals that may not go.
        """
        if len(self.terminals) <= most:
            return []
        away = [row for row in self.terminals.values() if row.terminal_id not in stay]
        away.sort(key=lambda row: (max(row.positions) != NO_POSITION, row.last_seen_ms, row.terminal_id))
        gone = [row.terminal_id for row in away[: len(self.terminals) - most + most // SHARE]]
        for terminal_id in gone:
            del self.terminals[terminal_id]
            self.sendings.pop(terminal_id, None)
            self._moved_cursors.discard(terminal_id)
        self._gone.update(gone)
        return gone

    def everybody(self, priority: int) -> int:
        """The row of a class up to which all terminals have confirmed. One that has nothing of it needs no row."""
        return min((at for row in self.terminals.values() if (at := row.positions[priority]) >= 0), default=-1)

    def elsewhere(self, priority: int) -> int | None:
        """The last row of a class that another node holds too, as far as is known; None where there is no other."""
        return max((row.positions[priority] for row in self.nodes.values()), default=None)

    def sendings_of(self, cursor: CursorRow, now: Instant) -> Sendings:
        """When the terminal of this cursor was sent what. Of the time before this start only its end is known."""
        found = self.sendings.get(cursor.terminal_id)
        if found is None:
            found = self.sendings[cursor.terminal_id] = Sendings(cursor.positions)
            seen_ms = now.mono_ms - max(now.wall_ms - cursor.last_seen_ms, 0)  # the clock may have been set back
            found.note(seen_ms, cursor.sent)
            if max(cursor.positions) != NO_POSITION:
                found.arrived(seen_ms, NOTHING)
        return found

    def note_follower(self, row: FollowerRow) -> None:
        """A linked node has confirmed the log up to here."""
        self.nodes[row.node_id] = row
        self._moved_followers.add(row.node_id)

    def due(self, now_ms: int) -> bool:
        """Whether it is time to store the positions that moved."""
        return now_ms - self._stored_ms >= FLUSH_MS

    def store(self, commit: Commit, now_ms: int) -> bool:
        """Put the positions that moved into a commit. Returns whether there were any."""
        if not self._moved_cursors and not self._moved_followers and not self._gone:
            return False
        if self._gone:
            commit.cursors[:] = [row for row in commit.cursors if row.terminal_id in self.terminals]
            commit.gone.extend(sorted(self._gone - self.terminals.keys()))
            self._gone.clear()
        commit.followers.extend(self.nodes[node_id] for node_id in sorted(self._moved_followers))
        commit.cursors.extend(self.terminals[terminal_id] for terminal_id in sorted(self._moved_cursors))
        self._moved_followers.clear()
        self._moved_cursors.clear()
        self._stored_ms = now_ms
        return True

    def not_stored(self, commit: Commit) -> None:
        """A commit failed: the positions in it are stored with a later one."""
        self._moved_cursors.update(row.terminal_id for row in commit.cursors if row.terminal_id in self.terminals)
        self._gone.update(terminal_id for terminal_id in commit.gone if terminal_id not in self.terminals)
        self._moved_followers.update(row.node_id for row in commit.followers)
