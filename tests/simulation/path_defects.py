"""Defects of the way of an operation: commit, answer, delivery, links, locks, and what a start goes on from."""

from __future__ import annotations

from tests.simulation.slips import defect

COMMIT = (
    defect(
        "archive-left-for-memory",
        "a terminal in the middle of the archived part of the log goes on with rows that are still in memory",
        (
            "node.core.delivery.delivery:Delivery._pump",
            "max(log.ring.reaches_back_to, self._anchor)",
            "log.ring.reaches_back_to",
        ),
    ),
    defect(
        "archived-rows-in-memory",
        "rows that are archived stay in memory, and a terminal that left in the middle of them comes back to rows",
        ("node.core.core:Core.pruned", "self.log.ring.archived(anchor)", "pass"),
    ),
    defect(
        "confirmed-before-commit",
        "a terminal is told that its operation is stored before it is",
        (
            "node.core.log.log:Log.answer",
            "self.group.replies.append((recipient, message))",
            "recipient.reply(message)",
        ),
    ),
    defect(
        "rows-before-commit",
        "terminals are shown rows that are not stored yet",
        (
            "node.core.core:Core.take_group",
            "                return group\n",
            "                if group.rows:\n                    self._send(group)\n                return group\n",
        ),
        ("node.core.core:Core.committed", "if group.rows and guard(", "if not group and guard("),
    ),
    defect(
        "failed-commit-not-undone",
        "after a failed commit documents stay in memory with what was refused",
        ("node.core.entities.residents:Residents.drop_all", "self.entities.clear()", "pass"),
    ),
    defect(
        "failed-commit-remembered",
        "an operation whose commit failed counts as a repeat when it is sent again",
        (
            "node.core.operations.held:Held.forget",
            "if one is not row",
            "if one",
        ),
    ),
    defect(
        "let-go-uncommitted",
        "entities are let go of before their newest state is stored",
        (
            "node.core.entities.residents:Residents.let_go",
            "if len(self.entities) <= most and self.bytes <= most_bytes:",
            "if False:",
        ),
        ("node.core.entities.residents:Residents.let_go", "entity.seq <= committed and key not in touched and ", ""),
    ),
    defect(
        "chain-not-continued",
        "the audit chain goes on from the hash the process began with",
        (
            "storage.sqlite.store:Store.commit",
            "self.chain, self.head, self.token = chain, head,",
            "self.head, self.token = head,",
        ),
    ),
    defect(
        "writer-reused-after-failure",
        "after a failed commit the node goes on under the writer whose clocks it may have given out",
        ("node.core.start:go_on", "writer = around.draws.writer()", "writer = core.replica.residents.writer"),
    ),
    defect(
        "writer-kept-after-restore",
        "a restored backup goes on as the writer and the log it is a copy of",
        (
            "node.runtime.identity:continuity",
            '    if "restored_from" in meta:',
            '    if "writer" in meta:\n'
            '        return Continuity(int(meta["writer"]), False, "", {})\n'
            '    if "restored_from" in meta:',
        ),
    ),
    defect(
        "older-database-unnoticed",
        "a node goes on as the writer it was on a database that ends before what it confirmed",
        (
            "node.runtime.identity:continuity",
            "elif noted.ahead_of(at):",
            "elif False:",
        ),
    ),
    defect(
        "older-epoch-unnoticed",
        "the same on a database from before a restore",
        ("node.runtime.identity:continuity", 'elif noted.epoch not in ("", at.epoch):', "elif False:"),
    ),
    defect(
        "refusal-not-kept",
        "a refused write is not in the log, though its author was told that it is kept",
        (
            "node.core.operations.refusals:refuse_in_steps",
            "        log.append(row)\n",
            "        log.group.replies += [(author.recipient, message) for message in messages]\n",
        ),
    ),
    defect(
        "refusal-row-not-sent",
        "the author of a refused write is neither told nor shown what is instead",
        ("node.core.log.rows:refused_row", "targets=(terminal_id,)", "targets=()"),
    ),
)

