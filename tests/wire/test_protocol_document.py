"""node/wire/protocol.md is held to the code: its examples are played, its tables and numbers compared."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from crdt import decimals
from crdt.hlc import parse_iso
from node import errors
from node.config.sections import DEFAULT_TERMINALS, Config, FieldConfig
from node.core import monitors
from node.core.locks import lease, requests
from node.core.sessions import session
from node.core.sessions.identity import Identity
from node.core.terminal_clocks import TOLERANCE_MS
from node.rights import EVERY
from node.runtime.api import routes
from node.runtime.net import http
from node.wire import close_codes, codec, frames, json_text, messages, outgoing
from node.wire.codec import TYPES, decode
from node.wire.description.shapes import ADDED
from node.wire.links.handshake import SUBPROTOCOL
from strategies.kinds import keyed_list
from strategies.kinds.kinds import KINDS as FIELD_KINDS
from strategies.policy import DOCUMENTED, PRIORITIES, STRATEGIES
from tests.harness import Client, Connection, World, settle_all
from tests.limits import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.core.sessions.session import Session

TEXT = (Path(__file__).parents[2] / "node" / "wire" / "protocol.md").read_text(encoding="utf-8")
EXAMPLES = [
    (who, json.loads(block)) for who, block in re.findall(r"<!-- (\w+) -->\n```json\n(.*?)\n```", TEXT, re.DOTALL)
]
FROM_CLIENTS = [message for who, message in EXAMPLES if who == "client"]
FROM_THE_NODE = [message for who, message in EXAMPLES if who == "server"]

FIXED = {
    "values of one message: commas, `[` and `{` outside strings": json_text.MOST_VALUES,
    "characters of a field's name": LIMITS.field_name,
    "characters of an id": codec.LONGEST_ID,
    "characters of a `user_id`": 256,
    "characters of a `reason`": messages.LONGEST_REASON,
    "`performance` as JSON, bytes": codec.FIGURES_BYTES,
    "an operation beside its `data`, bytes": codec.ENVELOPE_BYTES,
    "elements of a `keyed_list`": keyed_list.ELEMENTS,
    "decimals of a counter": decimals.DECIMALS,
    "refusals by rate before closing": session.RATE_STRIKES,
    "unreadable messages before closing": session.FORMAT_STRIKES,
    "bytes of a request head": http.HEAD_BYTES,
    "wait for another node's lock, ms": requests.WAIT_MS,
    "offline terminals in a status": monitors.OFFLINE_SHOWN,
    "a terminal's clock that is taken as right, ms off": TOLERANCE_MS,
}
INTERNAL = {"resident_entities", "resident_bytes", "ring_rows", "ring_bytes", "quarantine_bytes", "backlog_bytes"}
"""Limits of the node's own memory, which no terminal meets."""

CALLED = {"kind": "operation", "updates": "updates"}
"""Fields of the message classes under their names on the wire."""

NOT_ON_THE_WIRE = {"raw", "timestamp_us", "assumed_zone", "writes", "key", "replaced", "size"}

OPAQUE = {
    "data",
    "local_data",
    "remote_data",
    "resolved_data",
    "before",
    "after",
    "versions",
    "shown",
    "counted",
    "minds",
    "tried",
}
"""Members whose own members are an entity's fields, or ids."""


