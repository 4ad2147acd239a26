"""`comanda demo`: a short service in a restaurant, on a real node, over real sockets.

Orders from two waiters, the kitchen, stock, a customer edited twice at once, a cashier conflict that stays open, a
tablet that loses its Wi-Fi, and the node killed (kill -9) and started again. It ends by comparing every terminal's
screen with the node, and exits 1 if anything is missing.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import httpx
import trio
from rich.console import Console
from rich.table import Table

from node.cli.terminal import Terminal

TYPES = ("orders", "products", "customers", "cashier_operations")


class DemoNode:
    """The node of the demo, in a process of its own."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = 0

    async def start(self) -> None:
        command = [sys.executable, "-m", "node", "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--data", str(self.data), "--id", "loja-1"]
        self._process = await trio.to_thread.run_sync(
            lambda: subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        )
        assert self._process.stdout is not None
        line = await trio.to_thread.run_sync(self._process.stdout.readline)
        found = re.search(r"ws://127\.0\.0\.1:(\d+)", line)
        if found is None:
            raise click.ClickException(f"the node did not start: {line.strip()}")
        self.port = int(found.group(1))

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def kill(self) -> None:
        self._process.kill()
        await trio.to_thread.run_sync(self._process.wait)

    async def stop(self) -> None:
        self._process.terminate()
        await trio.to_thread.run_sync(self._process.wait)

    async def shown(self, entity_type: str) -> dict[str, dict[str, Any]]:
        url = f"http://127.0.0.1:{self.port}/api/v1/entities/{entity_type}"
        async with httpx.AsyncClient() as client:
            entities = (await client.get(url)).json()["entities"]
        return {entity["entity_id"]: entity["data"] for entity in entities}


