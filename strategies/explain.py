"""Why a field shows what it shows: which of its live records count, by which rule, in words.

Read off the view, never decided again here: a contested register's conflict says whose value prevails, and siblings
without a conflict agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from crdt.decimals import decimal_of, shown
from strategies.keyed_list import element_of, keyed
from strategies.kinds import COUNTED, COUNTER, GROUP, KEYED_LIST, PROGRESS, SETTLEMENT, group_path
from strategies.registers import DELETED_AT, WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crdt.document import Document
    from crdt.records import FieldRecord, Path
    from strategies.conflict import Conflict
    from strategies.view import View

ABSENT = object()
"""What a record says of a field that it does not hold."""

_ORDERS = {
    "last_write_wins": "latest",
    "merge_changes": "latest",
    "merge_non_conflicting": "first_written",
    "manual_resolution": "first_written",
}
"""By strategy: what puts one of several different values first."""

_WORDS = {
    "unwritten": ("Ninguém escreveu este campo.", "Nobody has written this field."),
    "only": (
        "Um só valor vale: quem o escreveu tinha visto os anteriores, ou era o primeiro.",
        "One value is live: whoever wrote it had seen those before it, or was the first.",
    ),
    "agreed": ("{n} escritas concorrentes dizem o mesmo.", "{n} concurrent writes say the same."),
    "latest": (
        "De {n} escritas concorrentes aparece a de horário efetivo mais recente.",
        "Of {n} concurrent writes the one with the latest effective time is shown.",
    ),
    "first_written": (
        "De {n} escritas concorrentes fica a primeira, até alguém decidir.",
        "Of {n} concurrent writes the first stays, until somebody decides.",
    ),
    "most_advanced": (
        "De {n} escritas concorrentes aparece a mais avançada: um estado não volta atrás sozinho.",
        "Of {n} concurrent writes the most advanced is shown: a status does not go back by itself.",
    ),
    "counter": (
        "É a abertura mais todos os movimentos, de qualquer lado de uma queda de rede.",
        "It is the opening and all movements since, on whatever side of an outage.",
    ),
    "keyed_list": (
        "Cada item vale por si: o que alguém pôs está aqui, o que alguém tirou não, a menos que outro o tenha mudado "
        "sem saber.",
        "Each item is a value of its own: what anybody added is here, what somebody removed is not, unless another "
        "changed it unseen.",
    ),
    "group": (
        "Vale junto com outros campos, como um só.",
        "It is one value together with other fields.",
    ),
    "decided": ("Alguém decidiu um conflito assim.", "Somebody decided a conflict so."),
    "whole_entity": (
        "A entidade inteira é um só valor: seus campos vêm juntos.",
        "The whole entity is one value: its fields come together.",
    ),
    "deleted": (
        "A entidade foi excluída; este é o valor que tinha.",
        "The entity was deleted; this is the value it had.",
    ),
    "revived": (
        "Uma exclusão não tinha visto o que outros escreveram; a entidade fica.",
        "A deletion had not seen what others wrote; the entity stays.",
    ),
    "counted": ("É a soma das operações.", "It is the sum of the operations."),
}


@frozen
class Reason:
    """Why a value is shown. codes: as in the table of words. pt, en: the same as sentences."""

    codes: tuple[str, ...]
    pt: str
    en: str


def concerns(path: Path, name: str) -> bool:
    """Whether a register may hold a top-level field."""
    if path in (WHOLE, COUNTED) or path[0] in (name, SETTLEMENT):
        return True
    return path[0] == GROUP and name in path[1].split("+")


def has_say(view: View, document: Document, path: Path, name: str) -> bool:
    """Whether the view shows a field from this register. One that was written under an earlier configuration, before
    the field joined a group or left it, may be live and shown nowhere."""
    if path[:1] != (GROUP,) and path != (name,):
        return True
    group = view.policy.kinds.group_of(name)
    together = group_path(group) if group is not None else None
    siblings = document.siblings(together) if together is not None else ()
    winner = view.policy.ordered(together, siblings)[0] if together is not None and siblings else None
    grouped = winner is not None and (said_of(winner, name) is not ABSENT or not document.siblings((name,)))
    return path == together and grouped if path[:1] == (GROUP,) else not grouped


def said_of(record: FieldRecord, name: str) -> object:
    """A record's value as far as it is of this field; ABSENT where it holds none."""
    value = record.value
    if record.path == DELETED_AT:
        return value.get("at") if isinstance(value, dict) else None
    if record.path == WHOLE or record.path[0] == GROUP:
        return value.get(name, ABSENT) if isinstance(value, dict) else ABSENT
    if moves(record.path):
        moved = value.get(name) if isinstance(value, dict) else None
        return {"moved": shown(decimal_of(moved))} if isinstance(moved, int | str) else ABSENT
    return element_of(record) if len(record.path) > 1 else value


