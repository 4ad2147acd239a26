"""Why a field shows what it shows: which of its live records count, by which rule, in words.

Read off the view, never decided again here: a contested register's conflict says whose value prevails, and siblings
without a conflict agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt.classes import frozen
from strategies.guard import overruling
from strategies.kinds.group import TOGETHER
from strategies.kinds.kind import ABSENT, Kind, Rule
from strategies.paths import DELETED_AT, GROUP, WHOLE, is_movement, may_hold

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crdt.document import Document
    from crdt.records import FieldRecord, Path
    from strategies.conflict import Conflict
    from strategies.policy import EntityPolicy
    from strategies.view import View

UNWRITTEN = Rule("unwritten", "Ninguém escreveu este campo.", "Nobody has written this field.")
ONLY = Rule(
    "only",
    "Um só valor vale: quem o escreveu tinha visto os anteriores, ou era o primeiro.",
    "One value is live: whoever wrote it had seen those before it, or was the first.",
)
AGREED = Rule("agreed", "{n} escritas concorrentes dizem o mesmo.", "{n} concurrent writes say the same.")
LATEST = Rule(
    "latest",
    "De {n} escritas concorrentes aparece a de horário efetivo mais recente.",
    "Of {n} concurrent writes the one with the latest effective time is shown.",
)
FIRST_WRITTEN = Rule(
    "first_written",
    "De {n} escritas concorrentes fica a primeira, até alguém decidir.",
    "Of {n} concurrent writes the first stays, until somebody decides.",
)
DECIDED = Rule("decided", "Alguém decidiu um conflito assim.", "Somebody decided a conflict so.")
WHOLE_ENTITY = Rule(
    "whole_entity",
    "A entidade inteira é um só valor: seus campos vêm juntos.",
    "The whole entity is one value: its fields come together.",
)
DELETED = Rule(
    "deleted",
    "A entidade foi excluída; este é o valor que tinha.",
    "The entity was deleted; this is the value it had.",
)
REVIVED = Rule(
    "revived",
    "Uma exclusão não tinha visto o que outros escreveram; a entidade fica.",
    "A deletion had not seen what others wrote; the entity stays.",
)
FINAL = Rule(
    "final",
    "Uma exclusão não vale contra este estado: quem excluiu não o tinha visto, ou não pode voltá-lo.",
    "A deletion does not count against this status: its author had not seen it, or may not take it back.",
)
SUMMED = Rule("counted", "É a soma das operações.", "It is the sum of the operations.")

_ORDERS = {
    "last_write_wins": LATEST,
    "merge_changes": LATEST,
    "merge_non_conflicting": FIRST_WRITTEN,
    "manual_resolution": FIRST_WRITTEN,
}
"""By strategy: what puts one of several different values first."""


@frozen
class Reason:
    """Why a value is shown. codes: of the rules that apply. pt, en: the same as sentences."""

    codes: tuple[str, ...]
    pt: str
    en: str


def shows_from(view: View, document: Document, path: Path, name: str) -> bool:
    """Whether the view shows a field from this register, which may hold it.

    A register that was written under an earlier configuration, before the field joined a group or left it, may be
    live and shown nowhere.
    """
    return view.policy.kinds.of(name).shows_from(document, view.policy, path, name)


def said_of(record: FieldRecord, name: str, policy: EntityPolicy) -> object:
    """A record's value as far as it is of this field; ABSENT where it holds none."""
    if record.path == DELETED_AT:
        return record.value.get("at") if isinstance(record.value, dict) else None
    return policy.kinds.at(record.path).said(record, name)


def restored(record: FieldRecord, name: str, view: View) -> dict[str, object]:
    """What an operation writes to bring a record of a field back."""
    if record.path == DELETED_AT:
        return {name: said_of(record, name, view.policy)}
    return view.policy.kinds.at(record.path).restored(record, name, view.fields.get(name))


def conflicts_of(view: View, name: str) -> list[Conflict]:
    """The conflicts about a field, open or settled, and those about the whole entity: what freezes or deleted it."""
    about = [
        conflict
        for path, conflict in view.conflicts.items()
        if may_hold(path, name) or (path == DELETED_AT and not view.alive)
    ]
    freezing = view.frozen_by()
    return about if freezing is None or freezing in about else [*about, freezing]


def shown_of(view: View, path: Path, siblings: Sequence[FieldRecord]) -> list[FieldRecord]:
    """Those of a register's live records whose value is shown."""
    if path == DELETED_AT:
        at = view.deleted_at
        return [r for r in siblings if not view.alive and said_of(r, path[0], view.policy) == at]
    conflict = view.conflicts.get(path)
    return [record for record in siblings if conflict is None or record.name in conflict.prevailing]


def reason(view: View, document: Document, name: str, decided: Iterable[str]) -> Reason:
    """Why the view shows what it shows of a field. decided: names of operations that resolved a conflict."""
    if name == "version":
        return _reason([SUMMED], 0)
    about = {p: siblings for p, siblings in document.fields.items() if may_hold(p, name) and not is_movement(p)}
    registers = {p: siblings for p, siblings in about.items() if shows_from(view, document, p, name)}
    holds = [r for siblings in registers.values() for r in siblings if said_of(r, name, view.policy) is not ABSENT]
    contested = [path for path in registers if path in view.conflicts]
    kind = view.policy.kinds.of(name)
    rules: list[Rule] = []
    if WHOLE in registers:
        rules.append(WHOLE_ENTITY)
    if any(path[:1] == (GROUP,) for path in registers):
        rules.append(TOGETHER)
    if not holds and name not in view.fields:
        rules.append(UNWRITTEN)
    elif kind.rule is not None:
        rules.append(kind.rule)
    elif contested:
        rules.append(_order(view.policy, kind))
    else:
        rules.append(ONLY if len(holds) == 1 else AGREED)
    shown = {r.name for path, siblings in registers.items() for r in shown_of(view, path, siblings)}
    if not contested and shown & set(decided):
        rules.append(DECIDED)
    if document.siblings(DELETED_AT):
        held = overruling(view.policy.kinds, document, document.siblings(DELETED_AT))
        rules.append(FINAL if held else REVIVED if view.alive else DELETED)
    return _reason(rules, len(holds))


def decides(policy: EntityPolicy, path: Path) -> Rule:
    """What puts one of several values of a register first."""
    names = policy.kinds.names(path)
    return _order(policy, policy.kinds.of(names[0]) if names else None)


def _order(policy: EntityPolicy, kind: Kind | None) -> Rule:
    return (kind and kind.order) or _ORDERS[policy.strategy.name]


def _reason(rules: Sequence[Rule], n: int) -> Reason:
    """n: how many live records hold the field, for the sentences that count them."""
    pt, en = (" ".join(getattr(rule, language).format(n=n) for rule in rules) for language in ("pt", "en"))
    return Reason(tuple(rule.code for rule in rules), pt, en)
