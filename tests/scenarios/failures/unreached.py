"""The functions that may be poisoned, and those that no evening reaches, by why it cannot."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.scenarios.failures.poison import FOLDERS, NOT_REACHED, ROOT, Function

RUNTIME = "the runtime calls it, in the task of one connection or of one request (tests/runtime, tests/e2e)"
PAST = "it reads the past for one request, and changes nothing"
IMPORT = "it runs while a module is imported or a configuration is read, or once for all that is alike"
ENGINE = "the other engine's, or only tests and restores call it"
GUARD = "it is part of the guard itself"
RARE = "no evening comes there yet"

UNREACHED: dict[str, str] = {
    "crdt/document.py:Document.apply": ENGINE,
    "crdt/document.py:Document.under": ENGINE,
    "crdt/engine.py:PycrdtDocument": ENGINE,
    "crdt/engine.py:YPyDocument.state_vector": ENGINE,
    "crdt/hlc.py:HybridClock._take_back": RARE,
    "crdt/hlc.py:_second": IMPORT,
    "crdt/hlc.py:length": PAST,
    "crdt/hlc.py:time_asked": PAST,
    "crdt/update_format.py:_Reader.fail": RARE,
    "crdt/update_format.py:_put": ENGINE,
    "crdt/update_format.py:decode_state_vector": ENGINE,
    "crdt/update_format.py:encode_state_vector": ENGINE,
    "node/core/admission.py:": RUNTIME,
    "node/core/clock.py:apart": RARE,
    "node/core/core.py:Core.levels": RUNTIME,
    "node/core/core.py:Core.lost": RARE,
    "node/core/core.py:Core.still_failing": RUNTIME,
    "node/core/core.py:Core.trouble": RUNTIME,
    "node/core/delivery/delivery.py:Delivery.read.<locals>.<lambda>": GUARD,
    "node/core/delivery/terminal_feed.py:TerminalFeed._damaged": RARE,
    "node/core/delivery/terminal_feed.py:TerminalFeed._too_large": RARE,
    "node/core/delivery/window.py:Window": RUNTIME,
    "node/core/digests.py:": ENGINE,
    "node/core/entities/entity.py:Entity.rows_shown_to": RARE,
    "node/core/entities/last_known.py:": RARE,
    "node/core/entities/residents.py:Residents._is_damaged": RARE,
    "node/core/entities/writes.py:FieldWriter.stranger": RARE,
    "node/core/faults.py:": GUARD,
    "node/core/links/dialling.py:": RUNTIME,
    "node/core/links/feed.py:LinkFeed._hand_over.<locals>.<lambda>": RARE,
    "node/core/links/feed.py:LinkFeed._send_lacked": RARE,
    "node/core/links/feed.py:LinkFeed._send_wanted": RARE,
    "node/core/links/feed.py:LinkFeed.compacted": RARE,
    "node/core/links/feed.py:LinkFeed.lacks": RARE,
    "node/core/links/feed.py:LinkFeed.owed_to": RARE,
    "node/core/links/feed.py:LinkFeed.stuck": RARE,
    "node/core/links/feed.py:_leave_out": RARE,
    "node/core/links/first_sync.py:": RARE,
    "node/core/links/link.py:Link.__attrs_post_init__": RARE,
    "node/core/links/link.py:Link._frame.<locals>.<lambda>": RARE,
    "node/core/links/link.py:Link.backlog": RUNTIME,
    "node/core/links/links.py:Links._rank": RARE,
    "node/core/links/links.py:Links.set_back": RARE,
    "node/core/locks/requests.py:LockRequests._asked_below.<locals>.held": RARE,
    "node/core/locks/requests.py:LockRequests._held_above": RARE,
    "node/core/locks/requests.py:LockRequests.acquire.<locals>.granted.<locals>.<lambda>": RARE,
    "node/core/locks/requests.py:LockRequests.release.<locals>.<lambda>": RARE,
    "node/core/locks/table.py:LockTable._sweep": RARE,
    "node/core/log/view.py:LogView.leave_out": RARE,
    "node/core/monitors.py:stats": RUNTIME,
    "node/core/operations/accept.py:_show_current": RARE,
    "node/core/operations/author.py:Nobody": RARE,
    "node/core/operations/content.py:Repair": RARE,
    "node/core/operations/content.py:Resolution._afresh": RARE,
    "node/core/operations/knowledge.py:Knowledge": RARE,
    "node/core/operations/notices.py:tell_kept": RARE,
    "node/core/operations/origins.py:Origins.speaks_for": RARE,
    "node/core/operations/parked.py:_contradicted": RARE,
    "node/core/operations/quarantine.py:Quarantine.found_bad": RARE,
    "node/core/operations/quarantine.py:Quarantine.makes_place": RARE,
    "node/core/operations/replica.py:Replica.<lambda>": IMPORT,
    "node/core/operations/states.py:cause_of": RARE,
    "node/core/ports.py:Disk": RUNTIME,
    "node/core/sessions/devices.py:": RUNTIME,
    "node/core/sessions/session.py:Session.backlog": RUNTIME,
    "node/core/sessions/session.py:Session.follow": RUNTIME,
    "node/core/statistics.py:": RUNTIME,
    "node/core/terminal_clocks.py:TerminalClock._contradict": RARE,
    "node/core/terminal_clocks.py:TerminalClocks.due": RARE,
    "node/core/terminal_clocks.py:TerminalClocks.wrong": PAST,
    "node/core/terminal_clocks.py:told": PAST,
    "node/wire/codec.py:_blames_message": RARE,
    "node/wire/codec.py:_json_type": RARE,
    "node/wire/codec.py:_register": IMPORT,
    "node/wire/codec.py:_say": RARE,
    "node/wire/codec.py:_strict": IMPORT,
    "node/wire/fitting.py:_subject": RARE,
    "node/wire/frames.py:": RUNTIME,
    "node/wire/heads.py:Head.held": RUNTIME,
    "node/wire/links/locks.py:failed": RARE,
    "node/wire/links/states.py:Parts.size": RUNTIME,
    "node/wire/numbers.py:": RARE,
    "node/wire/tolerant.py:_constant": RARE,
    "strategies/explain.py:": PAST,
    "strategies/kinds/counter.py:Counter._start_again": RARE,
    "strategies/kinds/counter.py:Counter.restored": PAST,
    "strategies/kinds/counter.py:Counter.said": PAST,
    "strategies/kinds/group.py:Group.decided": RARE,
    "strategies/kinds/group.py:Group.restored": PAST,
    "strategies/kinds/group.py:Group.said": PAST,
    "strategies/kinds/group.py:Group.shows_from": PAST,
    "strategies/kinds/keyed_list.py:KeyedList.decided": RARE,
    "strategies/kinds/keyed_list.py:KeyedList.restored": PAST,
    "strategies/kinds/keyed_list.py:KeyedList.said": PAST,
    "strategies/kinds/kinds.py:FieldKinds.plain": IMPORT,
    "strategies/kinds/places.py:_midpoint": RARE,
    "strategies/kinds/register.py:Register": PAST,
    "strategies/manual_resolution.py:ManualResolution.superseded": RARE,
    "strategies/merge_non_conflicting.py:MergeNonConflicting.superseded": RARE,
    "strategies/paths.py:may_hold": RARE,
    "strategies/policy_text.py:": IMPORT,
    "strategies/strategy.py:distinct.<locals>.<lambda>": RARE,
}
"""By place and the beginning of the name. One that is reached has to go from here."""


def functions() -> set[Function]:
    """Every function of the folders that has a body, as its code says where it is."""
    found: set[Function] = set()
    for path in (path for folder in FOLDERS for path in Path(folder).rglob("*.py")):
        place = str(path)[len(str(ROOT)) + 1 :]
        if not any(part in place for part in NOT_REACHED):
            _collect(ast.parse(path.read_text()), place, (), found)
    return found


def _collect(node: ast.AST, place: str, within: tuple[str, ...], found: set[Function]) -> None:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.ClassDef(name=name):
                _collect(child, place, (*within, name), found)
            case ast.FunctionDef(name=name, body=body):
                line = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
                if not all(_says_nothing(statement) for statement in body):
                    found.add((place, ".".join((*within, name)), line))
                _collect(child, place, (*within, name, "<locals>"), found)
            case ast.Lambda():
                found.add((place, ".".join((*within, "<lambda>")), child.lineno))
                _collect(child, place, (*within, "<lambda>", "<locals>"), found)
            case _:
                _collect(child, place, within, found)


def _says_nothing(statement: ast.stmt) -> bool:
    """Whether it is a docstring, or the `...` of what others implement."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
