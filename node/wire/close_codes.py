""" "WebSocket Error Codes" of the protocol document, and the standard codes the node uses."""

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

GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
TOO_BIG = 1009
INTERNAL_ERROR = 1011
TRY_AGAIN_LATER = 1013