class Service:
    """The evening, scene by scene."""

    def __init__(self, node: DemoNode, console: Console) -> None:
        self.node, self.console = node, console
        self.ana = Terminal("garcom-ana", "waiter", "ana", self._listen)
        self.bia = Terminal("garcom-bia", "waiter", "bia", self._listen)
        self.kitchen = Terminal("cozinha", "kds", "joao", self._listen)
        self.cashier = Terminal("caixa-1", "pos", "carla", self._listen)
        self.manager = Terminal("caixa-2", "pos", "gerente", self._listen)
        self.all = (self.ana, self.bia, self.kitchen, self.cashier, self.manager)

    def say(self, portuguese: str, english: str) -> None:
        self.console.print(f"\n[bold]{portuguese}[/bold]\n[dim]{english}[/dim]")

    def _listen(self, terminal: Terminal, message: dict[str, Any]) -> None:
        name = f"[cyan]{terminal.name:>10}[/cyan]"
        match message["type"]:
            case "data_sync":
                op = message["operation"]
                data = {k: v for k, v in op["data"].items() if k not in ("id", "version")}
                self.console.print(f"{name} <- {op['operation']} {op['entity_type']} {op['entity_id']} {data}")
            case "sync_confirmation":
                how = message["status"]
                self.console.print(f"{name} [green]ok[/green] {message['operation_id']} v{message['version']} {how}")
            case "sync_conflict":
                c = message["conflict"]
                sides = f"{c['local_data']} x {c['remote_data']}"
                self.console.print(f"{name} [yellow]{c['type']} ({c['state']})[/yellow] {c['entity_id']}: {sides}")
            case "sync_error":
                self.console.print(f"{name} [red]{message['code']}[/red] {message['error']}")

    async def quiet(self) -> None:
        """Until everything written is confirmed and every screen shows what the node shows."""
        for terminal in self.all:
            if terminal.online:
                await terminal.all_confirmed()
        for _ in range(500):
            if not [t for t in self.all if t.online and await self.differs(t)]:
                return
            await trio.sleep(0.02)
        raise trio.TooSlowError

    async def differs(self, terminal: Terminal) -> list[str]:
        """What a terminal shows otherwise than the node (the version aside)."""
        wrong = []
        for entity_type in TYPES:
            node = await self.node.shown(entity_type)
            mine = {i: e for (t, i), e in terminal.entities.items() if t == entity_type}
            for entity_id in {*node, *mine}:
                one = {k: v for k, v in node.get(entity_id, {}).items() if k != "version"}
                other = {k: v for k, v in mine.get(entity_id, {}).items() if k != "version"}
                if one != other or (entity_id in node) != (entity_id in mine):
                    wrong.append(f"{entity_type} {entity_id}")
        return wrong

    # ------------------------------------------------------------------ scenes

    async def run(self) -> bool:
        async with trio.open_nursery() as nursery:
            await self.node.start()
            for terminal in self.all:
                await terminal.come_online(self.node.url, nursery)
            await self.orders()
            await self.stock()
            await self.customer()
            await self.drawer()
            await self.wifi(nursery)
            await self.power(nursery)
            good = await self.summary()
            for terminal in self.all:
                await terminal.go_offline()
            await self.node.stop()
        return good

    async def orders(self) -> None:
        self.say(
            "1. Dois garçons abrem mesas; a cozinha vê na hora.", "Two waiters open tables; the kitchen sees it."
        )
        items = [{"id": "i-1", "name": "feijoada", "qty": 2}, {"id": "i-2", "name": "caipirinha", "qty": 2}]
        self.ana.write("orders", "mesa-12", "CREATE", {"status": "pending", "items": items, "total": 178.0})
        self.bia.write("orders", "mesa-7", "CREATE", {"status": "pending", "items": items[:1], "total": 98.0})
        await self.quiet()
        self.kitchen.write("orders", "mesa-12", "UPDATE", {"status": "preparing"})
        await self.quiet()

    async def stock(self) -> None:
        self.say(
            "2. O caixa cadastra um produto e baixa o estoque.", "The cashier adds a product and lowers its stock."
        )
        self.cashier.write("products", "feijoada", "CREATE", {"price": 49.0, "stock": 12})
        await self.quiet()
        self.cashier.write("products", "feijoada", "UPDATE", {"stock": 9})
        self.manager.write("products", "feijoada", "UPDATE", {"price": 52.0})
        await self.quiet()

    async def customer(self) -> None:
        self.say(
            "3. Dois terminais mudam o mesmo cliente ao mesmo tempo: o e-mail entra, o telefone vira conflito.",
            "Two terminals change one customer at once: the e-mail merges, the phone waits for the manager.",
        )
        self.ana.write("customers", "dona-rita", "CREATE", {"name": "Rita", "phone": "1111", "version": 1})
        await self.quiet()
        self.ana.write("customers", "dona-rita", "UPDATE", {"phone": "2222", "version": 2})
        self.cashier.write(
            "customers", "dona-rita", "UPDATE", {"phone": "3333", "email": "rita@exemplo.br", "version": 2}
        )
        await self.quiet()
        conflict = await self.open_conflict("customers")
        self.manager.resolve(conflict["id"], "accept_remote")
        await self.manager.until(lambda: any(m["type"] == "conflict_resolution" for m in self.manager.inbox))
        await self.quiet()

    async def drawer(self) -> None:
        self.say(
            "4. Duas sangrias diferentes na mesma gaveta: ninguém decide sozinho, fica aberto para a gerência.",
            "Two different withdrawals from one drawer: nothing is decided by itself, it stays open.",
        )
        self.cashier.write("cashier_operations", "sangria-1", "CREATE", {"type": "withdrawal", "amount": 100.0})
        await self.quiet()
        self.cashier.write("cashier_operations", "sangria-1", "UPDATE", {"amount": 150.0, "version": 2})
        self.manager.write("cashier_operations", "sangria-1", "UPDATE", {"amount": 250.0, "version": 2})
        await self.quiet()
        await self.open_conflict("cashier_operations")
        self.cashier.write("cashier_operations", "sangria-1", "UPDATE", {"amount": 999.0})
        await self.quiet()

    async def open_conflict(self, entity_type: str) -> dict[str, Any]:
        """The manager's latest open conflict of a type."""

        def found() -> list[dict[str, Any]]:
            conflicts = [m["conflict"] for m in self.manager.inbox if m["type"] == "sync_conflict"]
            return [c for c in conflicts if c["entity_type"] == entity_type and c["state"] == "open"]

        await self.manager.until(lambda: bool(found()))
        return found()[-1]

    async def wifi(self, nursery: trio.Nursery) -> None:
        self.say(
            "5. O tablet da Bia perde o Wi-Fi. Ela continua anotando; ao voltar, tudo se acerta.",
            "Bia's tablet loses its Wi-Fi. She goes on taking orders; when she is back, both sides catch up.",
        )
        await self.bia.go_offline()
        self.bia.write("orders", "mesa-3", "CREATE", {"status": "pending", "total": 45.0})
        self.bia.write("orders", "mesa-7", "UPDATE", {"status": "ready"})
        self.ana.write("orders", "mesa-12", "UPDATE", {"status": "served"})
        self.kitchen.write("orders", "mesa-7", "UPDATE", {"note": "sem cebola"})
        await self.quiet()
        await self.bia.come_online(self.node.url, nursery)
        await self.quiet()

    async def power(self, nursery: trio.Nursery) -> None:
        self.say(
            "6. Falta luz: o nó morre (kill -9) e volta. Nada confirmado se perde.",
            "Power cut: the node is killed (kill -9) and comes back. Nothing confirmed is lost.",
        )
        for number in range(5):
            self.ana.write("orders", f"mesa-2{number}", "CREATE", {"status": "pending", "total": 10.0 * number})
        await self.node.kill()
        for terminal in self.all:
            await terminal.until(lambda t=terminal: not t.online)  # type: ignore[misc]
        self.ana.write("orders", "mesa-12", "UPDATE", {"status": "paid"})
        await self.node.start()
        for terminal in self.all:
            await terminal.come_online(self.node.url, nursery)
        await self.quiet()

    async def summary(self) -> bool:
        """Every screen against the node."""
        table = Table(title="Todas as telas contra o nó / every screen against the node")
        for column in ("terminal", "igual ao nó / same as the node", "não confirmado / unconfirmed"):
            table.add_column(column)
        good = True
        for terminal in self.all:
            wrong = await self.differs(terminal)
            good = good and not wrong and not terminal.pending
            table.add_row(terminal.name, "sim / yes" if not wrong else ", ".join(wrong), str(len(terminal.pending)))
        self.console.print()
        self.console.print(table)
        async with httpx.AsyncClient() as client:
            base = f"http://127.0.0.1:{self.node.port}/api/v1"
            still_open = (await client.get(f"{base}/conflicts", params={"state": "open"})).json()["conflicts"]
            audit = (await client.get(f"{base}/audit")).json()["entries"]
        self.say(
            f"{len(audit)} registros na auditoria; em aberto: {[c['entity_id'] for c in still_open]}",
            f"{len(audit)} audit entries; still open for a person: {[c['entity_id'] for c in still_open]}",
        )
        return good and [c["entity_id"] for c in still_open] == ["sangria-1"]


@click.command()
@click.option(
    "--data", type=click.Path(path_type=Path), help="Diretório (novo). / A new data directory.  [temporary]"
)
def demo(data: Path | None) -> None:
    """Um serviço curto: offline, mescla e conflito em menos de um minuto. / A short service, in under a minute."""
    console = Console(highlight=False, soft_wrap=True)

    async def run(folder: Path) -> bool:
        return await Service(DemoNode(folder), console).run()

    if data is not None:
        if data.exists() and any(data.iterdir()):
            raise click.ClickException(f"{data} não está vazio / is not empty")
        good = trio.run(run, data)
    else:
        with tempfile.TemporaryDirectory(prefix="comanda-demo-") as temporary:
            good = trio.run(run, Path(temporary, "data"))
    if not good:
        raise click.ClickException("as telas não batem com o nó / the screens differ from the node")
