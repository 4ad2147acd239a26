"""Bearer tokens: stored hashed, bound to one terminal id and type. Tokens never reach a log."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

import orjson
from attrs import evolve

from crdt.hlc import iso
from node.config.sections import DEFAULT_TERMINALS
from node.errors import AuthenticationFailed
from node.rights import EVERYTHING, OF_NODES, Rights, Visitor, unknown
from node.runtime.api.refusals import Refusals, why_refused
from node.wire.codec import TERMINAL_ID
from node.wire.links.handshake import NODE_TYPE
from storage.records import TokenRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from node.config.sections import Config

PAGE_TYPE = "monitor"
"""The type of terminal that the page is."""

NOBODY = Rights()


def new_token() -> str:
    return f"cmd_{secrets.token_urlsafe(32)}"


def token_hash(token: str) -> str:
    """SHA-256, in hex. The token has 256 random bits, so no salt and no slow hash are needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def made(
    terminal_id: str, kind: str, label: str, at: str, rights: Mapping[str, Sequence[str]], expires_at: str | None
) -> tuple[str, TokenRow]:
    """A new token, and what is stored of it. rights: by verb, where they differ from those of the type."""
    token = new_token()
    said = orjson.dumps(rights, option=orjson.OPT_SORT_KEYS).decode()
    return token, TokenRow(token_hash(token), terminal_id, kind, label, at, None, said, expires_at)


def objection(
    terminal_id: str,
    kind: str,
    rights: Mapping[str, Sequence[str]],
    kinds: Iterable[str],
    entity_types: Iterable[str],
) -> str | None:
    """Why there can be no such token. kinds: the terminal types; entity_types: those there are."""
    known = [*kinds, NODE_TYPE]
    if TERMINAL_ID.match(terminal_id) is None:
        return f"{terminal_id[:128]!r} is no terminal's id"
    if kind not in known:
        return f"{kind[:128]!r} is none of {', '.join(known)}"
    strange = unknown(rights, entity_types)
    return f"nothing is named so: {', '.join(strange)[:256]}" if strange else None


def live(row: TokenRow, at: str) -> bool:
    """Whether a token is worth anything at a time, in UTC as `crdt.hlc.iso` writes it."""
    return row.revoked_at is None and (row.expires_at is None or at < row.expires_at)


def revoked(rows: Iterable[TokenRow], terminal_id: str, at: str) -> list[TokenRow]:
    """The tokens of a terminal that are not revoked yet, revoked."""
    return [evolve(r, revoked_at=at) for r in rows if r.terminal_id == terminal_id and r.revoked_at is None]


def rotated(rows: Iterable[TokenRow], terminal_id: str, at: str) -> tuple[str, list[TokenRow]] | None:
    """A new token with what the latest live one of a terminal may do, and all of its rows that change.

    None where it has no live one.
    """
    found = [row for row in rows if row.terminal_id == terminal_id and live(row, at)]
    if not found:
        return None
    last = found[-1]
    token, row = made(terminal_id, last.terminal_type, last.label, at, orjson.loads(last.rights), last.expires_at)
    return token, [*revoked(found, terminal_id, at), row]


def shown(row: TokenRow, at: str) -> dict[str, object]:
    """What is told of a token."""
    state = "revoked" if row.revoked_at is not None else "live" if live(row, at) else "expired"
    return {
        "terminal_id": row.terminal_id,
        "type": row.terminal_type,
        "label": row.label,
        "state": state,
        "rights": orjson.loads(row.rights),
        "created_at": row.created_at,
        "revoked_at": row.revoked_at,
        "expires_at": row.expires_at,
        "used_at": row.used_at,
        "used_from": row.used_from,
    }


