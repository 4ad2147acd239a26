"""The file that `comanda init` writes: every setting with its default and what it means, and what we advise."""

from __future__ import annotations

from attrs import fields

from node.config.comments import COMMENTS
from node.config.sections import DEFAULT_TERMINALS, Config

ADVICE = "# CONSELHO / ADVICE"
"""What a comment begins with where the lines below it are no default, up to the next empty line."""

TERMINALS = (
    "# O que cada tipo de terminal pode; um token pode mais ou menos.",
    "# What each terminal type may; a token may do more or less.",
    "# write: o que grava. / what it writes.",
    "# resolve: de que decide conflitos; sem ele, o que grava. / whose conflicts it decides; else what it writes.",
    '# read: o que recebe e lê; também / what it is sent and reads; also: "audit", "metrics".',
    '#   Cozinha só com pedidos / a kitchen with orders only: kds = { read = ["orders"] }',
    '# operate: pela rede / over the network: "archive", "backup", "keys", "publish", "quarantine", "tokens".',
    "[terminals]",
)

ENTITIES = f"""
# Endereços em que o nó escuta, em vez do de [node]; tls: com o certificado de [tls], se há um.
# Where the node listens, instead of the address in [node]; tls: with the certificate of [tls], where there is one.
# [[listen]]
# host = "127.0.0.1"
# port = 8001
# tls = false
# [[listen]]
# host = "10.0.0.5"

# Um nó que este disca; `comanda join` escreve isto. / A node that this one dials; `comanda join` writes this.
# [links.at."wss://hub.local:8001"]
# token: o que este nó mostra a esse, e a nenhum outro. / what this node shows to that one, and to no other.
# token = "cmd_..."
# ca: as autoridades do certificado dele (PEM); sem isto, as do sistema. / the authorities of its certificate; without
#   it the system's.
# ca = "hub-ca.pem"
# certificates: em vez disso, as impressões digitais (SHA-256) dele. / instead, its fingerprints (SHA-256).
# certificates = ["0f1e..."]
# node_key: a impressão digital da chave do nó (`comanda keys list`). / the fingerprint of the node's signing key.
# node_key = "1a2b-..."
# own_certificate, own_key: o que se mostra a ele, se pede um certificado; sem isto, o de [tls]. / what is shown to it
#   where it asks for a certificate; without it that of [tls].
# own_certificate = "hub-client.pem"
# own_key = "hub-client.key"

# ---- Tipos de entidade: o que é um só valor, e o que soma. / Entity types: what is one value, and what adds up.
# kind: "register" (um valor / one value), "counter" (soma / adds up),
#   "keyed_list" (itens com `id` / items with `id`), "progress" (estado que avança / a status that goes forward).

# Padrão: itens e pagamentos se juntam um a um. / Default: items and payments merge one by one.
# key: o campo que identifica o item. / the field that names an item.
[entities.orders.fields.items]
kind = "keyed_list"
key = "id"

{ADVICE}: cada campo de um item se junta por si; duas cervejas a mais são duas.
# Each field of an item merges by itself; two more beers are two.
[entities.orders.fields.items.fields]
quantity = "counter"

{ADVICE}: um item pronto não volta a enviado. / A line that is ready does not go back to sent.
[entities.orders.fields.items.fields.status]
kind = "progress"
ranks = ["pending", "sent", "preparing", "ready", "served", "delivered", "cancelled"]
lower = ["pos"]

[entities.orders.fields.payments]
kind = "keyed_list"

{ADVICE}: um pedido não volta atrás sozinho. De dois estados escritos ao mesmo tempo fica o mais avançado.
# An order does not go back by itself: of two statuses written at once the more advanced one stays.
# ranks: os estados, do menos ao mais avançado. / the statuses, the least advanced first.
# lower: os tipos de terminal que podem voltar um estado. / the terminal types that may take a status back.
# final: assim, só quem está em `lower` exclui o pedido, tendo visto que está assim.
#   So far advanced, an order is deleted only by the types in `lower`, having seen that it is.
# Sem esta regra fica o último escrito, também sobre um pago. / Without it the last write stays, also over a paid one.
[entities.orders.fields.status]
kind = "progress"
ranks = ["pending", "preparing", "ready", "served", "delivered", "cancelled", "paid"]
lower = ["pos"]
final = ["paid"]

{ADVICE}: o que dois caixas recebem de um pedido soma. / What two tills take of one order adds up.
[entities.orders.fields.amount_paid]
kind = "counter"

# Padrão: vendas e entradas somam. / Default: sales and deliveries add up.
[entities.products.fields]
stock = "counter"

{ADVICE}: pontos ganhos em dois lugares somam. / Points that are earned in two places add up.
[entities.customers.fields]
points = "counter"

# groups: campos que valem juntos, como um só. / fields that are one value together.
# [entities.orders]
# groups = [["total", "discount"]]

# Tipos além dos documentados, ou os documentados com outras regras. / Types besides the documented ones, or those
# with other rules.
# [entities.reservations]
# priority: quem é enviado antes: "critical", "high", "medium", "low". / what is sent first.
# priority = "medium"
# requires_lock: só grava quem tem a trava, se alguém a tem. / if somebody holds its lock, nobody else writes.
# requires_lock = false
# conflict_resolution: "last_write_wins", "merge_changes", "merge_non_conflicting" ou / or "manual_resolution".
# conflict_resolution = "merge_changes"
# audit_required: os monitores recebem `audit_log`; a auditoria em si há sempre.
#   Monitors are sent `audit_log`; the audit itself is always kept.
# audit_required = true
# fields: como acima, em uma linha. / as above, in one line.
# fields = {{ seats = "counter", guests = "keyed_list" }}

# Somas que têm de fechar (`comanda verify`). / Sums that must come out (`comanda verify`).
# [[conservation]]
# name: como a regra se chama. / what the rule is called.
# name = "drawer"
# of: o tipo cujas quantias somam. / the type whose amounts are added.
# of = "cashier_operations"
# amount: o campo com a quantia. / the field with the amount.
# amount = "amount"
# sign: o campo que diz se soma (plus), subtrai (minus) ou nada (zero). / the field that says which way it counts.
# sign = {{ field = "type", plus = ["opening", "deposit", "sale"], minus = ["withdrawal"], zero = ["count"] }}
# group_by: o campo que separa as somas. / the field by which the sums are told apart.
# group_by = "drawer_id"
# equals: o número, ou o tipo e campo, que a soma dá. / the number, or the type and field, that the sum is.
# equals = "drawers.balance"
"""


