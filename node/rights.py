"""What a terminal may do, and the right that each HTTP endpoint and each message needs.

A right is a verb and what it is over:

    write, resolve   entity types
    read             entity types, "audit", "metrics"
    operate          "archive", "backup", "keys", "publish", "quarantine", "tokens"

A terminal type has the rights that `[terminals]` gives it; a token may narrow or widen them. Nothing else in the node
decides who may do what: HTTP and MESSAGES below are asked, and a test walks over both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote

from attrs import field, fields

from crdt.classes import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

EVERY = "*"
"""Every entity type, or every act."""

AUDIT, METRICS = "audit", "metrics"
REPORTS = (AUDIT, METRICS)
"""What may be read besides entities. EVERY does not stand for them, and no entity type is named so."""

ACTS = ("archive", "backup", "keys", "publish", "quarantine", "tokens")


def _held(names: Iterable[str]) -> frozenset[str]:
    return frozenset(names)


@frozen(kw_only=True)
class Rights:
    """What somebody may do. What he may not read he may not write or resolve either: he would write blindly."""

    write: frozenset[str] = field(default=frozenset(), converter=_held)
    resolve: frozenset[str] = field(default=frozenset(), converter=_held)
    read: frozenset[str] = field(default=frozenset(), converter=_held)
    operate: frozenset[str] = field(default=frozenset(), converter=_held)

    def may(self, verb: str, what: str) -> bool:
        """what: an entity type, a report or an act."""
        if verb in ("write", "resolve") and not self._holds("read", what):
            return False
        return self._holds(verb, what)

    def _holds(self, verb: str, what: str) -> bool:
        held: frozenset[str] = getattr(self, verb)
        return what in held or (EVERY in held and what not in REPORTS)

    def of_types(self, verb: str, entity_types: Iterable[str]) -> frozenset[str]:
        """Which of these entity types it is over."""
        return frozenset(name for name in entity_types if self.may(verb, name))

    def changed(self, given: Mapping[str, Sequence[str]]) -> Rights:
        """The same with what is given for some verbs in the place of what there was."""
        return Rights(**{verb: given.get(verb, getattr(self, verb)) for verb in VERBS})

    def given(self) -> dict[str, list[str]]:
        """By verb, sorted, as a token stores them."""
        return {verb: sorted(getattr(self, verb)) for verb in VERBS}


VERBS = tuple(attribute.name for attribute in fields(Rights))

EVERYTHING = Rights(write=[EVERY], resolve=[EVERY], read=[EVERY, *REPORTS], operate=[EVERY])
"""Who opens the control socket: he may read the database and its key as well."""

OF_NODES = Rights(write=[EVERY], resolve=[EVERY], read=[EVERY, *REPORTS])
"""Another node, which holds all that this one does."""


def named(rights: Rights, entity_types: Iterable[str]) -> dict[str, list[str]]:
    """By verb, each thing by its name that somebody may do it to, sorted: nothing stands for others."""
    over = {verb: [*entity_types, *REPORTS] if verb == "read" else [*entity_types] for verb in VERBS}
    over["operate"] = [*ACTS]
    return {verb: sorted(rights.of_types(verb, names)) for verb, names in over.items()}


def unknown(given: Mapping[str, Sequence[str]], entity_types: Iterable[str]) -> list[str]:
    """What is no right: `verb what` of each."""
    types = {EVERY, *entity_types}
    known = {"write": types, "resolve": types, "read": types | {*REPORTS}, "operate": {EVERY, *ACTS}}
    return [f"{verb} {what}" for verb, over in given.items() for what in over if what not in known.get(verb, ())]


@frozen
class Visitor:
    """Who asks over HTTP.

    name: for the audit; "" for nobody in particular.
    terminal_id, terminal_type: whose token he shows. What he reads, that terminal has seen.
    """

    rights: Rights
    name: str = ""
    terminal_id: str | None = None
    terminal_type: str | None = None


# ---------------------------------------------------------------------- what is needed


@frozen
class Need:
    """A right. what: `{entity_type}` stands for the type that is asked for, or that the message names."""

    verb: str
    what: str = ""


PUBLIC = Need("public")
"""Anybody is answered."""

KNOWN = Need("known")
"""Whoever may connect is answered, whatever his rights. Of entities he is shown those that he may read."""

OF_TYPE = "{entity_type}"


@frozen
class Endpoint:
    """An HTTP endpoint: GET is answered, and HEAD with it, or POST.

    path: a part in braces stands for one part, decoded; with dots for all that follow. body_bytes: the longest body
    of who has the right; None for that of all requests.
    """

    method: str
    path: str
    need: Need
    body_bytes: int | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        return ("GET", "HEAD", "OPTIONS") if self.method == "GET" else (self.method,)

    def parts(self, raw: Sequence[str]) -> list[str] | None:
        """What stands in the places of the braces; None where it is another path. raw: the path's parts as sent."""
        found: list[str] = []
        pattern = self.path.split("/")[1:]
        for place, part in enumerate(pattern):
            if part.endswith("...}"):
                return [*found, *map(unquote, raw[place:])] if len(raw) > place else None
            if place >= len(raw):
                return None
            if part.startswith("{") and raw[place]:
                found.append(unquote(raw[place]))
            elif part != raw[place]:
                return None
        return found if len(raw) == len(pattern) else None


