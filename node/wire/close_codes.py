"""The codes of protocol.md ("Error codes", "Close codes").

A documented code is named by the error that carries it (node/errors.py): `InvalidMessage.code`.
The standard codes are those of RFC 6455, section 7.4.1, and of the IANA registry (1012, 1013).
"""

from __future__ import annotations

DOCUMENTED = {
    4001: "Invalid terminal ID",
    4002: "Invalid terminal type",
    4003: "Authentication failed",
    4004: "Terminal already connected",
    4005: "Rate limit exceeded",
    4006: "Invalid message format",
    4007: "Entity not found",
    4008: "Permission denied",
    4009: "Lock timeout",
    4010: "Conflict resolution failed",
}

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
