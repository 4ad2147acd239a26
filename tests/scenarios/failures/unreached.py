"""The functions that may be poisoned, and those that no evening reaches, by why it cannot."""

from __future__ import annotations

import ast
from pathlib import Path

from crdt.engine import DEFAULT
from tests.scenarios.failures.poison import FOLDERS, NOT_REACHED, ROOT, Function

RUNTIME = "the runtime calls it, in the task of one connection or of one request (tests/runtime, tests/e2e)"
PAST = "it reads the past for one request, and changes nothing"
IMPORT = "it runs while a module is imported or a configuration is read, or once for all that is alike"
ENGINE = "the other engine's, or only tests and restores call it"
GUARD = "it is part of the guard itself"

OURS, OTHERS = ("YPyDocument", "PycrdtDocument") if DEFAULT == "y_py" else ("PycrdtDocument", "YPyDocument")

UNREACHED: dict[str, str] = {
    "crdt/classes.py:": IMPORT,
    "crdt/document.py:Document.apply": ENGINE,
    "crdt/document.py:Document.under": ENGINE,
    f"crdt/engine.py:{OTHERS}": ENGINE,
    f"crdt/engine.py:{OURS}.state_vector": ENGINE,
    "crdt/engine.py:running": RUNTIME,
    "crdt/hlc.py:_second": IMPORT,
    "crdt/hlc.py:length": PAST,
    "crdt/hlc.py:time_asked": PAST,
    "crdt/update_format.py:_put": ENGINE,
    "crdt/update_format.py:decode_state_vector": ENGINE,
    "crdt/update_format.py:encode_state_vector": ENGINE,
    "node/core/admission.py:": RUNTIME,
    "node/core/core.py:Core.levels": RUNTIME,
    "node/core/core.py:Core.lost": RUNTIME,
    "node/core/core.py:Core.note_act": RUNTIME,
    "node/core/core.py:Core.still_failing": RUNTIME,
    "node/core/core.py:Core.trouble": RUNTIME,
    "node/core/delivery/delivery.py:Delivery.read.<locals>.<lambda>": GUARD,
    "node/core/delivery/window.py:Window": RUNTIME,
    "node/core/digests.py:": ENGINE,
    "node/core/faults.py:": GUARD,
    "node/core/latest.py:is_due": RUNTIME,
    "node/core/links/dialling.py:": RUNTIME,
    "node/core/links/first_sync.py:FirstSync.report": RUNTIME,
    "node/core/links/first_sync.py:FirstSync.took_s": RUNTIME,
    "node/core/links/link.py:Link.backlog": RUNTIME,
    "node/core/links/link.py:Link.ping_ms": RUNTIME,
    "node/core/links/link.py:Link.silence_ms": RUNTIME,
    "node/core/links/links.py:Links.levels": RUNTIME,
    "node/core/links/outages.py:": RUNTIME,
    "node/core/links/pace.py:Pace.ping_ms": RUNTIME,
    "node/core/links/pace.py:Pace.silence_ms": RUNTIME,
    "node/core/monitors.py:stats": RUNTIME,
    "node/core/log/rows.py:act_row": RUNTIME,
    "node/core/operations/in_turns.py:InTurns.finish": RUNTIME,
    "node/core/operations/in_turns.py:InTurns.<lambda>": IMPORT,
    "node/core/operations/knowledge.py:Knowledge.has_read": RUNTIME,
    "node/core/operations/origins.py:Origins.speaks_for": RUNTIME,
    "node/core/operations/quarantine.py:Quarantine.by_peer": RUNTIME,
    "node/core/operations/replica.py:Replica.<lambda>": IMPORT,
    "node/core/figures.py:Figures.report": PAST,
    "node/core/figures.py:Point.report": PAST,
    "node/core/log/messages.py:why_refused": PAST,
    "node/core/monitors.py:_known": PAST,
    "node/core/monitors.py:_waiting": PAST,
    "node/core/monitors.py:every_terminal": PAST,
    "node/core/pairing.py:": RUNTIME,
    "node/core/ports.py:Disk": RUNTIME,
    "node/core/sessions/devices.py:": RUNTIME,
    "node/core/sessions/session.py:Session.backlog": RUNTIME,
    "node/core/sessions/session.py:Session.follow": RUNTIME,
    "node/core/statistics.py:": RUNTIME,
    "node/core/terminal_clocks.py:TerminalClocks.wrong": PAST,
    "node/core/terminal_clocks.py:told": PAST,
    "node/wire/codec.py:_register": IMPORT,
    "node/wire/codec.py:_strict": IMPORT,
    "node/wire/description/": IMPORT,
    "node/wire/frames.py:": RUNTIME,
    "node/wire/heads.py:Head.held": RUNTIME,
    "node/wire/links/states.py:Parts.size": RUNTIME,
    "node/wire/pairing.py:": RUNTIME,
    "strategies/explain.py:": PAST,
    "strategies/kinds/counter.py:Counter.restored": PAST,
    "strategies/kinds/counter.py:Counter.said": PAST,
    "strategies/kinds/group.py:Group.restored": PAST,
    "strategies/kinds/group.py:Group.said": PAST,
    "strategies/kinds/group.py:Group.shows_from": PAST,
    "strategies/kinds/keyed_list.py:KeyedList.restored": PAST,
    "strategies/kinds/keyed_list.py:KeyedList.said": PAST,
    "strategies/kinds/kinds.py:FieldKinds.plain": IMPORT,
    "strategies/kinds/register.py:Register": PAST,
    "strategies/policy_text.py:": IMPORT,
}
"""By place and the beginning of the name, what no evening can reach."""

RARE = 110
"""Most functions that evenings could reach, and do not."""


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
