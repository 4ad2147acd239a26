"""node/wire/links/protocol.md is held to the code: two nodes recorded, examples read, numbers compared."""

from __future__ import annotations

import inspect
import json
import re
from base64 import b64decode
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from node import errors
from node.config.links import LinksSection
from node.core.links import anti_entropy, budget, feed, first_sync, link, links, travellers
from node.core.links.dialling import REFUSED
from node.core.locks import requests
from node.runtime.keys import verify
from node.wire import close_codes
from node.wire.links import (
    conflicts,
    contents,
    digests,
    handshake,
    heads,
    history,
    locks,
    operations,
    positions,
    states,
)
from node.wire.links import terminals as terminals_wire
from storage import proofs
from storage.packed import unpack_operations
from tests.wire.links.recording import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "node" / "wire" / "links" / "protocol.md").read_text(encoding="utf-8")
SAID = " ".join(TEXT.split())

Message = dict[str, Any]

READERS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "connection_established": lambda m: (
        handshake.read_established(m),
        handshake.read_identification(m["node"]),
        positions.read_claim(m["node"]["holds"]),
    ),
    "sync_confirmation": lambda m: (positions.read_claim(m), handshake.read_identification(m)),
    "data_sync": operations.remote_operation,
    "data_sync with link.state": states.remote_state,
    "log_position": lambda m: (
        positions.read_positions(m),
        positions.read_last_row(m),
        positions.read_head(m),
        states.read_progress(m),
    ),
    "speaks_for": lambda m: (handshake.read_speaks_for(m), handshake.read_keys(m)),
    "ping": handshake.read_kept_out,
    "pong": handshake.read_clock,
    "history_want": history.read_want,
    "history_position": history.read_position,
    "history_proofs": history.read_proofs,
    "digest": digests.read_roots,
    "digest_buckets": digests.read_buckets,
    "digest_keys": digests.read_keys,
    "digest_want": digests.read_want,
    "contents": contents.read_contents,
    "contents_compared": contents.read_compared,
    "acquire_lock": locks.read_request,
    "lock_acquired": locks.read_lease,
    "lock_failed": locks.read_lease,
    "release_lock": locks.read_release,
    "lock_released": locks.read_lease,
    "locks": locks.read_leases,
    "terminal_status_update": terminals_wire.read_terminals,
    "terminals_knew": lambda m: (terminals_wire.read_visits(m), terminals_wire.read_answers(m)),
    "terminal_came": terminals_wire.read_question,
    "chain_heads": lambda m: heads.read_heads(m, 0),
}

INHERITED = {"lock_failed": "lock_acquired", "lock_released": "lock_acquired"}
"""Kinds whose fields are, in the document's words, those of another kind."""

NOT_ON_LINKS = {"sync_error"}
"""The endpoint says it before there is a link (node/runtime/endpoint.py)."""

KEYED = {
    "nodes",
    "keys",
    "buckets",
    "hashes",
    "parts",
    "types",
    "after",
    "operation",
    "holds",
    "closed",
    "leases",
    "visits",
}
"""Members whose own members are ids, an author's, or another table's."""

FIXED = {
    "entities of a `contents`": contents.MOST,
    "bytes of a frame": feed.LINK_MESSAGE_BYTES,
    "bytes at which another frame begins": feed.FRAME_BYTES,
    "bytes of a stranger's frame": link.FIRST_FRAME_BYTES,
    "values of a large frame": link.FRAME_VALUES,
    "bytes of a part of a document": states.PART_BYTES,
    "bytes of a document that travels whole": states.LARGEST_STATE,
    "bytes of a closed conflict's body or outcome": conflicts.LONGEST_TEXT,
    "rows of a page": feed.LINK_PAGE,
    "rows of a page of history": feed.HISTORY_PAGE,
    "pages of history under way": feed.PAGES,
    "signatures of a `history_proofs`": history.MOST_SIGNATURES,
    "keys of a `digest_keys`": anti_entropy.KEYS_PER_MESSAGE,
    "keys of a bucket that is told as it is": anti_entropy.PARTED,
    "entity types of a `digest`": digests.MOST_TYPES,
    "between comparisons, ms": anti_entropy.COMPARE_INTERVAL_MS,
    "what was accepted later may be left out of a comparison, ms": anti_entropy.SETTLED_MS,
    "damaged operations asked for at a time": link.BAD_ASKED,
    "rows under way that still count as caught up": link.NEARLY,
    "terminals of a list": terminals_wire.MOST_TERMINALS,
    "wait for answers about a terminal, ms": travellers.ANSWER_MS,
    "wait for a lock, ms": requests.WAIT_MS,
    "kept for the way back of a lock, ms": requests.HOP_MS,
    "longest lease, ms": locks.LONGEST_LEASE_MS,
    "heads of a message": heads.MOST_HEADS,
    "steps of a proof": proofs.MOST_STEPS,
    "time to show who one is, ms": links.PROOF_MS,
    "connections under one name without proof": links.NEWCOMERS_OF_NODE,
    "patience with a node that fills another, ms": first_sync.PATIENCE_MS,
    "between new epochs for one node's claims, ms": budget.EPOCH_INTERVAL_MS,
}
NOT_THE_WIRES = {"upstream", "peers", "office", "token", "at", "may_speak_for", "connect_timeout_ms"}
"""Settings of [links] that say whom to dial, and not what is said."""


