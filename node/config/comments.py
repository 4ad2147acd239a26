"""What each setting means, for whoever reads the file that `comanda init` writes: in Portuguese, then in English."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMENTS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "node": {
        "id": (
            "Nome deste nó, único na loja; sem ele fica o do diretório de dados, ou um sorteado.",
            "This node's name, one in the store; without it the data directory's, or a drawn one.",
        ),
        "site": (
            'Nome da loja, como "loja-017": só se ligam nós da mesma loja. Não muda depois.',
            'The store, as "loja-017": nodes of one store are linked, and no others. It does not change later.',
        ),
        "data": ("Diretório de dados.", "The data directory."),
        "host": (
            "Endereço em que escuta; fora do loopback exige tokens.",
            "Where it listens; beyond loopback: tokens.",
        ),
        "port": ("Porta; 0 escolhe uma livre.", "Port; 0 picks a free one."),
        "engine": (
            'Motor CRDT: "y_py" ou "pycrdt"; sem isto, o que houver.',
            "CRDT engine; without this, what is installed.",
        ),
        "machine": (
            '"small": um Raspberry Pi ou parecido; guarda menos na memória, e relê do disco.',
            '"small": a Raspberry Pi or the like; less is kept in memory, and read from the disk again.',
        ),
        "insecure": ("true: serve a rede sem tokens.", "true: serves the network without tokens."),
    },
    "tls": {
        "certificate": (
            "Certificado (PEM, com a cadeia) com que o nó atende por HTTPS e WSS; `comanda tls create` faz um.",
            "Certificate (PEM, with its chain) for HTTPS and WSS; `comanda tls create` makes one.",
        ),
        "key": ("A chave dele (PEM).", "Its key (PEM)."),
        "client_ca": (
            "Autoridades: só conecta quem mostra um certificado de uma delas.",
            "Authorities: nobody connects without a certificate of one of them.",
        ),
    },
    "limits": {
        "rate_per_second": ("Mensagens por segundo de um terminal.", "Messages of one terminal in a second."),
        "rate_burst": ("Mensagens de um terminal de uma vez.", "Messages of one terminal in a burst."),
        "message_bytes": ("Maior mensagem, em bytes.", "Largest message, in bytes."),
        "entity_bytes": (
            "Maior entidade, em bytes; uma escrita que passa disso é recusada.",
            "Largest entity, in bytes; a write that passes it is refused.",
        ),
        "json_depth": ("Níveis de uma mensagem.", "Levels of a message."),
        "connections": ("Conexões ao mesmo tempo.", "Connections at one time."),
        "connections_per_address": ("Conexões de um mesmo endereço.", "Connections from one address."),
        "terminals": (
            "Terminais que o nó conhece, ligados ou não.",
            "Terminals that the node knows, connected or not.",
        ),
        "window_rows": (
            "Linhas enviadas a um terminal e ainda não confirmadas.",
            "Rows sent to a terminal and not confirmed yet.",
        ),
        "resident_entities": ("Entidades na memória.", "Entities in memory."),
        "resident_bytes": ("O mesmo, em bytes.", "The same, in bytes."),
        "ring_rows": ("Linhas do registro na memória.", "Log rows in memory."),
        "ring_bytes": ("O mesmo, em bytes.", "The same, in bytes."),
        "quarantine_bytes": (
            "Operações de outros nós que não puderam ser aplicadas; de um nó, um quarto disso.",
            "Operations of other nodes that cannot be applied; of one node a quarter of it.",
        ),
        "backlog_bytes": (
            "Recebido de uma conexão e ainda não tratado; com mais que isso ela não é lida.",
            "Received on one connection and not handled yet; one that has more is not read.",
        ),
        "outbox_bytes": (
            "Na fila de uma conexão; com mais que isso ela é fechada.",
            "Queued for one connection; one that has more is closed.",
        ),
        "lease_ms_default": ("Duração de uma trava que não diz a sua.", "How long a lock holds that does not say."),
        "lease_ms_max": ("Maior duração de uma trava.", "Longest time that a lock holds."),
        "leases_per_terminal": ("Travas de um terminal ao mesmo tempo.", "Locks of one terminal at one time."),
        "version_jump": (
            "Quanto a `version` de um terminal adianta a de uma entidade de uma vez.",
            "How far a terminal's `version` takes an entity's ahead at once.",
        ),
        "bulk_items": ("Entidades de um BULK_UPDATE.", "Entities of one BULK_UPDATE."),
        "bulk_fields": ("Campos de um BULK_UPDATE, somados.", "Fields of one BULK_UPDATE, in all."),
        "bulk_bytes": (
            "Bytes das entidades de um BULK_UPDATE, somados.",
            "Bytes of the entities of one BULK_UPDATE, in all.",
        ),
        "fields": ("Campos de uma operação.", "Fields of one operation."),
    },
    "time": {
        "max_skew_ms": (
            "Até quanto o que outros nós aceitaram adianta os horários deste.",
            "How far what other nodes accepted may take this node's stamps ahead of its clock.",
        ),
        "max_offset_ms": (
            "Maior diferença para o relógio do nó acima com que se usa o dele.",
            "Largest difference to the upstream's clock at which its time is used.",
        ),
        "status_interval_s": (
            "Entre duas situações para os monitores, e entre dois pings.",
            "Between two statuses for monitors, and between two pings.",
        ),
        "metrics_interval_s": ("Entre duas mensagens de medidas.", "Between two messages of figures."),
        "probe_ms": (
            "Quanto a conexão antiga tem para responder quando o terminal conecta de novo.",
            "How long the old connection has to answer when its terminal connects again.",
        ),
        "idle_timeout_s": (
            "Uma conexão calada por tanto tempo é fechada.",
            "A connection silent for so long is closed.",
        ),
        "realm_rest_s": (
            "No escritório: quanto a cópia de uma loja fica aberta sem ninguém conectado.",
            "At head office: how long a store's copy stays open with nobody connected.",
        ),
        "zone": (
            'Onde a loja está, como "America/Sao_Paulo": o que quer dizer um horário sem fuso.',
            'Where the store is, as "America/Sao_Paulo": what a time without an offset means.',
        ),
    },
    "http": {
        "origins": (
            'Páginas de outros endereços que podem conectar: ["https://loja.example"].',
            "Pages of other addresses that may connect.",
        ),
        "proxies": (
            'Proxies em que se acredita quanto ao endereço do cliente: ["127.0.0.1"].',
            "Proxies whose word is taken for a client's address.",
        ),
    },
    "locks": {
        "broken_by": (
            "Tipos de terminal que podem tirar uma trava de quem a tem.",
            "Terminal types that may take a lock from who has it.",
        ),
    },
    "backup": {
        "every_h": (
            "Horas entre duas cópias do banco, feitas pelo próprio nó; 0: nenhuma.",
            "Hours between two copies of the database that the node makes by itself; 0: none.",
        ),
        "keep": ("Quantas ficam em cada pasta.", "How many stay in each folder."),
        "folder": (
            "A pasta, no diretório de dados ou em outro lugar.",
            "The folder, in the data directory or elsewhere.",
        ),
        "second_folder": (
            "Outra pasta, que já existe, para mais uma cópia de cada: um pendrive, um compartilhamento.",
            "Another folder, which is there, for one more copy of each: a stick, a share.",
        ),
    },
    "retention": {
        "keep_days": (
            "Dias de histórico que ficam no banco; o que é mais antigo vai para archives/. 0: fica tudo.",
            "Days of history that stay in the database; what is older goes into archives/. 0: all stays.",
        ),
        "hour": (
            "Hora calma em que isso é feito, 0 a 23, no fuso de [time] zone.",
            "The quiet hour at which this is done, 0 to 23, in [time] zone.",
        ),
    },
    "disk": {
        "low_mb": (
            "Espaço livre, em MB, abaixo do qual o nó avisa.",
            "Free space, in MB, below which the node warns.",
        ),
        "last_mb": (
            "E abaixo do qual /readyz diz não; ele ainda grava o que o disco aceita, e avisa de novo.",
            "And below which /readyz says no; it still stores what the disk takes, and warns again.",
        ),
    },
    "log": {
        "format": (
            '"text": para pessoas; "json": um objeto por linha; "auto": texto num terminal, JSON fora dele.',
            '"text": for people; "json": an object a line; "auto": text on a terminal, JSON elsewhere.',
        ),
        "verbose": ("true: também cada conexão.", "true: each connection too."),
    },
    "links": {
        "upstream": (
            "Nó acima (wss://host:porta), que concede as travas.",
            "The node above (wss://host:port), which grants locks.",
        ),
        "peers": ("Nós ao lado.", "Nodes side by side."),
        "office": (
            "O escritório, que guarda uma cópia desta loja; só na central da loja, com [node] site.",
            "Head office, which keeps a copy of this store; at the store's hub only, with [node] site.",
        ),
        "token": (
            "O que este nó mostra ao que disca; se são vários, cada um tem o seu em `at`.",
            "What this node shows to the one it dials; where there are several, each has its own under `at`.",
        ),
        "window_rows": ("Linhas enviadas num enlace e não confirmadas.", "Rows sent on a link and not confirmed."),
        "minute_frames": (
            "Mensagens de um nó num minuto; quem passa disso espera o minuto acabar.",
            "Frames of one node in a minute; one that sends more waits until it is over.",
        ),
        "minute_bytes": ("Bytes de um nó num minuto.", "Bytes of one node in a minute."),
        "minute_tables": ("Listas de quem está onde, num minuto.", "Lists of who sits where, in a minute."),
        "minute_questions": ("Perguntas sobre terminais, num minuto.", "Questions about terminals, in a minute."),
        "minute_visits": ("O que terminais sabiam, num minuto.", "What terminals knew, in a minute."),
        "minute_heads": ("Listas de fins de registro assinados, num minuto.", "Lists of signed heads, in a minute."),
        "backoff_ms": ("Primeira espera antes de discar de novo.", "First wait before dialling again."),
        "backoff_max_ms": ("Maior espera antes de discar de novo.", "Longest wait before dialling again."),
        "connect_timeout_ms": (
            "Para uma tentativa de conexão; depois de cada falha, a resposta pode demorar o dobro.",
            "For one attempt to connect; after each failure the answer may take twice as long.",
        ),
        "ping_s": ("Entre dois pings num enlace.", "Between two pings on a link."),
        "silence_s": (
            "Um enlace calado por tanto tempo é fechado e discado de novo.",
            "A link silent for so long is closed and dialled again.",
        ),
        "far_ms": (
            "Demora de ida e volta a partir da qual o outro nó está longe.",
            "The round trip from which the other node is far.",
        ),
        "far_ping_s": (
            "Entre dois pings num enlace com um nó longe; o silêncio dele pode durar dois pings a mais.",
            "Between two pings on a link to a far node; its silence may last for two of them more.",
        ),
        "linger_ms": (
            "Quanto as linhas esperam por outras num enlace com um nó longe, para irem juntas.",
            "How long rows wait for others on a link to a far node, to go together.",
        ),
        "paused_s": (
            "Espera antes de discar de novo a um nó que recusou este.",
            "Wait before dialling again a node that refused this one.",
        ),
        "may_speak_for": (
            'De quem cada nó ligado pode repassar operações ("*": de todos); sem linha, de quem ele diz.',
            'Whose operations each linked node may pass on ("*": everybody\'s); without a line, whose it says.',
        ),
        "at": (
            "Por endereço, como se reconhece o nó, e o token para ele; veja [links.at] abaixo.",
            "By address, how a node is recognised, and the token for it; see [links.at] below.",
        ),
    },
    "hubs": {
        "database": (
            "Escritório em vários processos: o que têm em comum, um PostgreSQL (postgresql://...) ou Redis (rediss://...).",
            "Head office as several processes: what they share, a PostgreSQL (postgresql://...) or a Redis (rediss://...).",
        ),
        "address": (
            "Onde os outros processos alcançam este (wss://host:porta); sem isto, onde ele escuta.",
            "Where the other processes reach this one (wss://host:port); without it, where it listens.",
        ),
        "lease_s": (
            "Por quanto tempo um processo fica com uma loja sem dar sinal; depois outro assume.",
            "How long a process keeps a store without a sign; then another one takes over.",
        ),
    },
}
"""Section -> setting -> what it means."""
