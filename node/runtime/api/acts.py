"""What an administrator asks of a running node. Every act that was done is a row of the audit, with who asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from crdt.hlc import iso, time_asked
from node.rights import VERBS
from node.runtime.api.tokens import made, objection, revoked, rotated, shown
from node.runtime.archiving import Busy
from node.runtime.net.http import Response, error_response, json_response
from node.wire.json_text import is_number
from storage.audit.archiving import Until
from storage.sqlite.backup import back_up
from storage.sqlite.database import StorageError

if TYPE_CHECKING:
    from node.core.core import Core
    from node.runtime.api.asked import Asked
    from node.runtime.api.tokens import Tokens
    from node.runtime.archiving import Archiver
    from node.runtime.disk import TrioDisk
    from storage.records import TokenRow
    from storage.sqlite.store import Store

LABEL = 128
"""Most characters of a token's label."""


class Acts:
    """Keys, quarantine, backup, archive and tokens."""

    def __init__(self, *, core: Core, disk: TrioDisk, store: Store, tokens: Tokens, archiver: Archiver) -> None:
        self._core, self._disk, self._store, self._tokens = core, disk, store, tokens
        self._where = core.limits.codec.where
        self._archiver = archiver
        self._one = trio.CapacityLimiter(1)

    def _done(self, asked: Asked, act: str, details: dict[str, object]) -> None:
        visitor = asked.visitor
        user_id = None if visitor.terminal_id is not None else visitor.name or None
        self._core.note_act(visitor.terminal_id or "", user_id, act, details)

    # ------------------------------------------------------------------ quarantine, keys

    def retry(self, asked: Asked) -> Response:
        """Every parked operation, also the bad ones: the node may have learned the entity type meanwhile."""
        retried = self._core.retry_quarantine()
        self._done(asked, "quarantine retry", {"retried": retried})
        return json_response({"retried": retried, "left": len(self._core.replica.quarantine)})

    def drop(self, asked: Asked) -> Response:
        """One parked operation is not wanted: `id` is its number."""
        number = asked.first("id") or ""
        found = [row for row in self._core.replica.quarantine if str(row.id) == number]
        if not is_number(number) or not self._core.drop_parked(int(number)):
            return error_response(404, f"the quarantine has no operation {number[:64]}")
        names = [f"{row.terminal_id}/{row.operation_id}" for row in found]
        self._done(asked, "quarantine drop", {"id": int(number), "operations": names})
        return json_response({"dropped": int(number), "left": len(self._core.replica.quarantine)})

    def decide_key(self, asked: Asked, what: str) -> Response:
        """`node` has the key of this `fingerprint`, or has it no longer."""
        node, said = asked.first("node") or "", asked.first("fingerprint") or ""
        if not self._core.decide_key(what, node, said):
            return error_response(404, f"{node[:128]} has no key {said[:64]} to {what}")
        self._done(asked, f"keys {what}", {"node": node, "fingerprint": said})
        return json_response(self._core.replica.keyring.report())

    # ------------------------------------------------------------------ backup, archive

    async def backup(self, asked: Asked) -> Response:
        folder = self._store.directory / "backups"
        name = f"comanda-{self._core.replica.log.committed}-{self._core.clock().wall_ms}.db"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            await self._disk.write(self._store.sign_rest)
            head = await trio.to_thread.run_sync(back_up, self._store.path, folder / name, limiter=self._one)
        except (StorageError, OSError) as error:
            return error_response(503, str(error))
        self._done(asked, "backup", {"file": f"backups/{name}", "head": head})
        return json_response({"backup": f"backups/{name}", "head": head})

    async def archive(self, asked: Asked) -> Response:
        try:
            until = Until.read(asked.first("until") or "", self._where)
        except (ValueError, OverflowError):
            return error_response(400, "until is an ISO 8601 time or a row of the log")
        force = asked.request.wants("force")
        try:
            said = {} if until.assumed_zone is None else {"assumed_zone": until.assumed_zone}
            answer = {**await self._archiver.archive(until, force=force), **said}
        except Busy as error:
            return error_response(409, str(error))
        except (StorageError, OSError) as error:
            return error_response(503, str(error))
        self._done(asked, "archive", {**answer, "until": asked.first("until"), "force": force})
        return json_response(answer)

    # ------------------------------------------------------------------ tokens

    def tokens(self, asked: Asked) -> Response:
        at = self._now()
        return json_response({"tokens": [shown(row, at) for row in self._tokens.rows]})

    async def add(self, asked: Asked) -> Response:
        """`terminal_id`, `type`, and perhaps `label`, `expires` (ISO 8601) and rights by verb, with commas."""
        terminal_id, kind = asked.first("terminal_id") or "", asked.first("type") or ""
        rights = {verb: said.split(",") if said else [] for verb in VERBS if (said := asked.first(verb)) is not None}
        types = [policy.entity_type for policy in self._core.replica.registry.all()]
        if wrong := objection(terminal_id, kind, rights, self._core.permissions, types):
            return error_response(400, wrong)
        expires = asked.first("expires")
        try:
            expires_at = None if expires is None else iso(time_asked(expires, self._where)[0])
        except (ValueError, OverflowError):
            return error_response(400, f"expires is no ISO 8601 time: {(expires or '')[:64]}")
        token, row = made(terminal_id, kind, (asked.first("label") or "")[:LABEL], self._now(), rights, expires_at)
        details: dict[str, object] = {"terminal_id": terminal_id, "type": kind, "expires_at": expires_at}
        return await self._put(asked, [row], "token add", {**details, "rights": rights}, {"token": token})

    async def revoke(self, asked: Asked) -> Response:
        """Every token of `terminal_id`. Its connection is closed at once."""
        terminal_id = asked.first("terminal_id") or ""
        rows = revoked(self._tokens.rows, terminal_id, self._now())
        if not rows:
            return json_response({"revoked": 0})
        details: dict[str, object] = {"terminal_id": terminal_id}
        return await self._put(asked, rows, "token revoke", details, {"revoked": len(rows)})

    async def rotate(self, asked: Asked) -> Response:
        """A new token for `terminal_id`, with the same rights; those that it had are revoked."""
        terminal_id = asked.first("terminal_id") or ""
        found = rotated(self._tokens.rows, terminal_id, self._now())
        if found is None:
            return error_response(404, f"{terminal_id[:128]!r} has no live token")
        token, rows = found
        return await self._put(asked, rows, "token rotate", {"terminal_id": terminal_id}, {"token": token})

    async def _put(
        self, asked: Asked, rows: list[TokenRow], act: str, details: dict[str, object], answer: dict[str, object]
    ) -> Response:
        try:
            await self._disk.write(self._store.put_tokens, rows)
        except StorageError as error:
            return error_response(503, str(error))
        self._tokens.put(rows)
        self._done(asked, act, details)
        return json_response(answer)

    def _now(self) -> str:
        return iso(self._core.clock().wall_ms)
