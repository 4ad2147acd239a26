"""A list is written where it belongs: at a node, or in one of the stores that head office keeps."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import trio
from attrs import evolve

from crdt.classes import frozen
from node.asking import Unanswered, ask_here, pages
from node.lists.planning import shown_of
from node.runtime.publishing.sending import Interrupted, Sender
from node.runtime.terminal import PATIENCE_S, Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from node.lists.planning import Plan, Planner, Shown
    from node.runtime.publishing.sending import Who

AGAIN_S = 0.2
KEYBOARD = "interrompido / interrupted"


class UnknownType(Exception):
    """The entity type is none there; the text says which are."""


@frozen
class Place:
    """asks: what a path, with its query, is answered with; raises Unanswered, or what the caller's own raises.
    reach: brings a terminal online there. realm: None for the node's own."""

    asks: Callable[[str], dict[str, Any]]
    reach: Callable[[Terminal, trio.Nursery], Awaitable[None]]
    realm: str | None = None

    def shown(self, entity_type: str) -> Shown:
        """What is shown there of a type. Raises UnknownType, and as `asks` does."""
        policies = self.asks(self.asked("/api/v1/policies"))["policies"]
        counters = next((policy["counters"] for policy in policies if policy["entity_type"] == entity_type), None)
        if counters is None:
            known = ", ".join(policy["entity_type"] for policy in policies)
            raise UnknownType(f"tipo desconhecido / unknown entity type {entity_type}: {known}")
        path = f"/api/v1/entities/{quote(entity_type, safe='')}"
        epoch = None if self.realm is None else self.log()["epoch"]
        return evolve(shown_of(pages(self.asks, path, deleted=1, **self._query()), counters), epoch=epoch)

    def log(self) -> dict[str, Any]:
        """The log that is read and written: `node_id`, `epoch`, `head`. Raises as `asks` does where nobody has
        the store for a while."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.asks(self.asked("/api/v1/links"))
            except Unanswered:
                if time.monotonic() > until_s:
                    raise
            time.sleep(AGAIN_S)

    def _still(self, shown: Shown) -> bool:
        """Whether what is written goes where it was read: rows of another process's log have other numbers."""
        return shown.epoch is None or self.log()["epoch"] == shown.epoch

    def asked(self, path: str) -> str:
        """A path, of this place."""
        return f"{path}?{urlencode(query)}" if (query := self._query()) else path

    def _query(self) -> dict[str, str]:
        """What is written is planned on what its owner shows, not on a copy."""
        return {} if self.realm is None else {"realm": self.realm, "owner": "1"}

    def send(
        self,
        plan: Plan,
        planner: Planner,
        entity_type: str,
        shown: Shown,
        who: Who,
        told: Callable[[int], None] = lambda count: None,
        halted: Callable[[], bool] = lambda: False,
    ) -> tuple[dict[str, int], str | None]:
        """What became of the plan's entities, by status, and why it stopped, if it did.

        In the plan is left what was done, and what the node refused is added. told, halted: as `Sender` takes them.
        """
        stopped = None
        sender = Sender(self.reach, self.realm, who, told, partial(self._still, shown), halted)
        try:
            sender.send(entity_type, plan.created, plan.changed, shown.seq)
        except Interrupted as error:
            stopped = str(error)
        except (KeyboardInterrupt, BaseExceptionGroup) as error:
            if not _is_interrupt(error):
                raise
            stopped = KEYBOARD
        done = sender.outcome.done
        plan.created = [entry for entry in plan.created if entry.entity_id in done]
        plan.changed = [entry for entry in plan.changed if entry.entity_id in done]
        for entry, message in sender.outcome.refused:
            reason = " ".join(str(message[name]) for name in ("code", "error", "reason") if message.get(name))
            plan.refused.append(planner.refused(entry.line, entry.data, message.get("where") or "", reason))
        plan.refused.sort(key=lambda refusal: refusal.line)
        return sender.outcome.statuses, stopped


def _is_interrupt(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_is_interrupt, error.exceptions))
    return isinstance(error, KeyboardInterrupt)


def of_data(directory: Path, realm: str | None = None) -> Place:
    """A store of head office, whose data directory this is, through its control socket."""

    async def reach(terminal: Terminal, nursery: trio.Nursery) -> None:
        await terminal.come_online("ws://localhost", nursery, control=directory)

    return Place(partial(ask_here, directory), reach, realm)


def of_owner(directory: Path, realm: str) -> dict[str, Any]:
    """What the owner of a store says of its links, asked once. Raises Unanswered."""
    place = of_data(directory, realm)
    return place.asks(place.asked("/api/v1/links"))
