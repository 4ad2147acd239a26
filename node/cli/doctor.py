"""`comanda doctor`: what is wrong with a node, why it does not sync, and what to do about it."""

from __future__ import annotations

import errno
import os
import socket
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import asdict

from crdt.hlc import iso
from node.cli.asking import CONTROL, NoNode, ask, node_option
from node.cli.output import json_option, say, say_json
from node.cli.settings import settings_in
from node.config.upkeep import DiskSection
from node.core.operations.quarantine import BAD
from node.errors import ConfigError
from node.findings import ERROR, WARNING, diagnose
from node.runtime import machine
from node.runtime.api.doctor import LOOKED_AT, waits_since_ms
from node.runtime.disk_space import disk_facts
from storage.sqlite.database import DATABASE, StorageError
from storage.sqlite.reader import Reader

if TYPE_CHECKING:
    from node.config.sections import Config

STATUS = {ERROR: 4, WARNING: 3}
"""What the command exits with where the worst finding is of a level. 1 and 2 are click's."""


@click.command()
@node_option
@json_option
def doctor(url: str, as_json: bool) -> None:
    """Diz o que está errado e o que fazer; também por que não sincroniza. / What is wrong, and what to do about it.

    Funciona também com o nó parado. / Works on a stopped node's directory too.

    \b
    Saída / exit: 0 nada / nothing, 3 avisos / warnings, 4 erros / errors; 1 não se sabe / unknown
    comanda doctor --json
    """
    try:
        answer = ask(url, "/api/v1/doctor")
    except NoNode:
        directory = Path(url.removeprefix(CONTROL))
        if not url.startswith(CONTROL) or not os.access(directory, os.R_OK | os.X_OK):
            raise  # a node of another user may well run there
        answer = stopped(directory)
    if as_json:
        say_json(answer, indent=True)
    else:
        say_findings(answer)
    levels = {one["level"] for one in answer["findings"]}
    raise SystemExit(next((STATUS[level] for level in (ERROR, WARNING) if level in levels), 0))


def say_findings(answer: dict[str, Any]) -> None:
    """Each finding, and below it what to do."""
    for one in answer["findings"]:
        word = "ERRO / ERROR" if one["level"] == ERROR else "aviso / warning"
        said, remedy = (_both(one[pt], one[en]) for pt, en in (("pt", "en"), ("remedy_pt", "remedy_en")))
        say(f"{word}  {one['about'] + ': ' if one['about'] else ''}{said}")
        say(f"    -> {remedy}")
    if not answer["findings"]:
        say(f"{answer['node_id']}: nada errado / nothing wrong")


def _both(pt: str, en: str) -> str:
    return pt if pt == en else f"{pt} / {en}"


def stopped(directory: Path) -> dict[str, Any]:
    """As the running node would answer, from what its data directory says."""
    facts: dict[str, Any] = {"at_ms": time.time_ns() // 1_000_000, "running": False}
    facts |= {"exposed": machine.exposed(directory), "unwritable": machine.unwritable(directory)}
    watched = DiskSection()
    try:
        config = settings_in(directory).config
    except ConfigError as error:
        facts["configuration"] = str(error)
    else:
        watched = config.disk
        facts |= {"certificates": machine.certificates(config), "port": _taken(config)}
        facts |= {"exposed": machine.exposed(directory, config), "absent": machine.absent(config)}
    facts["disk"] = disk_facts(directory, watched)
    try:
        with closing(Reader(directory / DATABASE)) as reader:
            facts["links"] = _waiting(reader)
    except StorageError as error:
        facts["database"] = str(error)
    return {"node_id": str(directory), "findings": [asdict(one) for one in diagnose(facts)], "facts": facts}


def _waiting(reader: Reader) -> dict[str, Any]:
    """What waits for whom, and for a decision, in the words of `GET /api/v1/links`."""
    head, _ = reader.head()
    away = []
    for row in reader.followers():
        after = max(min(row.positions), 0)  # -1 where it has no row of a class
        if after < head:
            rows = reader.history(after, head, LOOKED_AT)
            entry = {"peer": row.node_id, "state": "away", "last_seen": iso(row.last_seen_ms), "lag": head - after}
            away.append({**entry, "oldest_ms": waits_since_ms(rows, row.node_id)})
    bad = sum(row.state == BAD for row in reader.parked())
    return {"away": away, "quarantine": {"bad": bad}, "conflicts_open": len(reader.conflicts("open"))}


def _taken(config: Config) -> str | None:
    """Why the node could not listen; None where it could."""
    for one in config.addresses():
        try:
            family = socket.AF_INET6 if ":" in one.host else socket.AF_INET
            with closing(socket.create_server((one.host, one.port), family=family)):
                pass
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                continue  # a finding of its own; the node starts all the same
            return f"{one.host}:{one.port}: {error.strerror or error}"
    return None