DELIVERY = (
    defect(
        "sent-is-acknowledged",
        "what was written to a socket counts as received",
        (
            "node.core.delivery.window:Window._settle",
            "                return\n            self._pop(1)",
            "                break\n            self._pop(1)",
        ),
    ),
    defect(
        "cursor-stored-too-far",
        "a cursor is stored where a terminal was sent up to, not where it confirmed up to",
        ("node.core.sessions.sessions:Sessions._note", "positions=window.positions", "positions=window.sent"),
    ),
    defect(
        "cursor-not-stored",
        "what terminals confirmed is forgotten with the process",
        ("storage.sqlite.commit:write_commit", "CURSORS.put(connection, commit.cursors)", "pass"),
    ),
    defect(
        "nothing-kept-and-not-stored",
        "a page that keeps nothing is not told that a node that dies now would not know of it",
        ("node.core.sessions.sessions:Sessions._greeting", "if not stored:", "if False:"),
    ),
    defect(
        "positions-kept-when-set-back",
        "where a terminal was in a database says what it shows, also where that is an older or another one",
        ("node.runtime.identity:take_up", "if going_on.older:", "if False:"),
    ),
    defect(
        "past-not-corrected",
        "what a terminal writes while it is shown the past is not shown to it again",
        ("node.core.operations.record:_on_its_way", "max(sent, refused) > known", "False"),
    ),
    defect(
        "state-cut-short",
        "a terminal that comes empty is sent the first page of the entities only",
        ("node.core.delivery.terminal_feed:TerminalFeed.read_state", "last=not rows.more", "last=True"),
    ),
    defect(
        "state-class-skipped",
        "of a first synchronisation the entities of one priority class are missing",
        (
            "node.core.delivery.terminal_feed:TerminalFeed.read_state",
            "self._send_state(delivery, priority, rows, last=",
            "self._send_state(delivery, priority, rows if priority != 1 else (), last=",
        ),
    ),
    defect(
        "window-not-kept",
        "a slow terminal is sent everything at once",
        ("node.core.delivery.delivery:Delivery._pump", "window.room <= 0 or ", ""),
        ("node.core.delivery.delivery:Delivery.at_once_read", "min(self.page, self.window.room)", "self.page"),
        (
            "node.core.delivery.terminal_feed:TerminalFeed.read_state",
            "limit = delivery.at_once_read",
            "limit = delivery.page",
        ),
        (
            "node.core.delivery.delivery:Delivery._from_ring",
            "if len(entries) >= most or",
            "if len(entries) >= most + 9_999 or",
        ),
        ("node.core.delivery.window:Window.follow", "if room < 0 or (sent", "if (sent"),
        ("node.core.delivery.window:Window.follow", "return room\n", "return max(room, 0)\n"),
    ),
    defect(
        "unreadable-is-empty",
        "rows that could not be read count as none",
        (
            "node.core.delivery.delivery:Delivery.read",
            "                    undo()\n                    self._cannot_read(found)\n                    return\n",
            "                    found = type('Page', (list,), {'more': False})()\n",
        ),
    ),
    defect(
        "own-row-not-sent-again",
        "after a reconnection a terminal is sent others' rows again, and its own, which came after them, not",
        ("node.core.log.ring:RingRow.for_terminal", " or self.seq <= head_at_connect", ""),
    ),
)

LINKS = (
    defect(
        "contents-not-compared",
        "two nodes that hold the same operations do not look at what came of them",
        ("node.core.links.anti_entropy:_buckets", "contents.begin(link)", "pass"),
    ),
    defect(
        "difference-of-a-moment",
        "what differs for a moment, as an entity came before its operations, is an alarm",
        ("node.core.links.walk:Walk.differs", "return again", "return list(found)"),
    ),
    defect(
        "contents-of-some",
        "they look at the first entities of a type only",
        ("node.core.links.walk:Walk.over", "if part.last:", "if True:"),
    ),
    defect(
        "peer-position-too-far",
        "of another node's log more counts as held than has come",
        (
            "node.core.links.peer_log:PeerLog.moved",
            "self.positions = [max(old, new) for old, new in zip(self.positions, positions, strict=True)]",
            "self.positions = [self.head] * CLASSES",
        ),
    ),
    defect(
        "peer-position-kept-after-failure",
        "a position whose rows were lost with a failed commit stays",
        (
            "node.core.links.link:Link._position",
            "group.commit.peers.append(row)",
            "group.commit.peers.append(row)\n        self.host.peers[row.node_id] = row",
        ),
        ("node.core.links.links:Links.start_again", "self.peers = {row.node_id: row for row in rows}", "pass"),
    ),
    defect(
        "peer-position-before-rows",
        "a position is stored in a commit before the rows it stands for",
        (
            "node.core.log.log:Log.take",
            "        group, self.group = self.group, Group()\n",
            "        group, self.group = self.group, Group()\n"
            "        if group.rows and group.commit.peers:\n"
            "            self.group, group = group, Group()\n"
            "            group.commit.peers, self.group.commit.peers = self.group.commit.peers, []\n",
        ),
    ),
    defect(
        "old-log-position-kept",
        "what was held of a node's log counts after that log was begun anew",
        (
            "node.core.links.peer_log:PeerLog.resume",
            "row is not None and row.epoch == hello.epoch",
            "row is not None",
        ),
    ),
    defect(
        "digest-type-skipped",
        "two nodes compare what they hold of every entity type but orders",
        (
            "node.core.digests:Compared.differing",
            "if mine.get(t) != roots.get(t))",
            'if mine.get(t) != roots.get(t) and t != "orders")',
        ),
    ),
    defect(
        "quarantine-not-retried",
        "an operation that waited for another one stays put when that one has come",
        ("node.core.operations.parked:retry_waiting", "while len(replica.quarantine) and pending:", "while False:"),
        ("node.core.core:Core._retry_parked", "replica.quarantine.due(RETRIES_A_SECOND)", "()"),
    ),
    defect(
        "damaged-not-asked-for",
        "an operation that came damaged stays so until somebody has it sent again",
        ("node.core.links.link:Link._ask_for_bad", "if rows:", "if not rows and rows:"),
    ),
    defect(
        "damaged-kept-waiting",
        "an operation that came damaged while its entity could not be read is tried for ever as it is",
        ("node.core.operations.parked:_found_bad", "if row.state == WAITING:", "if row.state == BAD:"),
    ),
    defect(
        "parked-not-stored",
        "an operation that waits is forgotten with the process, and counts as held",
        ("node.core.operations.parked:park", "    replica.log.group.commit.parked.append(row)\n", ""),
    ),
)

