"""The terminal protocol as an AsyncAPI 3 document."""

from __future__ import annotations

import re
from typing import Any

import attrs

from node.wire.close_codes import CODES
from node.wire.description.schemas import FROM_NODE, FROM_TERMINAL, schemas
from node.wire.links.handshake import SUBPROTOCOL

VERSION = "3.0.0"
CHANNEL = "terminal"

ANSWERED = {
    "ping": ("pong",),
    "data_sync": ("sync_confirmation", "sync_error"),
    "conflict_resolution": ("sync_confirmation", "sync_error"),
    "acquire_lock": ("lock_acquired", "lock_failed", "sync_error"),
    "release_lock": ("lock_released", "sync_error"),
}
"""What the node answers to a message of a terminal."""

QUERY = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {
            "type": "string",
            "description": "pos, kds, waiter or monitor, or what the node is configured with.",
        },
        "user_id": {"type": "string", "maxLength": 256, "description": "Who is logged in."},
        "sync": {"type": "string", "enum": ["full"], "description": "Send everything, whatever was confirmed."},
        "token": {"type": "string", "description": "The access token, where nothing else can be sent."},
    },
}


def asyncapi(version: str) -> dict[str, Any]:
    """The document. version: of the program."""
    every = schemas()
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "Comanda: terminals of a restaurant and their node",
            "version": version,
            "description": "The messages of node/wire/protocol.md, which says what they mean and in which order.",
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "node": {
                "host": "localhost:8001",
                "protocol": "ws",
                "description": f"The node beside the terminal. It may offer the subprotocol {SUBPROTOCOL}.",
                "security": [{"$ref": "#/components/securitySchemes/token"}],
            }
        },
        "channels": {
            CHANNEL: {
                "address": "/ws/{terminal_id}",
                "description": "One connection of one terminal.",
                "parameters": {"terminal_id": {"description": "Who the terminal is, the same for its whole life."}},
                "bindings": {"ws": {"query": QUERY, "bindingVersion": "0.1.0"}},
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in every},
            }
        },
        "operations": {name: _operation(name) for name in every},
        "components": {
            "messages": {name: _message(name, schema) for name, schema in every.items()},
            "schemas": every,
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": f"Where it has tokens. A browser offers {SUBPROTOCOL} and token.TOKEN instead.",
                }
            },
        },
        "x-error-codes": error_codes(),
    }


def _operation(name: str) -> dict[str, Any]:
    """As the node does it: it receives what a terminal sends."""
    direction, _, kind = name.partition(".")
    done: dict[str, Any] = {
        "action": "receive" if direction == FROM_TERMINAL else "send",
        "channel": {"$ref": f"#/channels/{CHANNEL}"},
        "messages": [_of_channel(name)],
    }
    if direction == FROM_TERMINAL and kind in ANSWERED:
        answers = [_of_channel(f"{FROM_NODE}.{answer}") for answer in ANSWERED[kind]]
        done["reply"] = {"channel": {"$ref": f"#/channels/{CHANNEL}"}, "messages": answers}
    return done


def _of_channel(name: str) -> dict[str, str]:
    return {"$ref": f"#/channels/{CHANNEL}/messages/{name}"}


def _message(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": schema["title"],
        "title": name.replace("_", " ").replace(".", ": "),
        "summary": schema["description"],
        "payload": {"$ref": f"#/components/schemas/{name}"},
    }


def error_codes() -> list[dict[str, Any]]:
    """The table of codes, its sentences without Markdown."""
    return [{name: _plain(value) for name, value in attrs.asdict(code).items()} for code in CODES]


def _plain(value: Any) -> Any:
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", value).replace("`", "") if isinstance(value, str) else value
