"""The shape of every member of a message, by its name: one name means one thing wherever it stands."""

from __future__ import annotations

from typing import Any

from node.wire.codec import FIGURES_BYTES, ID, LONGEST_ID, TERMINAL_ID
from node.wire.messages import KINDS, LONGEST_REASON, RESOLUTIONS
from node.wire.outgoing import LONGEST_ERROR
from strategies.policy import PRIORITIES

Schema = dict[str, Any]


def _pattern(python: str) -> str:
    """A pattern of the codec as JSON Schema has it."""
    return "^" + python.removesuffix(r"\Z").replace(r"\Z", "$") + "$"


def text(what: str, **more: Any) -> Schema:
    return {"type": "string", "description": what, **more}


def number(what: str, **more: Any) -> Schema:
    return {"type": "number", "description": what, **more}


def integer(what: str, **more: Any) -> Schema:
    return {"type": "integer", "description": what, **more}


def truth(what: str) -> Schema:
    return {"type": "boolean", "description": what}


def members(what: str, **more: Any) -> Schema:
    return {"type": "object", "description": what, **more}


def named(what: str) -> Schema:
    return text(what, pattern=_pattern(ID.pattern))


def moment(what: str) -> Schema:
    return text(what, format="date-time")


FIELDS = members("The entity's fields. A value may be any JSON.")
COUNT = integer("Counts up by one with each operation on the entity.", minimum=0)

SHAPES: dict[str, Schema] = {
    # names
    "operation_id": text("The operation it is about; of a resolution without an id, the one the node made."),
    "entity_type": text("An entity type, such as orders.", minLength=1, maxLength=LONGEST_ID),
    "entity_id": named("An entity of that type."),
    "terminal_id": text("A terminal; of rows that the node makes, the node.", pattern=_pattern(TERMINAL_ID.pattern)),
    "lock_id": named("A lock, as its owner or the node named it."),
    "conflict_id": named("A conflict; the same on every node."),
    "id": named("Names this for ever, together with its author."),
    "user_id": text("Who is logged in.", maxLength=256),
    "session_id": text("New for each connection."),
    # operations
    "operation": {"enum": list(KINDS), "description": "What is done."},
    "data": FIELDS,
    "updates": {"type": "array", "description": "Of a BULK_UPDATE: all or none.", "minItems": 1},
    "version": COUNT,
    "timestamp": moment("When the person acted, or when the node accepted or said it."),
    "requires_lock": truth("Whether locks are checked for this entity type."),
    "priority": {"enum": list(PRIORITIES), "description": "How urgent the entity type is."},
    "status": {
        "enum": ["applied", "merged", "lost", "conflict", "duplicate"],
        "description": "What became of the operation.",
    },
    "seq": integer("Place in the node's log.", minimum=0),
    # the connection
    "server_time": moment("The node's clock."),
    "performance": members(f"Figures of the terminal, at most {FIGURES_BYTES:,} bytes as JSON."),
    # refusals
    "error": text("For people; may change.", maxLength=LONGEST_ERROR),
    "code": integer("The reason; see x-error-codes."),
    "reason": text("For people: why it is so, or why it was decided so.", maxLength=LONGEST_REASON),
    "where": text("The place in the message."),
    "kept": truth("The write is kept on the node with its data."),
    "retry": truth("Nothing was decided: send the same again."),
    # conflicts
    "conflict": members("Two writes that collided."),
    "resolution": {"enum": [*RESOLUTIONS], "description": "Which side is taken."},
    "resolved_data": FIELDS,
    # locks
    "timeout": integer("Length of the lock in milliseconds.", minimum=1),
    "breaks": text("The terminal from which the lock is taken.", pattern=_pattern(TERMINAL_ID.pattern)),
    "expires_at": moment("When the lock ends."),
    "locked_by": text("The terminal that has the lock."),
    "locked_until": moment("Until when."),
    "scope": {"enum": ["store", "local", "overlapping"], "description": "On which nodes the lock counts."},
    "token": members(
        "The fencing token.",
        required=["authority", "epoch", "counter"],
        properties={
            "authority": text("The node that granted it."),
            "epoch": integer("Of that node."),
            "counter": integer("A larger one is a later lock."),
        },
    ),
    # monitors
    "terminals": members("Terminals by their ids."),
    "total_online": integer("How many are online, on all nodes.", minimum=0),
    "metrics": members("Figures of one terminal."),
    "entry": members("An entry of the audit."),
}
"""Members that stand beside `type`, or in an operation."""

