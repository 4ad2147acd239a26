"""What an import would do or has done, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from node.cli.output import say
from node.cli.screen import Grid, Screen

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from node.lists.columns import Mapped
    from node.lists.planning import Plan, Refusal
    from node.lists.reading import Table

LISTED = 50
"""Rows of each table that are printed; --json has all."""


def say_recognised(found: Table, mapped: Mapped) -> None:
    """What was found of the file, and which column is which field."""
    said = ", ".join(f"{name} {value}" for name, value in found.recognised.items())
    say(f"{said}, decimal {mapped.notation.decimal}, {len(found.rows)} linhas / rows, chave / key {mapped.key}")
    if mapped.guessed:
        say("nenhum número diz qual é o separador decimal: --decimal / no number tells the decimal separator")
    say("  ".join(f"{column.name} -> {column.field} ({column.kind})" for column in mapped.columns))


def print_plan(plan: Plan, statuses: dict[str, int], dry_run: bool) -> None:
    """What would be done, or was; refusals one by one."""
    console = Screen()
    if dry_run and plan.created:
        grid = Grid("linha\nline", "chave\nkey", "cria\ncreates")
        for entry in plan.created[:LISTED]:
            grid.add_row(str(entry.line), entry.entity_id, _shortly(entry.data))
        _print_grid(console, grid, len(plan.created))
    if dry_run and plan.changed:
        grid = Grid("linha\nline", "chave\nkey", "campo\nfield", "antes\nbefore", "depois\nafter")
        changes = [(e, name, value) for e in plan.changed for name, value in e.data.items()]
        for entry, name, value in changes[:LISTED]:
            grid.add_row(
                str(entry.line), entry.entity_id, name, _shortly((entry.before or {}).get(name)), _shortly(value)
            )
        _print_grid(console, grid, len(changes))
    if plan.refused:
        console.print(refusals_grid(plan.refused))
    if plan.left:
        say(f"{plan.left} contadores diferentes ficam como estão / counters differ and are left (--counts)")
    created, changed = ("criadas / created", "mudadas / changed")
    if dry_run:
        created, changed = ("criaria / would create", "mudaria / would change")
    refused = len({refusal.line for refusal in plan.refused})
    counted = [
        f"{created} {len(plan.created)}",
        f"{changed} {len(plan.changed)}",
        f"iguais / unchanged {plan.unchanged}",
        f"recusadas / refused {refused}",
    ]
    say("  ".join(counted))
    unusual = {name: count for name, count in statuses.items() if name not in ("applied", "duplicate")}
    if unusual:
        say("  ".join(f"{name} {count}" for name, count in unusual.items()))


def refusals_grid(refused: Iterable[Refusal]) -> Grid:
    """Rows that were not taken, with why."""
    grid = Grid("linha\nline", "coluna\ncolumn", "valor\nvalue", "recusado porque\nrefused as")
    for refusal in refused:
        grid.add_row(str(refusal.line), refusal.column, _value(refusal), refusal.reason)
    return grid


def _print_grid(console: Screen, grid: Grid, total: int) -> None:
    console.print(grid)
    if total > grid.row_count:
        say(f"... mais / more {total - grid.row_count} (--json)")


def _value(refusal: Refusal) -> str:
    if refusal.value is None:
        return ""
    return refusal.value if isinstance(refusal.value, str) else _shortly(refusal.value)


def _shortly(value: object) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 100 else f"{text[:100]}..."


def report(
    file: Path, found: Table, mapped: Mapped, plan: Plan, statuses: dict[str, int], dry_run: bool
) -> dict[str, object]:
    """All of it, for programs."""
    return {
        "file": str(file),
        "recognised": {**found.recognised, "decimal": mapped.notation.decimal, "rows": len(found.rows)},
        "decimal_guessed": mapped.guessed,
        "key": mapped.key,
        "columns": [{"column": c.name, "field": c.field, "kind": c.kind} for c in mapped.columns],
        "dry_run": dry_run,
        "created": [entry.report() for entry in plan.created],
        "changed": [entry.report() for entry in plan.changed],
        "unchanged": plan.unchanged,
        "counters_left": plan.left,
        "refused": [refusal.report() for refusal in plan.refused],
        "statuses": statuses,
    }
