"""The file that `comanda init` writes: every setting with its default, and what it means."""

from __future__ import annotations

from attrs import fields

from node.config.sections import DEFAULT_TERMINALS, Config


def example_toml() -> str:
    """A commented configuration that says what the defaults are (`comanda init` writes it)."""
    defaults = Config()
    lines = [
        "# Configuração do Comanda. Cada linha mostra o valor padrão; apague o que não quiser mudar.",
        "# Comanda's configuration. Every line shows the default; delete what you do not want to change.",
    ]
    for name in ("node", "limits", "time", "http", "links"):
        section = getattr(defaults, name)
        lines += ["", f"[{name}]"]
        for attribute in fields(type(section)):
            value = getattr(section, attribute.name)
            shown = _toml(value)
            lines.append(f"{attribute.name} = {shown}" if value is not None else f"# {attribute.name} = ")
    lines += ["", "# O que cada tipo de terminal pode gravar. / What each terminal type may write.", "[terminals]"]
    lines += [f"{name} = {_toml(writes)}" for name, writes in DEFAULT_TERMINALS.items()]
    lines += [
        "",
        "# Um pedido não volta atrás sozinho: de dois estados escritos ao mesmo tempo fica o mais avançado, e o que",
        "# está pago continua pago. Só os tipos em `lower` podem voltar. Sem esta regra fica o último escrito, como",
        "# diz o documento do protocolo.",
        "# An order does not go back by itself: of two statuses written at once the more advanced one stays, and",
        "# what is paid stays paid. Only the types in `lower` may go back. Without this rule the last write stays.",
        "[entities.orders.fields.status]",
        'kind = "progress"',
        'ranks = ["pending", "preparing", "ready", "served", "delivered", "cancelled", "paid"]',
        'lower = ["pos"]',
        'final = ["paid"]',
        "",
        "# Campos que valem juntos, como um só. / Fields that are one value together.",
        "# [entities.orders]",
        '# groups = [["total", "discount"]]',
        "",
        "# Tipos de entidade além dos documentados. / Entity types besides the documented ones.",
        "# [entities.reservations]",
        '# priority = "medium"',
        "# requires_lock = false",
        '# conflict_resolution = "merge_changes"',
        '# fields = { seats = "counter", guests = "keyed_list" }',
        "",
        "# Somas que têm de fechar (`comanda verify`). / Sums that must come out (`comanda verify`).",
        "# [[conservation]]",
        '# name = "drawer"',
        '# of = "cashier_operations"',
        '# amount = "amount"',
        '# sign = { field = "type", plus = ["opening", "deposit", "sale"], minus = ["withdrawal"] }',
        '# group_by = "drawer_id"',
        '# equals = "drawers.balance"',
        "",
    ]
    return "\n".join(lines)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)