ADDED: dict[str, dict[str, Schema]] = {
    "connection_established": {
        "recovered": integer("Names the beginning of a database that was set back."),
        "sync": {"enum": ["full"], "description": "Connect with `?sync=full` the next time too."},
    },
    "sync_confirmation": {
        "versions": members("Of a BULK_UPDATE: versions by entity id."),
        "conflict_id": SHAPES["conflict_id"],
        "clock_skew_ms": integer("How far the timestamp is ahead of what counts."),
        "counted_by": {"enum": ["measured", "accepted", "seen"], "description": "What that rests on."},
        "assumed_zone": text("The zone in which a time without one was read."),
        "shown": members("Of a duplicate: what is shown now, by entity id; null of what is not."),
        "replaced": {"type": "array", "items": {"type": "string"}, "description": "Where text was no Unicode."},
    },
    "sync_error": {
        name: SHAPES[name]
        for name in ("where", "kept", "retry", "reason", "locked_by", "locked_until", "conflict_id", "lock_id")
    },
    "data_sync": {"seq": SHAPES["seq"]},
    "sync_conflict": {"omitted": {"type": "array", "description": "Where values were that are too large."}},
    "audit_log": {"omitted": {"type": "array", "description": "Where values were that are too large."}},
    "conflict_resolution": {
        "state": {"const": "closed", "description": "It is off the list."},
        "user_id": SHAPES["user_id"],
        "reason": SHAPES["reason"],
    },
}
"""What a message of the node has only where it applies."""

ROW: Schema = members(
    "An operation as a row of the node's log: `data` says what changed in what is shown.",
    required=["id", "entity_type", "operation", "data", "terminal_id"],
    properties={
        name: SHAPES[name]
        for name in ("entity_type", "operation", "data", "timestamp", "requires_lock", "priority", "terminal_id")
    }
    | {
        "id": text("Of a terminal's operation its own; else the node's: state-, current-, resolution,"),
        "entity_id": {**SHAPES["entity_id"], "type": ["string", "null"]},
        "user_id": {**SHAPES["user_id"], "type": ["string", "null"]},
        "version": {**COUNT, "type": ["integer", "null"]},
        "lock_id": {**SHAPES["lock_id"], "type": ["string", "null"]},
        "resolves": text("Of a resolution: the conflict."),
        "resolution": text("Of a resolution: which side."),
        "reason": SHAPES["reason"],
        "conflict": members("Of a resolution: its path and operations."),
    },
)

CONFLICT: Schema = members(
    SHAPES["conflict"]["description"],
    required=[
        *("id", "type", "entity_type", "entity_id", "local_data", "remote_data", "local_version", "remote_version"),
        *("created_at", "path", "state", "candidates"),
    ],
    properties={
        "id": SHAPES["conflict_id"],
        "type": {"enum": ["version_conflict", "field_conflict", "delete_conflict"], "description": "Of what kind."},
        "entity_type": SHAPES["entity_type"],
        "entity_id": SHAPES["entity_id"],
        "local_data": members("What is shown."),
        "remote_data": members("The challenger, which is not shown."),
        "local_version": COUNT,
        "remote_version": COUNT,
        "created_at": moment("When the later of them was accepted."),
        "path": {"type": "array", "items": {"type": "string"}, "description": "Which part of the entity."},
        "state": {"enum": ["open", "settled", "closed"], "description": "Open: a person must decide."},
        "also_in": members("The entity to which the element was moved."),
        "candidates": {
            "type": "array",
            "description": "All values, the shown one first.",
            "items": members(
                "One value.",
                required=["operation_id", "terminal_id", "timestamp", "accepted_at", "data"],
                properties={name: SHAPES[name] for name in ("operation_id", "terminal_id", "timestamp", "data")}
                | {"accepted_at": moment("When a node took it.")},
            ),
        },
    },
)

