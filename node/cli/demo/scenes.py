"""The demo's evening, scene by scene: a service, the outage (outage.py), a power cut, the accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from node.cli.demo.nodes import must
from node.cli.demo.outage import Outage

if TYPE_CHECKING:
    from node.cli.demo.restaurant import Restaurant


class Scenes:
    """Seven scenes in a restaurant whose nodes are not running yet."""

    def __init__(self, restaurant: Restaurant) -> None:
        self.restaurant = restaurant

    async def run(self, nursery: trio.Nursery) -> list[str]:
        """What is wrong in the end; nothing, if the project keeps its promises. Raises DemoFailed."""
        await self.opening(nursery)
        await self.orders()
        await self.stock()
        await self.lock()
        await Outage(self.restaurant).run(nursery)
        await self.power_cut(nursery)
        return await self.accounts()

    async def opening(self, nursery: trio.Nursery) -> None:
        r = self.restaurant
        r.scene(
            "0. Uma central e três nós, cada um em seu processo.", "A hub and three nodes, each a process of its own."
        )
        for node in r.nodes:  # the hub first: the others are told its address
            await r.start(node, nursery)
        await r.linked()
        for node in r.nodes:
            names = ", ".join(terminal.name for terminal in r.on(node))
            r.console.print(f"   {node.name:<8} {node.url}  {names}")

    async def orders(self) -> None:
        r = self.restaurant
        r.scene(
            "1. Dois garçons abrem mesas no nó do salão; a tela da cozinha, em outro nó, vê na hora.",
            "Two waiters open tables on one node; the kitchen's screen, on another, sees them.",
            r.ana,
            r.bia,
            r.kitchen,
        )
        items = [{"id": "i-1", "name": "feijoada", "qty": 2}, {"id": "i-2", "name": "caipirinha", "qty": 2}]
        began = trio.current_time()
        r.ana.write("orders", "mesa-12", "CREATE", {"status": "pending", "items": items, "total": 178.0})
        r.bia.write("orders", "mesa-7", "CREATE", {"status": "pending", "items": items[:1], "total": 98.0})
        await r.kitchen.until(lambda: all(("orders", mesa) in r.kitchen.screen for mesa in ("mesa-12", "mesa-7")))
        took_ms = (trio.current_time() - began) * 1000
        r.say(f"As duas mesas na cozinha após {took_ms:.0f} ms.", f"Both in the kitchen after {took_ms:.0f} ms.")
        r.kitchen.write("orders", "mesa-12", "UPDATE", {"status": "preparing"})
        await r.agree()

    async def stock(self) -> None:
        r = self.restaurant
        r.scene(
            "2. O caixa cadastra um produto; o balcão, em outro nó, vende três.",
            "The cashier adds a product; the counter, on another node, sells three.",
            r.cashier,
            r.counter,
        )
        r.cashier.write("products", "feijoada", "CREATE", {"price": 49.0, "stock": 12})
        await r.counter.until(lambda: ("products", "feijoada") in r.counter.screen)
        r.counter.write("products", "feijoada", "UPDATE", {"stock": 9})
        await r.agree()

    async def lock(self) -> None:
        r = self.restaurant
        r.scene(
            "3. Bia bloqueia a mesa 7: a central concede, e vale em todos os nós até ela soltar.",
            "Bia locks table 7: the hub grants it, and it counts on every node until she lets go.",
            r.bia,
            r.kitchen,
        )
        lease = await r.bia.acquire("orders", "mesa-7")
        await r.locked("mesa-7", r.bia)
        refused = await r.kitchen.acquire("orders", "mesa-7")
        must(refused["type"] == "lock_failed" and refused["locked_by"] == r.bia.name, "a lock taken twice", refused)
        answer = await r.kitchen.answer(r.kitchen.write("orders", "mesa-7", "UPDATE", {"status": "preparing"}))
        must(answer.get("code") == 4009, "a write against a lock is refused", answer)
        await r.bia.release(lease["lock_id"])
        await r.locked("mesa-7", None)
        r.kitchen.write("orders", "mesa-7", "UPDATE", {"status": "preparing"})
        await r.agree()

    async def power_cut(self, nursery: trio.Nursery) -> None:
        r = self.restaurant
        r.scene(
            "6. Falta luz no salão: o nó morre (kill -9) no meio das anotações, e volta.",
            "Power cut: a node is killed (kill -9) in the middle of orders, and comes back.",
        )
        waiters = r.on(r.salao)
        first = {t.write("orders", f"mesa-2{n}", "CREATE", {"total": 10.0 * n}) for t in waiters for n in range(5)}
        await r.ana.until(lambda: bool(first & r.ana.confirmed))
        for number in range(5):
            for terminal in waiters:
                terminal.write("orders", f"mesa-4{number}", "UPDATE", {terminal.user: number})
        await r.kill(r.salao)
        r.kitchen.write("orders", "mesa-12", "UPDATE", {"status": "ready"})
        await r.quiet(r.cozinha)
        r.ana.write("orders", "mesa-12", "UPDATE", {"status": "paid"})
        confirmed = {operation_id for terminal in waiters for operation_id in terminal.confirmed}
        unconfirmed = {operation_id for terminal in waiters for operation_id in terminal.pending}
        await r.start(r.salao, nursery)
        await r.agree()
        order = r.kitchen.screen["orders", "mesa-12"]
        must(order["status"] == "paid", "the later status stays", order)
        again = {m["operation_id"] for t in waiters for m in t.inbox if m.get("status") == "duplicate"}
        r.say(
            f"{len(confirmed)} confirmadas antes do corte, nenhuma perdida; {len(unconfirmed)} sem resposta, "
            f"reenviadas: {len(again)} já estavam gravadas, nenhuma em dobro.",
            f"{len(confirmed)} confirmed before the cut, none lost; {len(unconfirmed)} unanswered, sent again: "
            f"{len(again)} were stored already, none twice.",
        )

    async def accounts(self) -> list[str]:
        r = self.restaurant
        r.scene("7. As contas da noite.", "The evening's accounts.")
        await r.agree()
        wrong = await r.summary(still_open=["sangria-1"])
        if not wrong:
            r.say(
                "Tudo igual em todos os nós e telas; só a sangria espera uma pessoa.",
                "All nodes and screens agree; only the withdrawal waits for a person.",
            )
        return wrong