def example_toml() -> str:
    """A commented configuration: the defaults, and marked as such what we advise (`comanda init` writes it)."""
    defaults = Config()
    lines = [
        "# Configuração do Comanda. Cada linha mostra o valor padrão, menos as marcadas CONSELHO; apague o que não",
        "# quiser mudar. `comanda serve` lê este arquivo do diretório atual ou do de dados.",
        "# Comanda's configuration. Every line shows the default but those marked ADVICE; delete what you do not",
        "# want to change. `comanda serve` reads this file from the current directory or from the data directory.",
        "# No ambiente, `[node] port` é COMANDA_NODE_PORT, que vence este arquivo; veja `comanda config show`.",
        "# In the environment `[node] port` is COMANDA_NODE_PORT, which wins over this file: `comanda config show`.",
    ]
    for name, comments in COMMENTS.items():
        section = getattr(defaults, name)
        lines += ["", f"[{name}]"]
        for attribute in fields(type(section)):
            value = getattr(section, attribute.name)
            lines += _comment(*comments[attribute.name])
            lines.append(f"# {attribute.name} = " if value is None else f"{attribute.name} = {_toml(value)}")
    lines += ["", *TERMINALS]
    lines += [f"{name} = {_toml(given.given())}" for name, given in DEFAULT_TERMINALS.items()]
    return "\n".join(lines) + "\n" + ENTITIES


def _comment(pt: str, en: str) -> list[str]:
    together = f"# {pt} / {en}"
    return [together] if len(together) <= 100 else [f"# {pt}", f"# {en}"]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(item)}" for name, item in value.items()) + "}"
    return f'"{value}"' if isinstance(value, str) else str(value)