LIST_BYTES = 4 * 1024 * 1024
"""The longest list that is published over HTTP, or kept."""

HTTP = (
    Endpoint("GET", "/", PUBLIC),
    Endpoint("GET", "/ui/{page_file...}", PUBLIC),
    Endpoint("GET", "/client/{client_file...}", PUBLIC),
    Endpoint("GET", "/asyncapi.json", PUBLIC),
    Endpoint("GET", "/schemas.json", PUBLIC),
    Endpoint("GET", "/openapi.json", PUBLIC),
    Endpoint("POST", "/api/v1/join", PUBLIC),
    Endpoint("POST", "/api/v1/pair", Need("operate", "tokens")),
    Endpoint("GET", "/healthz", PUBLIC),
    Endpoint("GET", "/readyz", PUBLIC),
    Endpoint("GET", "/metrics", Need("read", METRICS)),
    Endpoint("GET", "/api/v1/websocket/stats", KNOWN),
    Endpoint("GET", "/api/v1/policies", KNOWN),
    Endpoint("GET", "/api/v1/whoami", KNOWN),
    Endpoint("GET", "/api/v1/conflicts", KNOWN),
    Endpoint("GET", "/api/v1/conflicts/{conflict_id}", KNOWN),
    Endpoint("GET", "/api/v1/locks", KNOWN),
    Endpoint("GET", "/api/v1/waiting/{entity_type}", Need("read", OF_TYPE)),
    Endpoint("GET", "/api/v1/entities/{entity_type}", Need("read", OF_TYPE)),
    Endpoint("GET", "/api/v1/entities/{entity_type}/{entity_id...}", Need("read", OF_TYPE)),
    Endpoint("GET", "/api/v1/history/{entity_type}", Need("read", OF_TYPE)),
    Endpoint("GET", "/api/v1/history/{entity_type}/{entity_id...}", Need("read", OF_TYPE)),
    Endpoint("GET", "/api/v1/explain/{entity_type}", Need("read", OF_TYPE)),
    Endpoint("GET", "/api/v1/explain/{entity_type}/{entity_id_and_field...}", Need("read", OF_TYPE)),
    Endpoint("GET", "/api/v1/audit", Need("read", AUDIT)),
    Endpoint("GET", "/api/v1/refused", Need("read", AUDIT)),
    Endpoint("GET", "/api/v1/heads", Need("read", AUDIT)),
    Endpoint("GET", "/api/v1/archives", Need("read", AUDIT)),
    Endpoint("GET", "/api/v1/chain", Need("read", AUDIT)),
    Endpoint("GET", "/api/v1/node", Need("read", METRICS)),
    Endpoint("GET", "/api/v1/realms", Need("read", METRICS)),
    Endpoint("GET", "/api/v1/backups", Need("read", METRICS)),
    Endpoint("GET", "/api/v1/links", Need("read", METRICS)),
    Endpoint("GET", "/api/v1/performance", Need("read", METRICS)),
    Endpoint("GET", "/api/v1/terminals", Need("read", METRICS)),
    Endpoint("GET", "/api/v1/doctor", Need("read", METRICS)),
    Endpoint("GET", "/api/v1/keys", Need("read", METRICS)),
    Endpoint("POST", "/api/v1/keys/trust", Need("operate", "keys")),
    Endpoint("POST", "/api/v1/keys/forget", Need("operate", "keys")),
    Endpoint("GET", "/api/v1/quarantine", Need("operate", "quarantine")),
    Endpoint("POST", "/api/v1/quarantine/retry", Need("operate", "quarantine")),
    Endpoint("POST", "/api/v1/quarantine/drop", Need("operate", "quarantine")),
    Endpoint("POST", "/api/v1/backup", Need("operate", "backup")),
    Endpoint("POST", "/api/v1/archive", Need("operate", "archive")),
    Endpoint("GET", "/api/v1/publications", Need("operate", "publish")),
    Endpoint("GET", "/api/v1/publications/{publication}", Need("operate", "publish")),
    Endpoint("POST", "/api/v1/publish/list", Need("operate", "publish"), LIST_BYTES),
    Endpoint("POST", "/api/v1/publish/look", Need("operate", "publish")),
    Endpoint("POST", "/api/v1/publish/send", Need("operate", "publish")),
    Endpoint("POST", "/api/v1/publish/stop", Need("operate", "publish")),
    Endpoint("GET", "/api/v1/tokens", Need("operate", "tokens")),
    Endpoint("POST", "/api/v1/tokens/add", Need("operate", "tokens")),
    Endpoint("POST", "/api/v1/tokens/revoke", Need("operate", "tokens")),
    Endpoint("POST", "/api/v1/tokens/rotate", Need("operate", "tokens")),
)