LOCKS = (
    defect(
        "token-not-stored",
        "after a restart fencing tokens begin again",
        (
            "node.core.locks.requests:LockRequests._store",
            'commit.meta["lock_counter"] = str(self.table.counter)',
            "pass",
        ),
    ),
    defect(
        "tokens-come-again",
        "a restored node grants fencing tokens that it granted before",
        (
            "node.runtime.identity:take_up",
            'str(later_epoch(int(boot.meta.get("lock_epoch", 1)), wall_ms))',
            'boot.meta.get("lock_epoch", "1")',
        ),
    ),
    defect(
        "lease-by-wall-clock",
        "whether a lease runs is read from a clock that somebody sets",
        ("node.core.locks.lease:Lease.live", "now.mono_ms < self.deadline_mono_ms", "now.wall_ms < self.expires_ms"),
    ),
    defect(
        "lock-granted-twice",
        "a lock is granted while another terminal has it",
        ("node.core.locks.requests:LockRequests._decide", "known.terminal != asked.terminal", "not known.terminal"),
        (
            "node.core.locks.table:LockTable.acquire",
            "if held is not None and held.live(now):",
            "if held is not None and held.live(now) and held.terminal == terminal:",
        ),
    ),
)

SIGNATURES = (
    defect(
        "proof-not-passed-on",
        "a relay passes an operation on without its origin's signature",
        ("node.core.operations.remote:remote_row", "proof=remote.proof", 'proof=b""'),
    ),
    defect(
        "proof-of-neighbour",
        "every operation of a commit gets the proof of the last one",
        ("storage.proofs:prove", "for way in ways]", "for way in [ways[-1]] * len(ways)]"),
    ),
    defect(
        "sent-before-signed",
        "a link is sent what was accepted while there was none, before that is signed",
        ("node.core.log.log:Log.when_signed", "if self._unsigned:", "if False:"),
    ),
    defect(
        "asked-for-before-signed",
        "what another node asks for is sent before what was accepted while there was no link is signed",
        ("node.core.links.feed:LinkFeed._send_wanted", "if delivery.held or", "if"),
    ),
    defect(
        "not-signed-while-linked",
        "what is accepted while a link is up is signed with later operations",
        ("node.core.links.links:Links.signs", "bool(self.by_node)", "False"),
    ),
    defect(
        "unsigned-forgotten",
        "a node that starts does not look for what it had not signed",
        ("storage.signer:Signer.found", "if compare_digest(self.seal(leaf), row.seal)", "if False"),
    ),
)

REFUSALS = (
    defect(
        "item-not-named",
        "which entity of a BULK_UPDATE is why it is refused is not said where its number is no number",
        ("node.core.operations.accept:_plan", "error.entity_id = entity.key[1]", "pass"),
    ),
    defect(
        "refusal-unnamed",
        "a refusal does not say which operation, conflict or lock it is about",
        ("node.wire.subject:say_which", "setattr(error, name, value)", "pass"),
    ),
    defect(
        "broken-text-unnamed",
        "what is no JSON is refused without the name that stands in it",
        ("node.wire.heads:Head.refusal", "setattr(error, name, value)", "pass"),
    ),
)
