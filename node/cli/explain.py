"""`comanda explain`: what a field shows, why, and every value it ever had; and bring one of those back."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import click
import orjson
from rich.text import Text

from node.cli.asking import ask, node_option
from node.cli.explain_restore import restore_value
from node.cli.output import say_json
from node.cli.screen import Screen

STATES = {
    "shown": ("●", "aparece / shown", "bold green"),
    "candidate": ("○", "vivo, não aparece / live, not shown", "yellow"),
    "unused": ("○", "de outra configuração, não aparece / of an earlier configuration, not shown", "dim"),
    "moved": ("+", "movimento, conta / a movement, counts", ""),
    "superseded": ("·", "substituído / superseded", "dim"),
    "refused": ("×", "recusado e guardado / refused and kept", "red"),
}


@click.command()
@click.argument("entity_type")
@click.argument("entity_id")
@click.argument("field")
@node_option
@click.option("--limit", default=20, show_default=True, help="Valores substituídos. / Superseded values shown.")
@click.option(
    "--restore",
    metavar="OPERATION_ID",
    help="Traz de volta o valor; TERMINAL/OPERATION_ID se vários têm esse id. / Bring that value back.",
)
@click.option(
    "--terminal", metavar="ID", help="Quem restaura; um terminal só para isso. / Who restores: one of its own."
)
@click.option("--type", "kind", default="pos", show_default=True, help="Tipo do terminal. / Its type.")
@click.option("--user", default="", help="Quem decide. / Who decides.")
@click.option("--json", "as_json", is_flag=True, help="Como o nó responde. / As the node answers.")
def explain(
    entity_type: str,
    entity_id: str,
    field: str,
    url: str,
    limit: int,
    restore: str | None,
    terminal: str | None,
    kind: str,
    user: str,
    as_json: bool,
) -> None:
    """Explica um campo: o que vale, por quê, o que já valeu. / Explain a field: what it shows, why, what it was.

    --restore escreve de novo um valor descartado, como operação nova do terminal. / --restore writes a discarded
    value again, as a new operation of the terminal.

    \b
    comanda explain orders mesa-7 status
    """
    console = Screen(soft_wrap=True)
    if restore is not None:
        if terminal is None:
            raise click.UsageError("--restore pede / needs --terminal ID")
        answer = explanation(url, entity_type, entity_id, field, limit=1_000)
        console.print(restore_value(url, answer, restore, terminal, kind, user))
    answer = explanation(url, entity_type, entity_id, field, limit=limit)
    if as_json:
        say_json(answer, indent=True)
    else:
        print_explanation(answer, console)


def explanation(url: str, entity_type: str, entity_id: str, field: str, **parameters: object) -> dict[str, Any]:
    """The node's explanation of one field, as JSON. Raises ClickException."""
    asked = {"entity_id": entity_id, "field": field, **parameters}  # in the query, as in `comanda show`
    return ask(url, f"/api/v1/explain/{quote(entity_type, safe='')}?{urlencode(asked)}")


# ------------------------------------------------------------------ for people


def print_explanation(answer: dict[str, Any], console: Screen) -> None:
    """The answer of `GET /api/v1/explain`, for people."""
    rule = answer["rule"]
    deleted = "  EXCLUÍDA / DELETED" if answer["deleted"] else ""
    console.print(Text(f"{answer['entity_type']} {answer['entity_id']}  {answer['field']}{deleted}", "bold"))
    console.print(f"valor / value      {_value(answer)}")
    console.print(f"versão / version   {answer['version']}")
    console.print(f"regra / rule       {rule['strategy']} ({', '.join(rule['why'])})")
    for language in ("pt", "en"):
        console.print(f"  {rule[language]}")
    _print_deletion(answer, console)
    for conflict in answer["conflicts"]:
        console.print(f"conflito / conflict {conflict['id']} {conflict['type']} {conflict['state']}")
    left = answer["superseded_total"] - len(answer["superseded"])
    for write in (*answer["candidates"], *answer["superseded"]):
        _print_write(write, console)
    if left:
        console.print(f"  ... e mais {left} / and {left} more (--limit)")
    if answer["archived"] is not None:
        console.print()
        console.print(f"  o que veio até a linha {answer['archived']} está arquivado / up to that row it is archived")
    for act in answer["refused"]:
        _print_write({**act, "state": "refused", "superseded_by": []}, console)


def _print_deletion(answer: dict[str, Any], console: Screen) -> None:
    """Who deleted the entity, over what, and how it comes back."""
    deletion = answer.get("deletion")
    if deletion is None:
        return
    for by in deletion["by"]:
        user = f" ({by['user_id']})" if by.get("user_id") else ""
        kind = f", {by['terminal_type']}" if by.get("terminal_type") else ""
        lost = "" if deletion["counts"] else "  não valeu / did not count"
        console.print(
            f"excluída / deleted  por / by {by['terminal_id']}{user}{kind}  nó / node {by.get('origin') or '?'}  "
            f"{by['deleted_at']}  operação / operation {by['operation_id']}{lost}",
        )
    for write in deletion["over"]:
        side = "sobre / over" if deletion["counts"] else "contra / against"
        console.print(
            f"  {side} {write['operation_id']} ({write['terminal_id']}, {write['accepted_at']}) "
            f"{orjson.dumps(write['data']).decode()}",
        )
    if deletion["entity"] is not None:
        console.print(f"  tinha / it held {orjson.dumps(deletion['entity']).decode()}")
        console.print("  volta com / it comes back with --restore OPERATION_ID --terminal ID")


def _print_write(write: dict[str, Any], console: Screen) -> None:
    mark, words, style = STATES[write["state"]]
    item = f"  {'/'.join(write['path'][1:])}" if len(write.get("path", ())) > 1 else ""
    carried = "  (veio junto / came along)" if write.get("named") is False else ""
    console.print()
    console.print(Text(f"{mark} {_value(write)}{item}   {words}{carried}", style))
    user = f" ({write['user_id']})" if write.get("user_id") else ""
    node = write.get("origin") or "?"
    console.print(f"  quem / who          {write['terminal_id']}{user}  nó / node {node}")
    effective = write.get("effective_timestamp")
    clocks = f"efetiva / effective {effective}  " if effective else ""
    sent = write.get("timestamp") or "-"
    console.print(f"  hora / time         do terminal / sent {sent}")
    console.print(f"                      {clocks}aceita / accepted {write['accepted_at']}")
    if write.get("assumed"):
        console.print(f"  suposto / assumed   {write['assumed']['pt']}")
        console.print(f"                      {write['assumed']['en']}")
    if write.get("clock"):
        console.print(f"  relógio / clock     {write['clock']['pt']}")
        console.print(f"                      {write['clock']['en']}")
    if write.get("reason"):
        console.print(f"  motivo / reason     {write['reason']}")
    details = [f"operação / operation {write['operation_id']}"]
    if write.get("version") is not None:
        details.append(f"versão / version {write['version']}")
    if write.get("lock_status") not in (None, "none"):
        details.append(f"trava / lock {write['lock_status']}")
    console.print("  " + "  ".join(details))
    for killer in write["superseded_by"] if write["state"] != "moved" else ():
        why = "  resolveu um conflito / resolved a conflict" if killer["resolves"] else ""
        why += f": {killer['reason']}" if killer.get("reason") else ""
        console.print(
            f"  substituído por / superseded by {killer['operation_id']} ({killer['operation']}, "
            f"{killer['terminal_id']}, {killer['accepted_at']}){why}",
        )


def _value(holder: dict[str, Any]) -> str:
    return "(nada / nothing)" if holder.get("absent") else orjson.dumps(holder["value"]).decode()