def find(path: str) -> tuple[tuple[Endpoint, ...], list[str]]:
    """The endpoints at a path, and what stands in its braces. path: as it was sent, without the query.

    A path matches exactly: one with a second or a trailing slash, or with an encoded letter, is another.
    """
    raw = path.split("/")[1:]
    found = [(endpoint, parts) for endpoint in HTTP if (parts := endpoint.parts(raw)) is not None]
    return tuple(endpoint for endpoint, _ in found), found[0][1] if found else []


MESSAGES: Mapping[str, Need] = {
    # from terminals
    "ping": KNOWN,
    "sync_confirmation": KNOWN,
    "data_sync": Need("write", OF_TYPE),
    "conflict_resolution": Need("resolve", OF_TYPE),
    "acquire_lock": Need("write", OF_TYPE),
    "release_lock": KNOWN,
}
"""What a terminal's message needs. A lock is released by who holds it."""

SENT: Mapping[str, Need] = {
    "connection_established": KNOWN,
    "pong": KNOWN,
    "data_sync": Need("read", OF_TYPE),
    "sync_confirmation": KNOWN,
    "sync_error": KNOWN,
    "sync_conflict": Need("read", OF_TYPE),
    "conflict_resolution": Need("read", OF_TYPE),
    "lock_acquired": KNOWN,
    "lock_failed": KNOWN,
    "lock_released": KNOWN,
    "terminal_status_update": Need("read", METRICS),
    "performance_metrics": Need("read", METRICS),
    "audit_log": Need("read", AUDIT),
}
"""What a terminal needs to be sent a message. The last three go to monitors; `audit_log` needs its type too."""
