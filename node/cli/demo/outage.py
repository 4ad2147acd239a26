"""The demo's outage: the hub is killed, every node goes on alone, the hub comes back and all of them agree."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from node.cli.demo.nodes import must

if TYPE_CHECKING:
    from node.cli.demo.restaurant import Restaurant
    from node.runtime.terminal import Terminal


class Outage:
    """Scenes 4 and 5, in a restaurant that is open."""

    def __init__(self, restaurant: Restaurant) -> None:
        self.restaurant = restaurant

    async def run(self, nursery: trio.Nursery) -> None:
        """Raises DemoFailed."""
        await self.hub_dies()
        await self.alone()
        await self.hub_returns(nursery)
        await self.loser_is_told()
        await self.drawer_is_frozen()
        await self.customer_is_decided()
        await self.lock_counts_everywhere()

    async def hub_dies(self) -> None:
        r = self.restaurant
        r.scene(
            "4. APAGÃO: a central morre (kill -9) e leva a rede entre os nós. Cada nó continua sozinho.",
            "OUTAGE: the hub dies (kill -9), and the network between the nodes with it. Each goes on alone.",
            r.ana,
            r.bia,
            r.kitchen,
            r.counter,
            r.cashier,
        )
        r.ana.write("customers", "dona-rita", "CREATE", {"name": "Rita", "phone": "1111"})
        r.cashier.write("cashier_operations", "sangria-1", "CREATE", {"type": "withdrawal", "amount": 100.0})
        await r.agree()
        await r.kill(r.central)
        alone = r.nodes[1:]

        async def still_up() -> list[str]:
            return [f"{node.name} has a link to a dead hub" for node in alone if await node.links_up()]

        await r.until(still_up)
        r.say(f"{len(alone)} de {len(alone)} ligações caídas.", f"{len(alone)} of {len(alone)} links down.")

    async def alone(self) -> None:
        r = self.restaurant
        before = sum(len(terminal.confirmed) for terminal in r.terminals)
        r.ana.write("orders", "mesa-12", "UPDATE", {"note": "sem cebola"})
        await r.ana.all_confirmed()  # so that the kitchen's note is the later one
        r.kitchen.write("orders", "mesa-12", "UPDATE", {"note": "acabou a couve"})
        r.ana.write("customers", "dona-rita", "UPDATE", {"phone": "2222"})
        r.cashier.write("customers", "dona-rita", "UPDATE", {"phone": "3333", "email": "rita@exemplo.br"})
        r.cashier.write("cashier_operations", "sangria-1", "UPDATE", {"amount": 150.0})
        r.counter.write("cashier_operations", "sangria-1", "UPDATE", {"amount": 250.0})
        r.cashier.write("products", "feijoada", "UPDATE", {"price": 52.0})
        r.counter.write("products", "feijoada", "UPDATE", {"stock": 7})
        r.manager.write("products", "pudim", "CREATE", {"price": 14.0, "stock": 20})
        granted = await r.bia.acquire("orders", "mesa-3", timeout_ms=120_000)
        must(granted.get("scope") == "local", "a lock without the hub is the node's own", granted)
        r.bia.write("orders", "mesa-3", "CREATE", {"status": "pending", "total": 45.0})
        refused = await r.ana.acquire("orders", "mesa-3")
        must(refused["type"] == "lock_failed", "a local lock excludes the node's other terminals", refused)
        await r.quiet(*r.nodes[1:])
        written = sum(len(terminal.confirmed) for terminal in r.terminals) - before
        r.say(
            f"{written} operações gravadas sem a central; na gerência, sem nó, {len(r.manager.pending)} à espera.",
            f"{written} operations stored without the hub; {len(r.manager.pending)} wait on the manager's terminal.",
        )

    async def hub_returns(self, nursery: trio.Nursery) -> None:
        r = self.restaurant
        r.scene(
            "5. A central volta; tudo se acerta.", "The hub is back; everything comes together.", r.ana, r.manager
        )
        started = await r.start(r.central, nursery)
        await r.agree()
        took = trio.current_time() - started
        r.say(
            f"{took:.2f} s do endereço impresso até os quatro nós e as seis telas de acordo.",
            f"{took:.2f} s from its printed address until four nodes and six screens agree.",
        )
        product = r.manager.screen["products", "feijoada"]
        must((product["price"], product["stock"]) == (52.0, 7), "price and stock merge", product)
        r.say(
            "Feijoada: ficam o preço novo, do caixa, e o estoque novo, do balcão.",
            "One product: the cashier's new price and the counter's new stock both stay.",
        )

    async def loser_is_told(self) -> None:
        r = self.restaurant
        conflict = await _conflict(r.ana, "orders", "settled")
        kept, lost = conflict["local_data"]["note"], conflict["remote_data"]["note"]
        must((kept, lost) == ("acabou a couve", "sem cebola"), "the later note stays", conflict)
        r.say(
            f"Mesa 12: fica {kept!r}, a última; Ana é avisada de que a sua, {lost!r}, não ficou.",
            f"Table 12: {kept!r} stays, the later one; Ana is told that hers, {lost!r}, did not.",
        )

    async def drawer_is_frozen(self) -> None:
        r = self.restaurant
        r.scene(
            "   Sangria mudada em dois caixas: ninguém decide sozinho, fica congelada para a gerência.",
            "   One withdrawal changed at two drawers: nothing is decided by itself, it is frozen.",
            r.cashier,
        )
        written = r.cashier.write("cashier_operations", "sangria-1", "UPDATE", {"amount": 999.0})
        answer = await r.cashier.answer(written)
        must(answer.get("code") == 4010, "a frozen operation stays as it is", answer)
        await r.agree()

    async def customer_is_decided(self) -> None:
        r = self.restaurant
        r.scene(
            "   Cliente mudada em dois nós: o e-mail entrou; o telefone, a gerência decide em um terceiro nó.",
            "   A customer changed on two nodes: the e-mail merged; the manager decides the phone on a third.",
            r.ana,
            r.manager,
        )
        customer = r.ana.screen["customers", "dona-rita"]
        must(customer.get("email") == "rita@exemplo.br", "the e-mail merges", customer)
        conflict_id = (await _conflict(r.manager, "customers", "open"))["id"]
        r.manager.resolve(conflict_id, "accept_remote")

        async def not_closed() -> list[str]:
            closed = [(n.name, (await n.get("conflicts", state="closed"))["conflicts"]) for n in r.nodes]
            return [f"open on {name}" for name, found in closed if conflict_id not in {c["id"] for c in found}]

        await r.until(not_closed)
        for terminal in (r.ana, r.cashier):
            await terminal.until(partial(_told_closed, terminal, conflict_id))
        await r.agree()
        r.say("Conflito fechado nos quatro nós.", "The conflict is closed on all four nodes.")

    async def lock_counts_everywhere(self) -> None:
        r = self.restaurant
        r.scene(
            "   O bloqueio que Bia tomou no apagão é confirmado pela central, e agora vale em todos os nós.",
            "   The lock Bia took during the outage is confirmed by the hub, and now counts on every node.",
            r.bia,
            r.kitchen,
        )
        await r.locked("mesa-3", r.bia)
        refused = await r.kitchen.acquire("orders", "mesa-3")
        must(refused["type"] == "lock_failed", "the hub confirms a local lock", refused)
        await r.bia.release(r.bia.heard("lock_acquired")[-1]["lock_id"])
        await r.locked("mesa-3", None)


def _told_closed(terminal: Terminal, conflict_id: str) -> bool:
    return any(message["conflict_id"] == conflict_id for message in terminal.heard("conflict_resolution"))


async def _conflict(terminal: Terminal, entity_type: str, state: str) -> dict[str, Any]:
    """The last conflict of a type that a terminal is told of. Raises trio.TooSlowError."""

    def matching() -> list[dict[str, Any]]:
        conflicts = (message["conflict"] for message in terminal.heard("sync_conflict"))
        return [c for c in conflicts if (c["entity_type"], c["state"]) == (entity_type, state)]

    await terminal.until(lambda: bool(matching()))
    return matching()[-1]
