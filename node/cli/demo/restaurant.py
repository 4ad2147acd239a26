"""The demo's restaurant: a hub and three nodes, the terminals on each, what is told of them and compared."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from rich.markup import escape
from rich.table import Table

from node.cli.demo.nodes import DemoFailed, DemoNode, Snapshot
from node.cli.status import print_links
from node.runtime.terminal import PATIENCE_S, Terminal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

    import httpx

    from node.cli.screen import Screen

POLL_S = 0.01
"""Between two looks at nodes, which tell nobody over HTTP that something changed."""


class Restaurant:
    """Nodes in a star around `central`, and who works on them."""

    def __init__(self, folder: Path, client: httpx.AsyncClient, console: Screen) -> None:
        self.console = console
        self.central = DemoNode("central", folder, client, None)
        self.salao, self.cozinha, self.caixa = (
            DemoNode(name, folder, client, self.central) for name in ("salao", "cozinha", "caixa")
        )
        self.nodes = (self.central, self.salao, self.cozinha, self.caixa)
        self.staff: dict[Terminal, DemoNode] = {}
        self.manager = self._hire("gerencia", "pos", "gerente", self.central)
        self.ana = self._hire("garcom-ana", "waiter", "ana", self.salao)
        self.bia = self._hire("garcom-bia", "waiter", "bia", self.salao)
        self.kitchen = self._hire("tela-cozinha", "kds", "joao", self.cozinha)
        self.counter = self._hire("balcao", "pos", "davi", self.cozinha)
        self.cashier = self._hire("caixa-1", "pos", "carla", self.caixa)
        self._watched: Sequence[Terminal] = ()

    def _hire(self, name: str, kind: str, user: str, node: DemoNode) -> Terminal:
        terminal = Terminal(name, kind, user, partial(self._heard, node))
        self.staff[terminal] = node
        return terminal

    @property
    def terminals(self) -> list[Terminal]:
        return list(self.staff)

    def on(self, *nodes: DemoNode) -> list[Terminal]:
        return [terminal for terminal, node in self.staff.items() if node in nodes]

    # ------------------------------------------------------------------ life

    async def start(self, node: DemoNode, nursery: trio.Nursery) -> float:
        """A node and its terminals; when it printed its address."""
        await node.start()
        started = trio.current_time()
        for terminal in self.on(node):
            await terminal.come_online(node.url, nursery)
        return started

    async def kill(self, node: DemoNode) -> None:
        node.kill()
        for terminal in self.on(node):
            await terminal.cut_off()

    async def close(self) -> None:
        """A clean stop of everything, the hub last. Raises DemoFailed."""
        for terminal in self.staff:
            await terminal.go_offline()
        for node in reversed(self.nodes):
            await node.stop()

    # ------------------------------------------------------------------ telling

    def say(self, portuguese: str, english: str) -> None:
        self.console.print(f"   [bold]{escape(portuguese)}[/bold]\n   [dim]{escape(english)}[/dim]")

    def scene(self, portuguese: str, english: str, *watched: Terminal) -> None:
        """A heading; from here on what these terminals hear is shown."""
        self.console.print(f"\n[bold]{escape(portuguese)}[/bold]\n[dim]{escape(english)}[/dim]")
        self._watched = watched

    def _heard(self, node: DemoNode, terminal: Terminal, message: dict[str, Any]) -> None:
        line = _line(message)
        if line and terminal in self._watched:
            self.console.print(f"[cyan]{terminal.name:>12}[/cyan] [dim]{node.name:<8}[/dim]{line}")

    # ------------------------------------------------------------------ waiting

    async def until(self, unmet: Callable[[], Awaitable[list[str]]]) -> None:
        """Until nothing is left of what `unmet` names. Raises DemoFailed with the rest."""
        deadline = trio.current_time() + PATIENCE_S
        while left := await unmet():
            if trio.current_time() > deadline:
                raise DemoFailed(f"após / after {PATIENCE_S:g} s: " + "; ".join(left))
            await trio.sleep(POLL_S)

    async def linked(self) -> None:
        """Until every node has its link to the hub."""

        async def unmet() -> list[str]:
            return [f"{node.name} has no link" for node in self.nodes[1:] if await node.links_up() != 1]

        await self.until(unmet)

    async def locked(self, entity_id: str, holder: Terminal | None) -> None:
        """Until every node knows that `holder` has the order's lock for the whole store, or that nobody has it."""
        expected = None if holder is None else (holder.name, "store")

        async def unmet() -> list[str]:
            leases = [(node.name, await node.lock("orders", entity_id)) for node in self.nodes]
            known = [(name, lease and (lease["locked_by"], lease["scope"])) for name, lease in leases]
            return [f"lock on {entity_id} at {name}: {found}" for name, found in known if found != expected]

        await self.until(unmet)

    async def quiet(self, *nodes: DemoNode) -> None:
        """Until everything written on these nodes is confirmed and every screen there shows what its node does."""

        async def unmet() -> list[str]:
            return self.unsettled({node: await node.snapshot() for node in nodes})

        await self.until(unmet)

    async def agree(self) -> None:
        """The same for all nodes, and until they do not differ and hold everything that was ever confirmed."""

        async def unmet() -> list[str]:
            shown = {node: await node.snapshot() for node in self.nodes}
            return [*self.unsettled(shown), *self.apart(shown)]

        await self.until(unmet)

    # ------------------------------------------------------------------ comparing

    def unsettled(self, shown: dict[DemoNode, Snapshot]) -> list[str]:
        """What a terminal of these nodes shows otherwise than its node, or has no answer to."""
        wrong = []
        for terminal in self.on(*shown):
            differing = shown[self.staff[terminal]].differs_from_screen(terminal)
            wrong += [f"{terminal.name} shows otherwise: {what}" for what in differing]
            wrong += [f"{terminal.name} has no answer to {operation_id}" for operation_id in terminal.pending]
        return wrong

    def apart(self, shown: dict[DemoNode, Snapshot]) -> list[str]:
        """What a node shows otherwise than the first one, what it lacks of the confirmed, what it holds twice."""
        confirmed = {operation_id for terminal in self.staff for operation_id in terminal.confirmed}
        first = next(iter(shown.values()))
        wrong = []
        for node, snapshot in shown.items():
            wrong += [f"{node.name} differs: {what}" for what in snapshot.differs_from(first)]
            wrong += [f"{node.name} lacks {operation_id}" for operation_id in confirmed - set(snapshot.operations)]
            wrong += [f"{node.name} holds {o} {n} times" for o, n in snapshot.operations.items() if n > 1]
        return wrong

    async def summary(self, still_open: Iterable[str]) -> list[str]:
        """Every screen against its node and every node against the others, as tables; what is wrong.

        still_open: the entities whose conflicts must be open, and no others.
        """
        shown = {node: await node.snapshot() for node in self.nodes}
        wrong = [*self.unsettled(shown), *self.apart(shown)]
        screens = Table("terminal", "nó\nnode", "igual ao nó\nsame as its node", "sem resposta\nunanswered")
        for terminal, node in self.staff.items():
            differing = shown[node].differs_from_screen(terminal)
            screens.add_row(terminal.name, node.name, _yes(differing), str(len(terminal.pending)))
        nodes = Table("nó\nnode", "igual aos outros\nsame as the others", "entidades\nentities")
        for column in ("operações\noperations", "em aberto\nopen", "ligações\nlinks"):
            nodes.add_column(column)
        for node, mine in shown.items():
            differing = [what for other in shown.values() for what in mine.differs_from(other)]
            entities = [conflict["entity_id"] for conflict in mine.conflicts.values()]
            if sorted(entities) != sorted(still_open):
                wrong.append(f"{node.name} has open: {entities}")
            counts = str(len(mine.entities)), str(mine.operations.total())
            nodes.add_row(node.name, _yes(differing), *counts, ", ".join(entities), str(await node.links_up()))
        self.console.print(screens, nodes, sep="\n")
        for node in self.nodes:
            report = await node.get("links")
            if report["quarantine"]["bad"] or report["quarantine"]["waiting"]:
                wrong.append(f"{node.name} has in quarantine: {report['quarantine']}")
            if node is self.central:
                print_links(report, self.console)
        return wrong


