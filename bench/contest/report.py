"""What came out: a table to read now, JSON to compare with later, a page of plots to show."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from attrs import frozen
from rich.table import Table

from bench.contest.runs import BENCHES, FIGURES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLOTS = find_spec("altair") is not None and find_spec("vl_convert") is not None
"""Whether an HTML report can be made here."""


@frozen
class Result:
    """What one contestant did in one bench. failed: why there are no figures, in one line."""

    bench: str
    contestant: str
    figures: dict[str, float]
    failed: str | None = None


@frozen
class Report:
    """One run of `comanda bench`."""

    made_at: str
    machine: str
    seed: int
    options: dict[str, Any]
    results: Sequence[Result]

    @classmethod
    def of_file(cls, path: Path) -> Report:
        """Raises ValueError where it is none of ours; OSError."""
        try:
            found = json.loads(path.read_text("utf-8"))
            results = [Result(**result) for result in found.pop("results")]
            return cls(**found, results=results)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(f"{path}: no report of `comanda bench --json` ({error})") from error


def tables(report: Report, before: Report | None) -> Iterator[Table]:
    """A table for each bench. before: a change since then stands behind each figure."""
    held = {} if before is None else {(r.bench, r.contestant): r.figures for r in before.results}
    for bench in BENCHES:
        results = [result for result in report.results if result.bench == bench]
        if not results:
            continue
        table = Table(title=f"{bench}\n{report.machine}; seed {report.seed}", title_justify="left")
        table.add_column("", no_wrap=True)
        names = [name for name in FIGURES if any(name in result.figures for result in results)]
        for name in names:
            table.add_column(name, justify="right")
        for result in results:
            if result.failed:
                table.add_row(result.contestant, f"failed: {result.failed}")
                continue
            old = held.get((bench, result.contestant), {})
            cells = [_cell(name, result.figures.get(name), old.get(name)) for name in names]
            table.add_row(result.contestant, *cells)
        yield table


def _cell(name: str, value: float | None, old: float | None) -> str:
    if value is None:
        return "-"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    if not old:
        return text
    change = value / old - 1
    better = change * FIGURES[name][1] > 0
    colour = "dim" if abs(change) < 0.1 else "green" if better else "red"
    return f"{text} [{colour}]{change:+.0%}[/]"


def write_page(report: Report, path: Path) -> None:
    """Plots that need no network, as one HTML file. Raises OSError."""
    import altair

    rows = [
        {"bench": result.bench, "contestant": result.contestant, "figure": name, "value": value}
        for result in report.results
        for name, value in result.figures.items()
    ]
    charts = []
    for bench in BENCHES:
        of_bench = [row for row in rows if row["bench"] == bench]
        for name, (what, sign) in FIGURES.items():
            values = [row for row in of_bench if row["figure"] == name]
            if not values:
                continue
            title = altair.TitleParams(
                f"{bench}: {name}", subtitle=f"{what}; {'more' if sign > 0 else 'less'} is better", anchor="start"
            )
            bars = (
                altair.Chart(altair.Data(values=values), title=title, width=460)
                .encode(
                    x=altair.X("value:Q", title=None),
                    y=altair.Y("contestant:N", title=None, sort=None),
                    color=altair.condition(
                        "indexof(datum.contestant, 'Comanda') == 0", altair.value("#b3541e"), altair.value("#8a94a3")
                    ),
                    tooltip=["contestant:N", altair.Tooltip("value:Q", format=",.4~g")],
                )
                .mark_bar()
            )
            label = bars.mark_text(align="left", dx=3).encode(
                text=altair.Text("value:Q", format=",.3~g"), color=altair.value("#444")
            )
            charts.append(bars + label)
    heading = altair.TitleParams(
        "comanda bench",
        subtitle=[report.machine, f"{report.made_at}, seed {report.seed}, {report.options}"],
        anchor="start",
    )
    page = altair.concat(*charts, columns=2, title=heading).resolve_scale(x="independent", y="independent")
    page.save(str(path), format="html", inline=True)
