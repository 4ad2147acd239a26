"""The codes of protocol.md ("Error codes", "Close codes").

A documented code is named by the error that carries it (node/errors.py): `InvalidMessage.code`.
The standard codes are those of RFC 6455, section 7.4.1, and of the IANA registry (1012, 1013).
"""

from __future__ import annotations

from crdt.classes import frozen

NEVER, LATER, SAME, RECONNECT = "never", "later", "same", "reconnect"
"""Whether what was refused may be sent again: `Code.again`."""


@frozen
class Code:
    """An error code: what stands in the document's table, in its words (Markdown).

    name: as the protocol gives it, empty of 1011. again: one of the words above. pt: the remedy for people.
    """

    code: int
    name: str
    cause: str
    remedy: str
    again: str
    pt: str


CODES = (
    Code(
        4001,
        "Invalid terminal ID",
        "closes: characters or length; or 10,000 are connected already",
        "do not reconnect; show it",
        NEVER,
        "não reconecte; mostre a quem trabalha",
    ),
    Code(
        4002,
        "Invalid terminal type",
        "closes: `type` is missing or unknown",
        "do not reconnect; show it",
        NEVER,
        "não reconecte; mostre a quem trabalha",
    ),
    Code(
        4003,
        "Authentication failed",
        "closes: see tokens",
        "do not reconnect; ask for a new token",
        NEVER,
        "não reconecte; peça uma nova chave",
    ),
    Code(
        4004,
        "Terminal already connected",
        "closes: see [the same terminal twice](#connecting)",
        "reconnect with the usual delay; if it goes on, another device has this id",
        RECONNECT,
        "reconecte como sempre; se continuar, outro aparelho usa este nome",
    ),
    Code(
        4005,
        "Rate limit exceeded",
        "a ping, lock, resolution or baseless confirmation over 2,000/s (5,000 in a burst); never an operation",
        "send it again later, more slowly; after 200 refusals without a calm second between them it closes",
        LATER,
        "envie de novo mais tarde, mais devagar",
    ),
    Code(
        4006,
        "Invalid message format",
        "no JSON, a wrong type or id or number, a limit passed (a message that is too big too); or an "
        "`id` that names another operation",
        "do not send it again; it is an error of the program; after 100 unreadable messages it "
        "closes, of which each message that is taken and each second forgive one; those that name "
        "their operation, conflict or lock do not count",
        NEVER,
        "não envie de novo: é um erro do programa",
    ),
    Code(
        4007,
        "Entity not found",
        "an unknown entity type or conflict; or an UPDATE of what its author saw deleted (`kept`)",
        "drop it",
        NEVER,
        "desista desta escrita",
    ),
    Code(
        4008,
        "Permission denied",
        "the terminal may not write this; another terminal's id; a lock that is not yours; no room "
        "for another lock; or it would take back a ranked status (`kept`)",
        "drop it",
        NEVER,
        "desista desta escrita",
    ),
    Code(
        4009,
        "Lock timeout",
        "another terminal holds the lock (`kept`); the lock that a write names is another's since "
        "(`kept`); the lock to release expired",
        "with `kept`: offer the person to try again after `locked_until`, with the same `id`",
        LATER,
        "ofereça tentar de novo depois que a trava vencer",
    ),
    Code(
        4010,
        "Conflict resolution failed",
        "the conflict is closed; `merge` without `resolved_data`; or a write to a frozen entity (`kept`)",
        "show the conflict; write again after it is resolved",
        LATER,
        "mostre o conflito; escreva de novo depois da decisão",
    ),
    Code(
        1011,
        "",
        "the node's disk cannot store or read at the moment",
        "with `retry`: keep it and send it again, the same `id`, after a second or two",
        SAME,
        "com `retry`: guarde e envie a mesma de novo em um ou dois segundos",
    ),
)
"""Every code that a message or a connection is refused with. Document and descriptions are held to it."""

FOR_GOOD = frozenset(code.code for code in CODES if code.cause.startswith("closes") and code.again == NEVER)
"""Close codes after which a terminal would be turned away again."""

DOCUMENTED = {code.code: code.name for code in CODES if code.name}

NORMAL = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
ABNORMAL = 1006
"""Never sent: the connection ended without a close frame."""
INVALID_DATA = 1007
TOO_BIG = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
"""Between nodes only: this one goes on under a new epoch, so the link is dialled again."""
TRY_AGAIN_LATER = 1013
