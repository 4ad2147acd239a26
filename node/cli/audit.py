"""`comanda audit verify`: walk the chain of the log, also while the node runs, and hold it against signed heads."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlencode

import click
import orjson
from attrs import asdict

from crdt.hlc import iso
from node.cli.addresses import ASKED
from node.cli.asking import ask
from node.cli.options import data_option, progress_bars
from node.cli.output import json_option, say, say_json
from node.cli.secure import secure_options
from node.core.keyring import KEYS, UNKNOWN
from node.errors import InvalidMessage
from node.runtime.keys import verify as signed_by
from node.wire.links.heads import head_of
from storage.audit.archive_file import verify_archives
from storage.audit.chain_walk import verify as walk
from storage.audit.head_check import Compared, compare
from storage.audit.late_proofs import LateProofs
from storage.sqlite.database import DATABASE, StorageError
from storage.sqlite.reader import Reader


@click.group()
def audit() -> None:
    """A trilha de auditoria. / The audit trail."""


@audit.command()
@data_option
@click.option(
    "--archive",
    "archives",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Arquivos de `comanda archive`. / Files of `comanda archive`.",
)
@click.option(
    "--against",
    "others",
    multiple=True,
    type=ASKED,
    help="Outro nó, que guarda o que este assinou. / Another node, which keeps what this one signed.",
)
@secure_options
@json_option
@click.argument("more", nargs=-1, type=click.Path(path_type=Path, dir_okay=False, exists=True))
def verify(
    data: Path, archives: tuple[Path, ...], others: tuple[str, ...], as_json: bool, more: tuple[Path, ...]
) -> None:
    """Procura registros alterados, removidos ou cortados. / Find edited, removed or cut entries.

    --against URL... : compara com o que outros nós guardam; acusa também um banco restaurado. / Compare with what
    other nodes hold; a restored database is a finding too.

    --archive FILE... : também nos arquivos, desde a primeira linha. / Also in the archives, from the first row on.

    \b
    comanda audit verify --data comanda-data --against https://hub.local:8001 --ca hub-authority.pem
    """
    try:
        reader = Reader(data / DATABASE)
        late = LateProofs(UNKNOWN, _keys(reader), signed_by)
        with progress_bars() as progress:
            task = progress.add_task("audit")
            findings = list(
                walk(reader, lambda done, total: progress.update(task, completed=done, total=total), late.take)
            )
            findings += late.findings
        anchor, (head, _) = reader.anchor(), reader.head()
        if archives:
            findings += verify_archives([*archives, *more], anchor)
        compared = _against(reader, others)
        findings += compared.findings
        reader.close()
    except StorageError as error:
        raise click.ClickException(str(error)) from error
    problems = len(findings) + (len(compared.earlier) if others else 0)
    if as_json:
        say_json(
            {
                "problems": problems,
                "findings": [asdict(one) for one in findings],
                "earlier_epoch": [asdict(one) for one in compared.earlier],
                "rows": head if archives else head - anchor.seq,
                "rows_archived_not_verified": 0 if archives else anchor.seq,
                "heads": compared.matching,
                "heads_archived_not_verified": compared.archived,
                "proven_since": late.proven,
                "of_unknown_keys": late.open,
            },
            indent=True,
        )
    else:
        for finding in findings:
            say(f"seq {finding.seq}: {finding.what}")
        for finding in compared.earlier:
            say(f"seq {finding.seq}: {finding.what} (época anterior: restaurado? / earlier epoch: was it restored?)")
    if problems:
        raise click.ClickException(f"{problems} problema(s) / problem(s)")
    if as_json:
        return
    if anchor.seq and not archives:
        say(f"{anchor.seq} arquivados, não conferidos / archived, not verified (--archive FILE...)")
    if compared.archived:
        say(f"{compared.archived} assinaturas de linhas arquivadas, não conferidas / signed heads of archived rows")
    if late.proven:
        say(f"{late.proven} operações provadas depois / operations proven since: the key became known later")
    if late.open:
        say(f"{late.open} operações de nós sem chave conhecida / operations of nodes whose key is not known")
    say(f"{compared.matching} assinaturas conferem / signed heads match")
    say(f"{head if archives else head - anchor.seq} registros conferem / rows verified")


def _against(reader: Reader, others: tuple[str, ...]) -> Compared:
    """Compare the log with the heads that are kept beside it, and with those that other nodes hold."""
    node_id, epoch = reader.queries.fact("node_id") or "", reader.queries.fact("epoch") or ""
    keys = _keys(reader).get(node_id, set())
    heads = reader.heads(node_id)
    for url in others:
        answer = ask(url, f"/api/v1/heads?{urlencode({'node': node_id})}")
        try:
            held = [head_of(head, 0) for head in answer.get("heads", ())]
        except InvalidMessage as error:
            raise click.ClickException(f"{url}: {error}") from error
        if not held:
            say(f"{url}: nenhuma assinatura de / no signed head of {node_id}", err=True)
        heads += held
    return compare(reader, heads, epoch=epoch, keys=keys, verify=signed_by, when=iso)


def _keys(reader: Reader) -> dict[str, set[bytes]]:
    """Whose public keys are known, by node."""
    pinned = orjson.loads(reader.queries.fact(KEYS) or "{}")
    return {node: set(map(bytes.fromhex, keys)) for node, keys in pinned.items()}