TERMINAL: Schema = members(
    "A terminal.",
    required=["type", "status", "connected_at", "last_ping"],
    properties={
        "type": text("Its type."),
        "status": {"enum": ["online", "offline", "unreachable"], "description": "Whether it is here."},
        "connected_at": {**moment("Since when."), "type": ["string", "null"]},
        "last_ping": {**moment("When it was heard last."), "type": ["string", "null"]},
        "performance": SHAPES["performance"],
        "node": text("The node it is connected to, where that is another one."),
    },
)

METRICS: Schema = members(
    SHAPES["metrics"]["description"],
    required=[
        *("websocket_latency", "sync_operations_per_second", "cache_hit_rate", "memory_usage_mb"),
        *("active_connections", "queue_size", "last_sync"),
    ],
    properties={
        "websocket_latency": number("Round trip in milliseconds."),
        "sync_operations_per_second": number("Since it connected."),
        "cache_hit_rate": number("Of its own, else of the node."),
        "memory_usage_mb": number("Of its own, else of the node."),
        "active_connections": integer("Of this node."),
        "queue_size": integer("Rows under way to it."),
        "last_sync": {**moment("Its last operation or confirmation."), "type": ["string", "null"]},
    },
)

ENTRY: Schema = members(
    SHAPES["entry"]["description"],
    required=[
        *("id", "operation_id", "entity_type", "entity_id", "operation", "terminal_id", "user_id", "timestamp"),
        *("changes", "sync_status", "conflict_resolved"),
    ],
    properties={
        "id": text("Names the entry on this node."),
        "operation_id": SHAPES["operation_id"],
        "entity_type": text("Its entity type; empty of an administrator's act."),
        "entity_id": {"type": ["string", "null"], "description": "Null of a BULK_UPDATE."},
        "operation": text("What was done: one of CREATE, UPDATE, DELETE, BULK_UPDATE, or an act."),
        "terminal_id": text("Who did it."),
        "user_id": {"type": ["string", "null"], "description": "The person."},
        "timestamp": text("As the terminal sent it."),
        "changes": members(
            "What was shown before and after.", required=["before", "after"], properties={"before": {}, "after": {}}
        ),
        "sync_status": {"enum": ["completed", "conflict", "refused"], "description": "What became of it."},
        "conflict_resolved": truth("A rule decided against it, or it is a resolution."),
        "resolves": text("Of a resolution: the conflict."),
        "reason": text("Of a resolution: why, in the person's words."),
        "claimed_user_id": text("The user that the operation named, where the connection had another or none."),
        "seq": SHAPES["seq"],
        "status": text("As in the confirmation, or refused."),
        "version": {**COUNT, "type": ["integer", "null"]},
        "lock_status": text("How the lock stood."),
        "origin": text("The node that accepted it."),
        "via": text("The linked node it came from; empty: accepted here."),
        "signed": {"enum": ["verified", "unsigned", "unknown", None], "description": "What its signature proves."},
        "accepted_at": moment("When a node took it."),
        "effective_timestamp": moment("The time that decides who wins."),
    },
)

INNER: dict[str, Schema] = {
    "conflict": CONFLICT,
    "terminals": {**SHAPES["terminals"], "additionalProperties": TERMINAL},
    "metrics": METRICS,
    "entry": ENTRY,
}
"""Members of the node's messages that have a shape of their own."""