def _yes(differing: Sequence[str]) -> str:
    return "sim / yes" if not differing else escape(", ".join(differing))


def _line(message: dict[str, Any]) -> str:
    """What a person would want to read of a message."""
    match message["type"]:
        case "data_sync":
            op = message["operation"]
            data = {k: v for k, v in op["data"].items() if k not in ("id", "version")}
            return f"<- {op['operation']} {op['entity_type']} {op['entity_id']} {escape(str(data))}"
        case "sync_confirmation":
            version, status = message["version"], message["status"]
            return f"[green]ok[/green] {message['operation_id']} v{version} {status}"
        case "sync_conflict":
            c = message["conflict"]
            sides = escape(f"{c['local_data']} x {c['remote_data']}")
            return f"[yellow]{c['type']} ({c['state']})[/yellow] {c['entity_id']}: {sides}"
        case "conflict_resolution":
            return f"[green]{message['state']}[/green]: {message['resolution']}, {message['terminal_id']}"
        case "sync_error":
            return f"[red]{message['code']}[/red] {escape(message['error'])}"
        case "lock_acquired":
            return f"[green]lock[/green] {message['entity_type']} {message['entity_id']} scope: {message['scope']}"
        case "lock_failed":
            return f"[red]lock[/red] {message['entity_type']} {message['entity_id']}: {message['reason']}"
        case "lock_released":
            return f"[green]unlock[/green] {message['entity_type']} {message['entity_id']}"
    return ""