def sections() -> dict[str, str]:
    """By kind, the text under its heading, whose code spans name it."""
    found = re.findall(r"^### (`[^\n]*)\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    return {heading.replace("`", ""): body for heading, body in found}


SECTIONS = sections()


def table(text: str) -> list[list[str]]:
    """The rows of the first table of a text, without its header."""
    lines = text[text.index("\n| ") + 1 :].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def after(heading: str) -> str:
    return TEXT[TEXT.index(f"\n{heading}\n") :]


def fields(kind: str) -> set[str]:
    """The fields that a kind's table names."""
    body = SECTIONS[INHERITED.get(kind, kind)]
    if "\n| " not in body:
        return set()
    return {name for row in table(body) for name in re.findall(r"`([^`]+)`", row[0])}


def examples() -> list[tuple[str, Message]]:
    """Kind and message, as the sections show them."""
    found = []
    for kind, body in SECTIONS.items():
        for block in re.findall(r"```json\n(.*?)\n```", body, re.DOTALL):
            message = json.loads(block)
            if message["type"] == kind.split()[0]:
                found.append((kind, message))
    return found


EXAMPLES = dict(examples())


def kind_of(message: Message) -> str:
    return "data_sync with link.state" if states.is_state(message) else message["type"]


def paths(value: Any, at: str = "") -> Iterator[str]:
    """The members of a message, as its table names them."""
    for name, member in value.items():
        if name == "type" and not at:
            continue
        path = f"{at}.{name}" if at else name
        yield path
        if name in KEYED and not (name == "operation" and "state" in value.get("link", {})):
            continue
        if isinstance(member, dict):
            yield from paths(member, path)
        elif isinstance(member, list) and member and isinstance(member[0], dict):
            yield from paths(member[0], f"{path}[]")


def of_nodes(message: Message) -> set[str]:
    """The members that are the nodes' own: a state's operation has those of any CREATE beside them."""
    ordinary = {"operation.id", "operation.entity_type", "operation.entity_id", "operation.operation"}
    return {path for path in paths(message) if path not in ordinary | {"operation.data"}}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Message]]:
    by_kind: dict[str, list[Message]] = {}
    large = json.loads(
        digests.parts("orders", {3: range(digests.PARTS)}, 7, None)
    )  # no bucket of the record has many keys
    said = json.loads(handshake.ping(handshake.KeptOut(1, "damaged")))  # nothing of the record is kept out
    for message in [*record(tmp_path_factory.mktemp("links")), large, said]:
        by_kind.setdefault(kind_of(message), []).append(message)
    return by_kind


# ------------------------------------------------------------------ messages and fields


def test_the_messages_of_the_document_are_those_that_links_take_and_those_that_nodes_say(
    spoken: dict[str, list[Message]],
) -> None:
    taken = {*re.findall(r'kind == "(\w+)"', inspect.getsource(link.Link)), "data_sync"}
    taken |= {*contents.TYPES, *digests.TYPES, *history.TYPES, *locks.TYPES}
    assert {kind.split()[0] for kind in SECTIONS} == taken
    assert set(spoken) == set(SECTIONS) - NOT_ON_LINKS


def test_every_field_that_a_node_sends_is_documented_and_every_documented_one_is_sent(
    spoken: dict[str, list[Message]],
) -> None:
    for kind, messages in spoken.items():
        sent = set().union(*map(of_nodes, messages))
        said = fields(kind)
        if kind == "lock_released":
            said -= {"request"}
        if kind == "locks":
            lease = set().union(*(set(paths(each)) for message in messages for each in message["leases"]))
            assert lease == fields("lock_released") - {"request"}
        assert sent == said, kind


def test_a_claim_has_the_fields_of_its_table(spoken: dict[str, list[Message]]) -> None:
    said = {name for row in table(after("### Claims")) for name in re.findall(r"`([^`]+)`", row[0])}
    for message in spoken["connection_established"]:
        assert set(message["node"]["holds"]) == said
    for message in spoken["sync_confirmation"]:
        assert said <= set(message)


# ------------------------------------------------------------------ the examples


def test_every_message_has_an_example() -> None:
    assert set(EXAMPLES) == set(READERS) == set(SECTIONS) - NOT_ON_LINKS
    assert TEXT.count("```json") == len(EXAMPLES)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_every_example_is_read_by_the_readers_of_the_project(kind: str) -> None:
    assert READERS[kind](EXAMPLES[kind])


@pytest.mark.parametrize("kind", EXAMPLES)
def test_an_example_with_members_that_are_not_known_is_read_all_the_same(kind: str) -> None:
    assert READERS[kind]({**EXAMPLES[kind], "x-new": {"a": [1]}})


def test_both_sides_of_the_example_show_who_they_are() -> None:
    query = dict(re.findall(r"(instance|attempt)=(\w+)", TEXT))
    established, answer = EXAMPLES["connection_established"], EXAMPLES["sync_confirmation"]
    accepting, dialling = established["node"]["id"], established["terminal_id"]
    for signer, other, challenge, said in (
        (accepting, dialling, f"{query['instance']} {query['attempt']}", established["node"]),
        (dialling, accepting, established["session_id"], answer),
    ):
        signed = b"comanda link\n" + json.dumps([signer, other, challenge], separators=(",", ":")).encode()
        assert verify(bytes.fromhex(said["key"]), signed, bytes.fromhex(said["signature"]))


def hashed(person: str, parts: bytes) -> bytes:
    return blake2b(parts, digest_size=20, person=person.encode()).digest()


def test_the_operation_of_the_example_has_key_and_proof_as_the_document_says() -> None:
    """With nothing but the words of the document: no function of the project computes a hash here."""
    message = EXAMPLES["data_sync"]
    said, operation = message["link"], message["operation"]
    _, _, update, _, (writer, first, _) = said["updates"][0]
    named = f"{said['terminal_id']}/{operation['id']}\x1f{writer}:{first}\x1f{update}"
    assert said["key"] == int.from_bytes(blake2b(named.encode(), digest_size=8).digest(), "big", signed=True)
    texts = [said["origin"], said["terminal_id"], said["user_id"] or "", said["lock_status"]]
    written, accepted = said["hlc"]
    rest = [f"{written} {accepted} {int(said['user_id'] is None)}".encode()]
    rest += [json.dumps(value, separators=(",", ":")).encode() for value in (operation, said["updates"])]
    lengths = b"".join(len(part).to_bytes(4, "big") for part in (*texts, *rest))
    leaf = hashed("comanda leaf", lengths + "".join(texts).encode() + b"".join(rest))
    proof = b64decode(said["proof"])
    assert len(proof) == 64 + 20  # the only operation of its commit: its leaf is the tree
    signed = b"comanda operations\n" + hashed("comanda root", proof[64:] + leaf)
    assert said["origin"] == EXAMPLES["connection_established"]["terminal_id"]
    assert verify(bytes.fromhex(EXAMPLES["sync_confirmation"]["key"]), signed, proof[:64])


def test_the_head_of_the_example_is_signed() -> None:
    (head,) = heads.read_heads(EXAMPLES["chain_heads"], 0)
    assert verify(head.key, proofs.head_statement(head), head.signature)


def test_the_archived_operations_of_the_example_are_packed_as_the_document_says() -> None:
    operation = EXAMPLES["data_sync with link.state"]["operation"]
    records = b64decode(operation["archived"])
    assert unpack_operations(records)
    state = states.remote_state(EXAMPLES["data_sync with link.state"])
    assert [row.closed_by for row in state.closed] == [entry[2] for entry in operation["closed"]]


# ------------------------------------------------------------------ numbers and codes


def test_every_limit_has_its_number() -> None:
    settings, named, fixed = LinksSection(), set(), {}
    for what, number, source in table(after("## Limits")):
        value = float(number.replace(",", ""))
        if source == "fixed":
            fixed[what] = value
        else:
            named.add(source.strip("`"))
            assert value == getattr(settings, source.strip("`")), what
    assert fixed == FIXED
    assert named == {field.name for field in attrs.fields(LinksSection)} - NOT_THE_WIRES


def test_the_numbers_in_the_sentences_are_those_of_the_code() -> None:
    settings = LinksSection()
    for sentence in (
        f"one of {positions.CLASSES} *classes*",
        f"begin another frame at {feed.FRAME_BYTES // 1024} KiB",
        f"MUST NOT have more than {feed.LINK_MESSAGE_BYTES // 2**20} MiB",
        f"more than {2 * feed.FRAME_BYTES // 1024} KiB MUST NOT have more than {link.FRAME_VALUES:,} values",
        f"send a frame of more than {link.FIRST_FRAME_BYTES // 1024} KiB",
        f"It has {links.PROOF_MS // 1000} s for it",
        f"for one node once in {budget.EPOCH_INTERVAL_MS // 1000} s",
        f"of more than {states.PART_BYTES // 1024} KiB MUST come in parts",
        f"of more than {states.LARGEST_STATE // 2**20} MiB is never sent",
        f"has more than {conflicts.LONGEST_TEXT:,} bytes",
        f"no longer than {first_sync.PATIENCE_MS // 1000} s while nothing",
        f"At most {feed.PAGES} pages of {feed.HISTORY_PAGE} rows",
        f"At most {history.MOST_SIGNATURES} signatures",
        f"begins, once in {anti_entropy.COMPARE_INTERVAL_MS // 1000} s",
        f"accepted in the last {anti_entropy.SETTLED_MS // 1000} s",
        f"fewer than about {link.NEARLY:,} rows",
        f"at most {digests.MOST_TYPES:,} types",
        f"entity type -> {digests.BUCKETS} texts",
        f"after about {anti_entropy.KEYS_PER_MESSAGE:,} keys",
        f"up to {link.BAD_ASKED} of them once in {link.ASK_INTERVAL_MS // 1000} s",
        f"A terminal waits {requests.WAIT_MS} ms at most",
        f"keeps {requests.HOP_MS} ms of its own time",
        f"-{locks.LONGEST_WAIT_MS:,} to {locks.LONGEST_WAIT_MS:,}",
        f"0 to {locks.LONGEST_LEASE_MS:,}",
        f"A list has at most {terminals_wire.MOST_TERMINALS:,} terminals",
        f"1 to {terminals_wire.LONGEST_QUESTION} characters",
        f"waits {travellers.ANSWER_MS} ms at most",
        f"at most {heads.MOST_HEADS} |",
        f"At most {proofs.MOST_STEPS} steps",
        f"after {settings.paused_s:g} s, since",
        f"random part of {2 * settings.backoff_ms} ms",
        f"up to {settings.backoff_max_ms} ms",
        f"heard nothing for {settings.silence_s:g} s",
    ):
        assert sentence in SAID, sentence


def test_every_close_code_that_a_link_may_end_with_is_in_the_table() -> None:
    named = {**vars(close_codes), **vars(errors)}
    used = {close_codes.GOING_AWAY}
    for file in (*(ROOT / "node/core/links").glob("*.py"), ROOT / "node/core/admission.py"):
        text = file.read_text(encoding="utf-8")
        for name in re.findall(r"(?:close|close_all|Refuse)\((\w+)(?:\.code)?,", text):
            found = named.get(name)
            if found is not None:
                used.add(found if isinstance(found, int) else found.code)
    used.add(errors.InvalidTerminalType.code)
    rows = {int(row[0]): row[2].strip("`") for row in table(after("### Closing"))}
    assert set(rows) == used
    assert {code for code, again in rows.items() if again == "slowly"} == set(REFUSED)
    assert {code for code, again in rows.items() if again == "no"} == {close_codes.NORMAL}


def test_every_link_leads_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        path, _, anchor = target.partition("#")
        assert not path or (ROOT / "node/wire/links" / path).exists(), target
        assert path or anchor in anchors, target
