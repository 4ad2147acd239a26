"""The HTTP endpoints as an OpenAPI 3.1 document: paths and rights are those of `node.rights.HTTP`, words are here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from crdt.classes import frozen
from node.rights import HTTP, PUBLIC, VERBS
from node.wire.description.shapes import CONFLICT, ENTRY, SHAPES, Schema, integer, number, text, truth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.rights import Endpoint

VERSION = "3.1.0"

PARAMETERS: Mapping[str, Schema] = {
    "after": text("Where to go on: the `next` of the answer before."),
    "archives": {"enum": ["0", "1"], "description": "1: also what is archived."},
    "at": text("As it was then: an ISO 8601 time; without an offset, in the node's zone."),
    "before": integer("Of the newest first: only what came before this row.", minimum=0),
    "deleted": {"enum": ["0", "1"], "description": "1: deleted entities too."},
    "entity_id": text("One entity, where its id does not survive in a path."),
    "entity_type": text("Only of this entity type."),
    "expires": text("When the token ends: an ISO 8601 time."),
    "field": text("A field of that entity."),
    "file": text("What a file is called."),
    "fingerprint": text("The key, by its fingerprint."),
    "force": {"enum": ["0", "1"], "description": "1: also where another node has not confirmed it."},
    "hours": integer("How many of the last hours.", minimum=1, maximum=4),
    "id": text("Its name in the list."),
    "label": text("For people."),
    "limit": integer("At most so many.", minimum=1, maximum=1_000),
    "links": {"enum": ["0", "1"], "description": "1: 503 also while a link is down."},
    "newest": {"enum": ["0", "1"], "description": "1: the newest first."},
    "node": text("A node's id."),
    "seq": integer("As it was at this row of the node's log.", minimum=0),
    "since": text("From this ISO 8601 time on."),
    "state": {"enum": ["open", "settled", "closed", "decided"], "description": "Only conflicts in this state."},
    "terminal_id": text("A terminal's id."),
    "type": text("A terminal type."),
    "until": text("Up to this ISO 8601 time; of an archive also a row."),
    "user_id": text("Who was logged in."),
} | {verb: text("Names of what it may do that with, with commas between them.") for verb in VERBS}
"""Query parameters, by name: one name means one thing at every path."""

IN_PATHS: Mapping[str, Schema] = {
    "page_file": text("A file of the page; may hold slashes."),
    "client_file": text("A file of the JavaScript client; may hold slashes."),
    "conflict_id": SHAPES["conflict_id"],
    "publication": text("A publication, by its name in the list."),
    "entity_type": SHAPES["entity_type"],
    "entity_id": text("The entity's id; encode what a path does not take."),
    "entity_id_and_field": text("The entity's id, a slash, and a field."),
}

ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": text("What is wrong."), "code": integer("As of a sync_error.")},
}
OBJECT: Schema = {"type": "object"}

ENTITY: Schema = {
    "type": "object",
    "required": ["entity_type", "entity_id", "version", "deleted", "data"],
    "properties": {name: SHAPES[name] for name in ("entity_type", "entity_id", "version", "data")}
    | {"deleted": truth("It was removed."), "conflicts": {"type": "array", "items": {"type": "string"}}},
}

STATS: Schema = {
    "type": "object",
    "properties": {
        "total_connections": integer("Terminals that are connected."),
        "connections_by_type": {"type": "object", "additionalProperties": {"type": "integer"}},
        "message_throughput": number("Messages a second."),
        "average_latency": number("Milliseconds from an operation to its confirmation."),
        "conflict_rate": number("Conflicts per operation."),
        "uptime_seconds": number("Since the start."),
    },
}
STATS["required"] = list(STATS["properties"])


def of_list(name: str, item: Schema, **more: Schema) -> Schema:
    """An answer with a list under a name."""
    properties = {name: {"type": "array", "items": item}, **more}
    return {"type": "object", "required": [name], "properties": properties}


NEXT: Schema = {"type": ["string", "integer", "null"], "description": "Where to go on (`after`); null at the end."}

STEPS = of_list("steps", OBJECT, next=NEXT)


@frozen
class Described:
    """What an endpoint does. query: names of PARAMETERS. answer: the shape of a 200; None where it is no JSON."""

    what: str
    query: tuple[str, ...] = ()
    answer: Schema | None = OBJECT


def _of(what: str, query: str = "", answer: Schema | None = OBJECT) -> Described:
    return Described(what, tuple(query.split()), answer)


PAST = "entity_id at seq deleted after limit"
AUDITED = "entity_type entity_id terminal_id user_id since until after before newest limit"

DESCRIBED: Mapping[tuple[str, str], Described] = {
    ("GET", "/"): _of("The page.", answer=None),
    ("GET", "/ui/{page_file...}"): _of("A file of the page.", answer=None),
    ("GET", "/client/{client_file...}"): _of("A file of the JavaScript client.", answer=None),
    ("GET", "/asyncapi.json"): _of("The messages between terminals and the node, as an AsyncAPI document."),
    ("GET", "/schemas.json"): _of("The same messages as a JSON Schema."),
    ("GET", "/openapi.json"): _of("This document."),
    ("POST", "/api/v1/join"): _of("A token for a one-time code; see the protocol document."),
    ("POST", "/api/v1/pair"): _of("A one-time code for a token.", "type terminal_id"),
    ("GET", "/healthz"): _of("Whether the node lives."),
    ("GET", "/readyz"): _of("Whether it can store; 503 where it cannot.", "links"),
    ("GET", "/metrics"): _of("Figures for Prometheus.", answer=None),
    ("GET", "/api/v1/websocket/stats"): _of("Connections, throughput, latency and conflicts.", answer=STATS),
    ("GET", "/api/v1/policies"): _of("The entity types and how each is merged.", answer=of_list("policies", OBJECT)),
    ("GET", "/api/v1/whoami"): _of("Whose token it is and what may be done with it.", "type"),
    ("GET", "/api/v1/conflicts"): _of(
        "Conflicts, with who wrote what.", "state since after limit", of_list("conflicts", CONFLICT, next=NEXT)
    ),
    ("GET", "/api/v1/conflicts/{conflict_id}"): _of("One conflict.", answer=CONFLICT),
    ("GET", "/api/v1/locks"): _of("Locks that are held.", answer=of_list("locks", OBJECT)),
    ("GET", "/api/v1/waiting/{entity_type}"): _of(
        "The entities of which operations wait for other nodes.", "entity_id", of_list("entities", OBJECT)
    ),
    ("GET", "/api/v1/entities/{entity_type}"): _of(
        "Entities of a type, or the one that the query names; now or as they were.",
        PAST,
        {"anyOf": [of_list("entities", ENTITY, next=NEXT, seq=integer("The row they go up to.")), ENTITY]},
    ),
    ("GET", "/api/v1/entities/{entity_type}/{entity_id...}"): _of("One entity, now or as it was.", "at seq", ENTITY),
    ("GET", "/api/v1/explain/{entity_type}"): _of(
        "Why a field shows what it shows, and every value it ever had.", "entity_id field limit"
    ),
    ("GET", "/api/v1/explain/{entity_type}/{entity_id_and_field...}"): _of("The same.", "limit"),
    ("GET", "/api/v1/history/{entity_type}"): _of(
        "What was done to an entity, step by step.", "entity_id after limit archives", STEPS
    ),
    ("GET", "/api/v1/history/{entity_type}/{entity_id...}"): _of("The same.", "after limit archives", STEPS),
    ("GET", "/api/v1/audit"): _of("The audit.", AUDITED, of_list("entries", ENTRY, next=NEXT)),
    ("GET", "/api/v1/refused"): _of("Refused writes that are kept.", AUDITED, of_list("entries", ENTRY, next=NEXT)),
    ("GET", "/api/v1/heads"): _of("What a node's log ended with, as it signed it.", "node"),
    ("GET", "/api/v1/archives"): _of("Where the log begins, and the archives of what was before."),
    ("GET", "/api/v1/realms"): _of("The stores that this node keeps as head office."),
    ("GET", "/api/v1/chain"): _of("Whether the audit's chain is whole, as far as it was checked."),
    ("GET", "/api/v1/node"): _of("The node: version, addresses, disk, settings in force."),
    ("GET", "/api/v1/backups"): _of("The copies in the data directory."),
    ("GET", "/api/v1/links"): _of("Linked nodes."),
    ("GET", "/api/v1/performance"): _of("Figures of the last hours.", "hours"),
    ("GET", "/api/v1/terminals"): _of(
        "Every terminal that the node knows.", "after limit", of_list("terminals", OBJECT, next=NEXT)
    ),
    ("GET", "/api/v1/doctor"): _of("What is wrong, and what to do about it."),
    ("GET", "/api/v1/keys"): _of("Whose public key is whose."),
    ("POST", "/api/v1/keys/trust"): _of("Take a key of a node.", "node fingerprint"),
    ("POST", "/api/v1/keys/forget"): _of("Take it no longer.", "node fingerprint"),
    ("GET", "/api/v1/quarantine"): _of("Operations of linked nodes that cannot be applied."),
    ("POST", "/api/v1/quarantine/retry"): _of("Try them again."),
    ("POST", "/api/v1/quarantine/drop"): _of("Keep only the name of one of them.", "id"),
    ("POST", "/api/v1/backup"): _of("A consistent copy into the data directory."),
    ("POST", "/api/v1/archive"): _of("Old history into a file.", "until force"),
    ("GET", "/api/v1/publications"): _of(
        "Lists that were published in stores.", answer=of_list("publications", OBJECT)
    ),
    ("GET", "/api/v1/publications/{publication}"): _of(
        "Who has a list and who not yet.", answer=of_list("stores", OBJECT)
    ),
    ("POST", "/api/v1/publish/list"): _of("Take a list, the body, and say what was recognised of it.", "file"),
    ("POST", "/api/v1/publish/look"): _of("What a list would change in which stores."),
    ("POST", "/api/v1/publish/send"): _of("Send it, or what stores lack of an earlier one."),
    ("POST", "/api/v1/publish/stop"): _of("End what is being done."),
    ("GET", "/api/v1/tokens"): _of("The tokens, without showing them."),
    ("POST", "/api/v1/tokens/add"): _of("A token, shown once.", f"terminal_id type label expires {' '.join(VERBS)}"),
    ("POST", "/api/v1/tokens/revoke"): _of("End a terminal's tokens.", "terminal_id"),
    ("POST", "/api/v1/tokens/rotate"): _of("Put a new token in their place.", "terminal_id"),
}


def openapi(version: str) -> dict[str, Any]:
    """The document. version: of the program."""
    paths: dict[str, Any] = {}
    for endpoint in HTTP:
        paths.setdefault(plain_path(endpoint.path), {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": VERSION,
        "info": {
            "title": "Comanda: what a node tells over HTTP",
            "version": version,
            "description": "Writing goes over the WebSocket: see /asyncapi.json. A GET is answered to HEAD too.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {
                "header": {"type": "http", "scheme": "bearer"},
                "query": {"type": "apiKey", "in": "query", "name": "token"},
            },
        },
    }


def plain_path(path: str) -> str:
    """As OpenAPI has it: without the dots of a part that takes all that follow."""
    return path.replace("...}", "}")


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    described = DESCRIBED[endpoint.method, endpoint.path]
    names = re.findall(r"{(\w+)", endpoint.path)
    inside = [{"name": n, "in": "path", "required": True, "schema": IN_PATHS[n]} for n in names]
    asked = [{"name": n, "in": "query", "schema": PARAMETERS[n]} for n in described.query]
    schema = {} if described.answer is None else {"content": {"application/json": {"schema": described.answer}}}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    need = endpoint.need
    return {
        "summary": described.what,
        "operationId": re.sub(r"\W+", "_", f"{endpoint.method.lower()} {plain_path(endpoint.path)}").strip("_"),
        **({"parameters": [*inside, *asked]} if inside or asked else {}),
        "responses": {
            "200": {"description": "Answered.", **schema},
            "default": {"description": "Refused, or not there.", "content": error},
        },
        "security": [] if need == PUBLIC else [{}, {"header": []}, {"query": []}],
        "x-needs": f"{need.verb} {need.what}".strip(),
    }