class Tokens:
    """The tokens a node knows. One that never had any is open to everybody: on loopback only, or with --insecure.

    rows: all of them, also those that are worth nothing any more.
    rights: by terminal type.
    open_to: what anybody may do over HTTP at a node that never had a token.
    page: what a monitor may do that connects to such a node; None for what its type may.
    """

    def __init__(
        self,
        rows: Iterable[TokenRow],
        rights: Mapping[str, Rights] | None = None,
        open_to: Rights = OF_NODES,
        page: Rights | None = None,
    ) -> None:
        self._rows = {row.token_hash: row for row in rows}
        self._rights = rights or {}
        self._open_to = open_to
        self._page = page
        self._used: set[str] = set()
        self.refusals = Refusals()

    @property
    def required(self) -> bool:
        return bool(self._rows)

    @property
    def rows(self) -> list[TokenRow]:
        """In the order of their making."""
        return list(self._rows.values())

    def put(self, rows: Iterable[TokenRow]) -> None:
        """These are stored."""
        self._rows.update((row.token_hash, row) for row in rows)

    # ------------------------------------------------------------------ who comes

    def find(self, token: str | None, now_ms: int) -> TokenRow | None:
        """The row of a token that is worth something."""
        row = self._rows.get(token_hash(token)) if token else None
        return row if row is not None and live(row, iso(now_ms)) else None

    def why_refused(self, token: str | None, name: str, kind: str, now_ms: int) -> str | None:
        """Why a token does not open a connection under a name and a type; None where it does."""
        row = self._rows.get(token_hash(token)) if token else None
        return why_refused(row, name, kind, iso(now_ms), shown=bool(token))

    def note_refusal(self, name: str, why: str, address: str, now_ms: int) -> None:
        """Remember it, and say it in the log of a name that has a token: strangers make up any number of names."""
        known = any(row.terminal_id == name for row in self._rows.values())
        self.refusals.note(name, why, address, now_ms, said=known)

    def used(self, row: TokenRow, address: str, now_ms: int) -> None:
        """The token was shown."""
        self._rows[row.token_hash] = evolve(row, used_at=iso(now_ms), used_from=address)
        self._used.add(row.token_hash)

    def take_used(self) -> list[TokenRow]:
        """The rows of tokens that were shown since the last call."""
        rows, self._used = [self._rows[name] for name in self._used], set()
        return rows

    def rights_of(self, row: TokenRow) -> Rights:
        """What a token may do: what its type may, but for what it says itself."""
        of_type = OF_NODES if row.terminal_type == NODE_TYPE else self._rights.get(row.terminal_type, NOBODY)
        return of_type.changed(orjson.loads(row.rights))

    def rights_without(self, kind: str) -> Rights | None:
        """What a terminal may do that connects without a token; None for what its type may."""
        return self._page if kind == PAGE_TYPE and not self.required else None

    def ended(self, name: str | None, now_ms: int) -> bool:
        """Whether who came with a token has to go. name: its hash; None for who came without one."""
        row = self._rows.get(name) if name is not None else None
        if not self.required or row is None:
            return self.required
        if row.revoked_at is None and row.expires_at is None:
            return False  # as most are: this is asked of each connection all the time
        return not live(row, iso(now_ms))

    def visitor(self, token: str | None, address: str, now_ms: int) -> Visitor:
        """Who asks over HTTP. Raises AuthenticationFailed."""
        if not self.required:
            return Visitor(self._open_to)
        row = self.find(token, now_ms)
        if row is None:
            raise AuthenticationFailed("Authentication failed")
        self.used(row, address, now_ms)
        return Visitor(self.rights_of(row), row.terminal_id, row.terminal_id, row.terminal_type)


def open_rights(*, loopback: bool) -> Rights:
    """What anybody may do over HTTP at a node without tokens. From a network nobody operates it."""
    return EVERYTHING if loopback else OF_NODES


def open_page(config: Config) -> Rights | None:
    """What a monitor may do that connects to a node without tokens; None for what its type may.

    Whoever reaches a node that serves its own machine only may connect there as any type. So the page may write and
    decide there, unless the configuration says what monitors may.
    """
    said = config.terminals.get(PAGE_TYPE) != DEFAULT_TERMINALS[PAGE_TYPE]
    return None if said or not config.this_machine_only else EVERYTHING