def moves(path: Path) -> bool:
    """Whether a register holds movements of counters, which count for good, also once others took their place."""
    return path[:1] == COUNTED or path[:1] == (SETTLEMENT,)


def register_of(record: FieldRecord, name: str, view: View) -> dict[str, object]:
    """What an operation writes to bring a record of a field back: whatever is one value with it comes along. Of a
    counter's movement, what takes it back."""
    if record.path == WHOLE or record.path[0] == GROUP:
        return dict(record.value) if isinstance(record.value, dict) else {}
    said = said_of(record, name)
    if moves(record.path):
        return {name: {"$inc": -said["moved"]}} if isinstance(said, dict) else {}
    if len(record.path) > 1:
        now = keyed(view.fields.get(name)) or {}
        return {name: list({**now, record.path[1]: said}.values())}
    return {name: said}


def conflicts_of(view: View, name: str) -> list[Conflict]:
    """The conflicts about a field, open or settled, and the one that keeps the whole entity as it is."""
    about = [conflict for path, conflict in view.conflicts.items() if concerns(path, name)]
    freezing = view.frozen_by()
    return about if freezing is None or freezing in about else [*about, freezing]


def shown_of(view: View, path: Path, siblings: Sequence[FieldRecord]) -> list[FieldRecord]:
    """Those of a register's live records whose value is shown."""
    if path == DELETED_AT:
        return [record for record in siblings if not view.alive and said_of(record, path[0]) == view.deleted_at]
    conflict = view.conflicts.get(path)
    return [record for record in siblings if conflict is None or record.operation in conflict.prevailing]


def reason(view: View, document: Document, name: str, decided: Iterable[str]) -> Reason:
    """Why the view shows what it shows of a field. decided: operations that resolved a conflict."""
    if name == "version":
        return _reason(["counted"], 0)
    about = {p: siblings for p, siblings in document.fields.items() if concerns(p, name) and not moves(p)}
    registers = {p: siblings for p, siblings in about.items() if has_say(view, document, p, name)}
    holds = [r for siblings in registers.values() for r in siblings if said_of(r, name) is not ABSENT]
    contested = [path for path in registers if path in view.conflicts]
    kind = view.policy.kinds.of(name).kind
    codes: list[str] = []
    if WHOLE in registers:
        codes.append("whole_entity")
    if any(path[:1] == (GROUP,) for path in registers):
        codes.append("group")
    if not holds and name not in view.fields:
        codes.append("unwritten")
    elif kind in (COUNTER, KEYED_LIST):
        codes.append(kind)
    elif contested:
        codes.append("most_advanced" if kind == PROGRESS else _ORDERS[view.policy.strategy.name])
    else:
        codes.append("only" if len(holds) == 1 else "agreed")
    shown = {r.operation for path, siblings in registers.items() for r in shown_of(view, path, siblings)}
    if not contested and shown & set(decided):
        codes.append("decided")
    if document.siblings(DELETED_AT):
        codes.append("revived" if view.alive else "deleted")
    return _reason(codes, len(holds))


def _reason(codes: Sequence[str], n: int) -> Reason:
    words = [_WORDS[code] for code in codes]
    pt, en = (" ".join(text.format(n=n) for text in texts) for texts in zip(*words, strict=True))
    return Reason(tuple(codes), pt, en)