def table(first: str) -> list[list[str]]:
    """The rows of the table whose header begins with this cell, without the header."""
    lines = TEXT[TEXT.index(f"| {first} |") :].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def words(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def named(word: str) -> bool:
    return f"`{word}`" in TEXT or f'"{word}"' in TEXT


def paths(value: Any, at: str = "") -> Iterator[str]:
    """The members of a message, as `operation/id`; terminals by a star instead of their ids."""
    if isinstance(value, list):
        for item in value:
            yield from paths(item, f"{at}[]")
    elif isinstance(value, dict):
        for name, member in value.items():
            path = f"{at}/{'*' if at.endswith('/terminals') else name}"
            yield path
            if name not in OPAQUE:
                yield from paths(member, path)


# ------------------------------------------------------------------ what the node really says


def evening(directory: Path) -> list[dict[str, Any]]:
    """Every message the node sends to terminals, from the real core, most of them in more than one form."""
    world = World(directory, node_id="loja-1")
    rui = Client(world, "caixa-1").connect()
    lia = Client(world, "garcom-7", "waiter").connect()
    olga = Client(world, "gerencia", "monitor").connect()
    tom = Client(world, "cozinha", "kds", by_position=True).connect()
    everybody = [rui, lia, olga, tom]
    rui.do("orders", "mesa-1", "CREATE", {"status": "pending", "items": []})
    rui.send({"type": "ping", "performance": {"response_time": 3, "memory_usage": 61.5, "cache_hit_rate": 0.9}})
    settle_all(world, everybody)
    for client in (rui, lia):
        client.send({"type": "acquire_lock", "entity_type": "orders", "entity_id": "mesa-1", "lock_id": client.name})
        world.settle()
    lia.do("orders", "mesa-1", "UPDATE", {"status": "served"})
    rui.send({"type": "release_lock", "lock_id": "caixa-1"})
    rui.send({"type": "release_lock", "lock_id": "caixa-1"})
    settle_all(world, everybody)
    repeated = lia.write("orders", "mesa-1", "UPDATE", {"status": "ready"})
    again = lia.unanswered[repeated]
    rui.write("orders", "mesa-1", "UPDATE", {"status": "paid"})
    settle_all(world, everybody)
    lia.send({"type": "data_sync", "operation": again})
    rui.write("orders", "mesa-1", "UPDATE", {"status": "served"})
    lia.write("orders", "mesa-1", "UPDATE", {"status": "sent"}, timestamp="2026-01-15T10:00:00.000Z")
    rui.do("customers", "ana", "CREATE", {"phone": "1"}, timestamp="2031-01-01T00:00:00Z")
    settle_all(world, everybody)
    lia.write("customers", "ana", "UPDATE", {"phone": "2"})
    rui.write("customers", "ana", "UPDATE", {"phone": "3"})
    settle_all(world, everybody)
    (conflict,) = [m["conflict"] for m in rui.of("sync_conflict") if m["conflict"]["state"] == "open"]
    rui.send(
        {"type": "conflict_resolution", "conflict_id": conflict["id"], "resolution": "accept_remote", "reason": "sim"}
    )
    rui.send({"type": "conflict_resolution", "conflict_id": "conflict-none", "resolution": "accept_remote"})
    items = [{"entity_id": name, "data": {"stock": 2}} for name in ("agua", "suco")]
    rui.do("products", None, "BULK_UPDATE", {"updates": items})
    rui.do("products", "agua", "DELETE", {})
    rui.do("nothing", "x", "UPDATE", {"a": 1})
    tom.disconnect()
    lia.disconnect()
    lia.connect(full=True)
    monitors.tell(world.core, [monitors.terminal_status(world.core), *monitors.performance(world.core, 60.0)])
    settle_all(world, [rui, lia, olga])
    said = [message for client in everybody for message in client.inbox]
    said.append({"type": "stats", **monitors.stats(world.core)})
    world.close()
    return said


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return evening(tmp_path_factory.mktemp("evening") / "node")


def shape(said: list[dict[str, Any]], kind: str) -> tuple[set[str], set[str]]:
    """The members that every message of a type has, and those that any has."""
    found = [set(paths(message)) for message in said if message["type"] == kind]
    assert found, f"nobody said {kind}"
    return set.intersection(*found), set.union(*found)


# ------------------------------------------------------------------ the examples


def test_every_json_block_says_who_sends_it() -> None:
    assert TEXT.count("```json") == len(EXAMPLES)
    assert {who for who, _ in EXAMPLES} == {"client", "server", "stats"}


@pytest.mark.parametrize("example", FROM_CLIENTS, ids=lambda e: e["type"])
def test_every_example_of_a_terminal_is_read(example: dict[str, Any]) -> None:
    message = decode(json.dumps(example), LIMITS)
    assert message is not None


def test_every_message_and_every_kind_of_operation_of_a_terminal_has_an_example() -> None:
    assert {example["type"] for example in FROM_CLIENTS} == set(TYPES)
    kinds = {example["operation"]["operation"] for example in FROM_CLIENTS if example["type"] == "data_sync"}
    assert kinds == set(messages.KINDS)


@pytest.mark.parametrize("example", FROM_THE_NODE, ids=lambda e: e["type"])
def test_every_example_of_the_node_has_the_fields_that_the_node_writes(
    example: dict[str, Any], spoken: list[dict[str, Any]]
) -> None:
    # A confirmation's, an error's and a row's further members stand in their tables.
    always, ever = shape(spoken, example["type"])
    shown = set(paths(example))
    assert always <= shown, f"not in the example: {sorted(always - shown)}"
    assert shown <= ever, f"never sent: {sorted(shown - ever)}"


def test_the_example_of_stats_has_the_fields_of_stats(spoken: list[dict[str, Any]]) -> None:
    (example,) = [message for who, message in EXAMPLES if who == "stats"]
    always, _ = shape(spoken, "stats")
    assert set(paths(example)) == always - {"/type"}


def test_every_message_of_the_node_has_an_example_and_a_place_in_the_table() -> None:
    functions = inspect.getmembers(outgoing, inspect.isfunction)
    written = {name for name, f in functions if f.__module__ == outgoing.__name__ and name != "compact_json"}
    kinds = {"conflict_resolution" if name == "conflict_closed" else name for name in written}
    assert {example["type"] for example in FROM_THE_NODE} == kinds
    listed = {word for row in table("message") for word in words(row[0])}
    assert listed == kinds | set(TYPES)


def test_every_field_of_every_message_stands_in_the_document(spoken: list[dict[str, Any]]) -> None:
    said = {path.rpartition("/")[2] for message in spoken for path in paths(message)}
    missing = {name for name in said if not named(name)} - {"*"}
    classes = [cls for _, cls in inspect.getmembers(messages, attrs.has)]
    assert {cls.__name__ for cls in classes} >= {"Ping", "Operation", "BulkItem", "AcquireLock"}
    fields = {CALLED.get(f.name, f.name) for cls in classes for f in attrs.fields(cls)} - NOT_ON_THE_WIRE
    missing |= {name for name in fields if not named(name)}
    assert not missing


# ------------------------------------------------------------------ the tables


def test_the_table_of_operations_has_the_fields_of_an_operation() -> None:
    listed = [words(row[0])[0] for row in table("field")]  # the first table of fields
    fields = [CALLED.get(f.name, f.name) for f in attrs.fields(messages.Operation)]
    assert set(listed) == set(fields) - NOT_ON_THE_WIRE - {"updates"}


def test_every_code_stands_with_its_name_cause_and_remedy_and_whether_to_send_again() -> None:
    rows = {int(row[0].split()[0]): row[1] for row in table("code")}
    assert [[cell.removesuffix(" `+`") for cell in row] for row in table("code")] == [
        [str(code.code), code.name, code.cause, code.remedy, f"`{code.again}`"] for code in close_codes.CODES
    ]
    carried = {cls.code for cls in errors.WireError.__subclasses__()} - {errors.StaleAttempt.code}
    assert set(rows) == carried
    closing = TEXT[TEXT.index("## Close codes") : TEXT.index("## Limits")]
    standard = {value for name, value in vars(close_codes).items() if name.isupper() and isinstance(value, int)}
    between_nodes = {close_codes.SERVICE_RESTART}
    assert {code for code in standard if f"| {code} |" not in closing} == between_nodes


def test_the_table_of_additions_is_the_one_of_the_descriptions() -> None:
    listed = {words(row[0])[0]: set(words(row[1])) for row in table("in a message of the node")}
    assert listed == {kind: set(fields) for kind, fields in ADDED.items()}


def test_every_limit_has_its_number() -> None:
    config, named_settings = Config(), set()
    fixed = {}
    for row in table("limit"):
        number = int(row[1].replace(",", ""))
        if row[2] == "fixed":
            fixed[row[0]] = number
            continue
        section, name = re.fullmatch(r"`\[(\w+)\] (\w+)`", row[2]).groups()  # type: ignore[union-attr]
        assert number == getattr(getattr(config, section), name), row[0]
        named_settings.add((section, name))
    assert fixed == FIXED
    limits = {f.name for f in attrs.fields(type(config.limits))} - INTERNAL
    assert {name for section, name in named_settings if section == "limits"} == limits


def test_the_numbers_in_the_sentences_are_those_of_the_code() -> None:
    said = " ".join(TEXT.split())
    times, limits = Config().time, Config().limits
    for sentence in (
        f"Messages of {frames.DEFLATE_FROM:,} bytes and more are compressed",
        f"If it answers within {times.probe_ms} ms",
        f"The node sends those every {times.status_interval_s:g} s",
        f"nothing was heard for {times.idle_timeout_s:g} s",
        f"is off by {TOLERANCE_MS // 1000} s or more is corrected",
        f"up to {limits.bulk_items:,} entities",
        f"by at most {limits.version_jump:,}",
        f"At most {limits.window_rows:,} rows are under way",
        f"more than {keyed_list.ELEMENTS:,} elements",
        f"missing: {limits.lease_ms_default:,}; at most {limits.lease_ms_max:,}",
        f"over {limits.rate_per_second:,}/s ({limits.rate_burst:,} in a burst)",
        f"after {session.RATE_STRIKES} refusals",
        f"after {session.FORMAT_STRIKES} unreadable messages",
        f"or {limits.terminals:,} are connected already",
        f"within {requests.WAIT_MS} ms where another node has to be asked",
        f"every {times.status_interval_s:g} s, and within a second",
        f"every {times.metrics_interval_s:g} s, one for each terminal",
        f"(the {monitors.OFFLINE_SHOWN} seen last",
        f"(at most {routes.PAGE:,})",
        f"port is {Config().node.port}",
    ):
        assert sentence in said, sentence
    assert (limits.outbox_bytes, limits.message_bytes) == (16 * 2**20, 2**20)  # "16 MiB", "1 MiB"
    assert (decimals.LARGEST, decimals.DECIMALS) == (10**15, 9)  # "below 10^15 with at most nine decimals"


def test_ids_are_of_the_alphabet_that_is_named() -> None:
    (alphabet,) = re.findall(r"characters of `(A-Z a-z 0-9 [^`]*)`", TEXT)
    given = "".join(alphabet.split()[3:])
    every = {chr(code) for code in range(33, 127)}
    assert {c for c in every if not c.isalnum() and codec.ID.match(c)} == set(given)
    assert {c for c in every if codec.ID.match(c) and not codec.TERMINAL_ID.match(f"{c}x")} == {"/"}
    assert {c for c in (".", "..", "...") if not codec.TERMINAL_ID.match(c)} == {".", ".."}


def test_entity_types_and_terminal_types_are_as_the_code_has_them() -> None:
    rows = [[cell.strip("`") for cell in row] for row in table("`entity_type` | `priority`")]
    assert rows == [
        [str(said).replace("True", "true").replace("False", "false") for said in policy.documented().values()]
        for policy in DOCUMENTED
    ]
    rights = {words(row[0])[0]: words(row[1]) for row in table("type")}
    assert rights == {name: [] if of.write == ["*"] else of.write for name, of in DEFAULT_TERMINALS.items()}
    assert all(EVERY in of.rights().read for of in DEFAULT_TERMINALS.values())
    assert "| `pos` | everything |" in TEXT
    assert [words(row[0])[0] for row in table("strategy")] == list(STRATEGIES)
    assert [words(row[0])[0] for row in table("kind")] == [*FIELD_KINDS, "groups"]
    assert FieldConfig("progress").lower == ["pos"]


def test_every_word_a_field_may_hold_is_explained(spoken: list[dict[str, Any]]) -> None:
    statuses = {words(row[0])[0] for row in table("`status`")}
    assert statuses == {m["status"] for m in spoken if m["type"] == "sync_confirmation"}
    assert [words(row[0])[0] for row in table("`resolution`")] == list(messages.RESOLUTIONS)
    held = {"none", "unlocked", "held", "expired", "refused", *lease.ALONE.values(), *lease.BELOW.values()}
    (row,) = re.findall(r"^\| `lock_status` `\+` \|(.*)", TEXT, re.MULTILINE)
    assert set(words(row)) == held
    for word in (*PRIORITIES, *messages.KINDS, SUBPROTOCOL, "open", "settled", "closed", "superseded", "store"):
        assert named(word), word


def test_the_http_paths_are_those_of_the_api() -> None:
    listed = {path for row in table("path") for path in re.findall(r"/[\w/]+", " ".join(words(row[0])))}
    for path in listed - {"/metrics", "/healthz", "/readyz"}:
        assert path.rstrip("/") in (routes.__doc__ or ""), path


def test_every_link_leads_to_a_heading() -> None:
    headings = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


# ------------------------------------------------------------------ the session of two terminals


def session_events() -> list[str]:
    """One line an event; broken lines joined."""
    part = TEXT[TEXT.index("## A session of two terminals") :]
    lines = "\n".join(re.findall(r"```text\n(.*?)\n```", part, re.DOTALL))
    return re.sub(r"\n {4}", " ", lines).splitlines()


def test_the_session_of_two_terminals_is_what_the_node_says(tmp_path: Path) -> None:
    world = World(tmp_path / "node", node_id="loja-1")
    connected: dict[str, tuple[Session, Connection]] = {}

    def at(time: str) -> None:
        world.advance(max(parse_iso(time) // 1000 - world.wall_ms, 0))

    def hears(name: str) -> list[dict[str, Any]]:
        waiting = connected[name][1].frames
        found = [json.loads(frame) for frame in waiting if not isinstance(frame, tuple)]
        waiting.clear()
        return found

    heard: dict[str, list[dict[str, Any]]] = {}
    for event in session_events():
        name, what, rest = event.split(" ", 2)
        if what == "connects":
            time, kind, user = re.fullmatch(rf"at (\S+): /ws/{name}\?type=(\w+)&user_id=(\w+)", rest).groups()  # type: ignore[union-attr]
            at(time)
            connection = Connection(Client(world, name))
            connected[name] = (
                world.core.sessions.connect(Identity(name, kind, user, "session"), connection),
                connection,
            )
        elif what == "loses":
            assert not hears(name)
            world.core.sessions.disconnect(connected[name][0])
        elif what == ">":
            message = json.loads(rest)
            at(message.get("operation", {}).get("timestamp", "1970-01-01"))
            connected[name][0].receive(rest)
        else:
            expected, got = json.loads(rest), (heard[name] or [{}]).pop(0)
            if got.get("session_id"):
                got["session_id"] = expected.get("session_id")
            assert got == expected
        world.settle()
        for other in connected:
            heard.setdefault(other, []).extend(hears(other))
    assert not any(heard.values()), f"the document says less than the node: {heard}"
    world.close()
