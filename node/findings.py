"""What is wrong with a node, and what to do about it: decided from what was read of it, and from nothing else.

`GET /api/v1/doctor` gathers the facts of a running node, `comanda doctor` those of a stopped one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from crdt.classes import frozen
from crdt.hlc import length

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ERROR, WARNING = "error", "warning"

DAY_MS = 86_400_000

CERTIFICATE_DAYS = 30
"""Days before its end from which on a certificate is a finding."""

WAL_BYTES = 2**27
"""Size of the write-ahead log beyond which it does not shrink by itself."""

LATE_DAYS = 7
"""Days beyond [retention] keep_days after which history that is still in the database is a finding."""

RECENT_MS = 3_600_000
"""How long a refusal is a finding: who is still refused then tried again meanwhile."""

SLOW_MS = 60_000
"""Age of the oldest row that waits, on a link that stands, from which on it is a finding."""

TEXTS: Mapping[str, tuple[str, str, str, str, str]] = {
    "not_running": (
        ERROR,
        "o nó está parado",
        "the node does not run",
        "inicie-o: comanda serve",
        "start it: comanda serve",
    ),
    "no_database": (
        ERROR,
        "não há banco de dados que se possa ler: {why}",
        "there is no database that can be read: {why}",
        "confira --data; se o disco falhou: comanda restore",
        "check --data; if the disk failed: comanda restore",
    ),
    "port_taken": (
        ERROR,
        "não se pode escutar: {why}",
        "the node cannot listen: {why}",
        "pare o outro programa, ou mude [node] port",
        "stop the other program, or change [node] port",
    ),
    "not_storing": (
        ERROR,
        "nada pode ser gravado ou lido: {why}",
        "nothing can be stored or read: {why}",
        "confira o disco: espaço, permissões, falhas; o nó volta sozinho",
        "check the disk: space, permissions, faults; the node comes back by itself",
    ),
    "link_down": (
        ERROR,
        "sem ligação{since}; esperam {lag:linha|linhas}{oldest}: {why}",
        "no link{since}; {lag:row waits|rows wait}{oldest}: {why}",
        "o outro nó está ligado? endereço, rede e firewall estão certos?",
        "does the other node run? are address, network and firewall right?",
    ),
    "link_refused": (
        ERROR,
        "o outro nó recusa este{since}; esperam {lag:linha|linhas}{oldest}: {why}",
        "the other node refuses this one{since}; {lag:row waits|rows wait}{oldest}: {why}",
        "lá: comanda token add {node} --type node; aqui: o token em [links]",
        "there: comanda token add {node} --type node; here: the token in [links]",
    ),
    "node_away": (
        WARNING,
        "visto por último {last_seen}; por ele {lag:linha espera|linhas esperam}{oldest}",
        "last seen {last_seen}; {lag:row waits|rows wait} for it{oldest}",
        "se ainda existe, confira lá: comanda doctor",
        "if there is still such a node, ask there: comanda doctor",
    ),
    "behind": (
        WARNING,
        "{lag:linha|linhas} por enviar{oldest}",
        "{lag:row is|rows are} still to be sent{oldest}",
        "se não diminui, a rede ou o outro nó são lentos",
        "if they do not become fewer, the network or the other node is slow",
    ),
    "quarantine": (
        ERROR,
        "{count:operação de outro nó não pode ser aplicada|operações de outros nós não podem ser aplicadas}",
        "{count:operation of another node|operations of other nodes} cannot be applied",
        "comanda quarantine list; um tipo desconhecido falta em [entities]",
        "comanda quarantine list; an unknown type is missing in [entities]",
    ),
    "kept_out": (
        ERROR,
        "{count:operação daqui não entra|operações daqui não entram} naquele nó: {why}",
        "{count:operation|operations} from here cannot be applied at that node: {why}",
        "lá: comanda quarantine list; um tipo desconhecido falta lá em [entities]",
        "there: comanda quarantine list; an unknown type is missing in [entities] there",
    ),
    "conflicts": (
        WARNING,
        "{count:conflito espera|conflitos esperam} uma decisão",
        "{count:conflict waits|conflicts wait} for a decision",
        "decida num terminal ou na página do nó",
        "decide at a terminal or on the node's page",
    ),
    "token_refused": (
        WARNING,
        "recusado {count:vez|vezes}, por último {at} de {address}: {why}",
        "refused {count:time|times}, last {at} from {address}: {why}",
        "comanda token list; comanda token add ID --type TYPE",
        "comanda token list; comanda token add ID --type TYPE",
    ),
    "clock": (
        ERROR,
        "o relógio da máquina está {ahead} atrás da última operação",
        "the machine's clock is {ahead} behind the latest operation",
        "acerte o relógio (NTP)",
        "set the clock (NTP)",
    ),
    "terminal_clock": (
        WARNING,
        "o relógio deste terminal está errado por {ahead}",
        "this terminal's clock is wrong by {ahead}",
        "acerte-o; até lá o nó corrige os horários",
        "set it; until then the node corrects its times",
    ),
    "certificate": (
        WARNING,
        "o certificado vale até {until}",
        "the certificate holds until {until}",
        "comanda tls create --host ..., ou o de quem o emitiu",
        "comanda tls create --host ..., or by whoever issued it",
    ),
    "certificate_over": (
        ERROR,
        "o certificado não vale agora: de {since} até {until}",
        "the certificate does not hold at this time: from {since} until {until}",
        "confira o relógio; comanda tls create --host ...",
        "check the clock; comanda tls create --host ...",
    ),
    "certificate_unreadable": (
        ERROR,
        "o certificado não pode ser lido: {why}",
        "the certificate cannot be read: {why}",
        "confira [tls]",
        "check [tls]",
    ),
    "disk_low": (WARNING, "restam {free} MB no disco", "{free} MB are left on the disk", "{remedy}", "{remedy}"),
    "disk_full": (ERROR, "restam {free} MB no disco", "{free} MB are left on the disk", "{remedy}", "{remedy}"),
    "wal": (
        WARNING,
        "o registro de gravação tem {size} MB: outro programa lê o banco",
        "the write-ahead log has {size} MB: another program reads the database",
        "feche esse programa",
        "close that program",
    ),
    "backup_failed": (
        ERROR,
        "nenhuma cópia aqui: {why}",
        "no backup here: {why}",
        "confira a pasta em [backup]: existe, tem espaço, pode ser gravada?",
        "check the folder in [backup]: is it there, has it room, can it be written to?",
    ),
    "backup_old": (
        WARNING,
        "a última cópia tem {age}",
        "the last backup is {age} old",
        "comanda backup; e confira [backup]",
        "comanda backup; and check [backup]",
    ),
    "archive_failed": (
        ERROR,
        "o histórico antigo não pode ser arquivado, e fica: {why}",
        "old history cannot be archived, and stays: {why}",
        "confira a pasta archives/ e o espaço no disco; comanda verify; comanda audit verify",
        "check the folder archives/ and the disk's space; comanda verify; comanda audit verify",
    ),
    "archive_held": (
        WARNING,
        "não confirmou o histórico além da linha {confirmed}; ele fica até lá",
        "has not confirmed the history beyond row {confirmed}; until then it stays",
        "se esse nó não volta mais: comanda archive --until TIME --force",
        "if that node never comes back: comanda archive --until TIME --force",
    ),
    "archive_late": (
        WARNING,
        "o histórico mais antigo tem {age}, e devia ficar {keep:dia|dias}",
        "the oldest history is {age} old, and was to stay for {keep:day|days}",
        "o nó roda na hora de [retention] hour?",
        "does the node run at the hour of [retention] hour?",
    ),
    "unwritable": (
        ERROR,
        "o nó não pode gravar aqui",
        "the node cannot write here",
        "chown -R do usuário do nó, ou rode como ele",
        "chown -R to the node's user, or run as that user",
    ),
    "absent": (
        ERROR,
        "a máquina não tem este endereço; o nó escuta nele quando houver",
        "this machine does not have this address; the node listens there once it does",
        "confira a rede, ou mude [node] host ou [[listen]]",
        "check the network, or change [node] host or [[listen]]",
    ),
    "node_clock": (
        ERROR,
        "o relógio deste nó e o daqui diferem {apart}",
        "the clocks of this node and of the one here differ by {apart}",
        "acerte os dois (NTP)",
        "set both (NTP)",
    ),
    "version": (
        WARNING,
        "roda a versão {theirs}, e este nó a {own}",
        "runs version {theirs}, and this node {own}",
        "atualize o mais antigo",
        "upgrade the older one",
    ),
    "exposed": (
        ERROR,
        "outros usuários da máquina podem ler este arquivo",
        "other users of the machine can read this file",
        "chmod go= {about}",
        "chmod go= {about}",
    ),
    "configuration": (
        ERROR,
        "a configuração não pode ser lida: {why}",
        "the configuration cannot be read: {why}",
        "corrija o arquivo",
        "mend the file",
    ),
    "told": (ERROR, "{pt}: {why}", "{en}: {why}", "{remedy}", "{remedy}"),
}
"""By code (`told`: each of TOLD, under its own name): level, what it is, what to do; in Portuguese and English."""

TOLD = (
    ("twins", "dois nós com o mesmo nome", "two nodes with one id", "dê outro nome a um: / name one otherwise: --id"),
    ("head_alarms", "o registro não é o que era", "the log is not what it was", "comanda audit verify --against URL"),
    ("contradictions", "duas versões de uma operação", "two versions of an operation", "comanda verify"),
    ("too_large", "grande demais para enviar", "too large to be sent", "divida a entidade / divide the entity"),
    ("offered", "chave nova, não aceita", "a new key, not taken", "comanda keys list"),
    (
        "shared_terminals",
        "vários aparelhos com um id",
        "several devices with one id",
        "um id cada / one each",
    ),
)
"""Parts of the report on links that are empty where all is well."""

FREE_SPACE = "apague o que sobra; / remove what is not needed; comanda archive --until TIME"


@frozen
class Finding:
    """Something that is wrong. level: error | warning. about: what it concerns; text of others may be in it."""

    code: str
    level: str
    about: str
    pt: str
    en: str
    remedy_pt: str
    remedy_en: str


@frozen
class _Said:
    """A value in a text. `{count:row waits|rows wait}` is the number with the form that goes with it."""

    value: object

    def __format__(self, spec: str) -> str:
        one, bar, many = spec.partition("|")
        return f"{self.value} {one if self.value == 1 else many}" if bar else format(self.value, spec)


def finding(code: str, about: str = "", **values: object) -> Finding:
    """A finding of TEXTS, with these values in it."""
    level, *texts = TEXTS[code]
    said = {name: _Said(value) for name, value in values.items()}
    return Finding(code, level, about, *[text.format(about=about, **said) for text in texts])


def diagnose(facts: Mapping[str, Any]) -> list[Finding]:
    """What is wrong, errors first.

    facts: at_ms (Unix milliseconds) and what could be gathered of: running; why not: database, configuration, port,
    trouble; links (`GET /api/v1/links`, its entries perhaps with `oldest_ms`), refused, clock, disk, wal_bytes,
    backup, retention; certificates, by file or URL; exposed and unwritable files; absent addresses.
    """
    found = [
        *_machine(facts),
        *_backup(facts),
        *_retention(facts),
        *_certificates(facts),
        *_links(facts),
        *_others(facts),
    ]
    return sorted(found, key=lambda one: one.level != ERROR)


def _machine(facts: Mapping[str, Any]) -> Iterator[Finding]:
    if not facts.get("running", True):
        yield finding("not_running")
    reasons = (("database", "no_database"), ("port", "port_taken"), ("trouble", "not_storing"))
    for fact, code in (*reasons, ("configuration", "configuration")):
        if facts.get(fact):
            yield finding(code, why=facts[fact])
    disk = facts.get("disk")
    if disk and disk["free_bytes"] < disk["low_bytes"]:
        code = "disk_full" if disk["free_bytes"] < disk["last_bytes"] else "disk_low"
        yield finding(code, free=disk["free_bytes"] // 1_000_000, remedy=FREE_SPACE)
    if facts.get("wal_bytes", 0) > WAL_BYTES:
        yield finding("wal", size=facts["wal_bytes"] // 1_000_000)
    for code in ("exposed", "unwritable", "absent"):
        for about in facts.get(code, ()):
            yield finding(code, about)
    clock = facts.get("clock", {})
    if clock.get("ahead_ms", 0) > clock.get("max_skew_ms", 0):
        yield finding("clock", ahead=length(clock["ahead_ms"]))


def _backup(facts: Mapping[str, Any]) -> Iterator[Finding]:
    said = facts.get("backup", {})
    for folder, why in said.get("wrong", {}).items():
        yield finding("backup_failed", folder, why=why)
    last_ms = said.get("last_ms")
    if last_ms is not None and said["every_ms"] and facts["at_ms"] - last_ms > 2 * said["every_ms"]:
        yield finding("backup_old", age=length(facts["at_ms"] - last_ms))


def _retention(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """One at most: what fails or is held is late too."""
    said = facts.get("retention", {})
    keep_days, oldest_ms = said.get("keep_days"), said.get("oldest_ms")
    if not keep_days:
        return
    if said.get("wrong"):
        yield finding("archive_failed", why=said["wrong"])
    elif said.get("held_by"):
        yield finding("archive_held", said["held_by"]["node"], confirmed=said["held_by"]["confirmed"])
    elif oldest_ms is not None and facts["at_ms"] - oldest_ms > (keep_days + LATE_DAYS) * DAY_MS:
        yield finding("archive_late", age=length(facts["at_ms"] - oldest_ms), keep=keep_days)


def _certificates(facts: Mapping[str, Any]) -> Iterator[Finding]:
    for about, said in facts.get("certificates", {}).items():
        if "why" in said:
            yield finding("certificate_unreadable", about, why=said["why"])
            continue
        now_ms, since, until = facts["at_ms"], said["not_before"], said["not_after"]
        if not said["not_before_ms"] <= now_ms <= said["not_after_ms"]:
            yield finding("certificate_over", about, since=since, until=until)
        elif said["not_after_ms"] - now_ms < CERTIFICATE_DAYS * DAY_MS:
            yield finding("certificate", about, until=until)


def _links(facts: Mapping[str, Any]) -> Iterator[Finding]:
    report = facts.get("links", {})
    own, skew_ms = report.get("version"), facts.get("clock", {}).get("max_skew_ms", 0)
    for link in report.get("links", ()):
        about = str(link.get("peer") or link.get("url"))
        if link["state"] == "up" and own and link.get("version") not in (None, own):
            yield finding("version", about, theirs=link["version"] or "?", own=own)
        if kept_out := link.get("kept_out"):
            yield finding("kept_out", about, **kept_out)
        if skew_ms and abs(link.get("offset_ms") or 0) > skew_ms:
            yield finding("node_clock", about, apart=length(abs(link["offset_ms"])))
    for link in (*report.get("links", ()), *report.get("away", ())):
        about = " ".join(str(part) for part in (link.get("peer"), link.get("url")) if part)
        oldest_ms = link.get("oldest_ms")
        lag = link.get("lag")
        oldest = "" if oldest_ms is None else f" ({length(facts['at_ms'] - oldest_ms)})"
        waits = {"lag": "?" if lag is None else lag, "oldest": oldest, "node": report.get("node_id", "")}
        since = f" ({link['since']})" if link.get("since") else ""
        why = link.get("last_error") or "-"
        if link["state"] == "away":
            yield finding("node_away", about, last_seen=link.get("last_seen", "?"), **waits)
        elif link["state"] == "paused":
            yield finding("link_refused", about, since=since, why=why, **waits)
        elif link["state"] != "up":
            yield finding("link_down", about, since=since, why=why, **waits)
        elif oldest_ms is not None and facts["at_ms"] - oldest_ms > SLOW_MS:
            yield finding("behind", about, **waits)
    for name, pt, en, remedy in TOLD:
        for what in report.get(name, ()):
            why = f"{what['what']}, {what['bytes']} bytes" if isinstance(what, dict) else what
            yield evolve(finding("told", why=why, pt=pt, en=en, remedy=remedy), code=name)
    for terminal_id, offset_ms in report.get("clocks", {}).items():
        yield finding("terminal_clock", terminal_id, ahead=length(offset_ms))
    if bad := report.get("quarantine", {}).get("bad"):
        yield finding("quarantine", count=bad)


def _others(facts: Mapping[str, Any]) -> Iterator[Finding]:
    for name, said in facts.get("refused", {}).items():
        if facts["at_ms"] - said["at_ms"] <= RECENT_MS:
            yield finding("token_refused", name, **said)
    if count := facts.get("links", {}).get("conflicts_open"):
        yield finding("conflicts", count=count)
