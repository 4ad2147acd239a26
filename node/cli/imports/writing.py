"""A list is written where it belongs: at a node, or in one of the stores that head office keeps."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import click
from attrs import evolve

from crdt.classes import frozen
from node.cli.asking import ask, pages
from node.cli.client import PATIENCE_S
from node.cli.imports.planning import shown_of
from node.cli.imports.sending import Interrupted, Sender
from node.cli.options import progress_bars

if TYPE_CHECKING:
    from node.cli.imports.planning import Plan, Planner, Shown
    from node.cli.imports.sending import Who

AGAIN_S = 0.2
KEYBOARD = "interrompido / interrupted"


@frozen
class Place:
    """url: as `node_option` gives it. realm: None for the node's own."""

    url: str
    realm: str | None = None

    def shown(self, entity_type: str) -> Shown:
        """What is shown there of a type. Raises ClickException."""
        policies = ask(self.url, self.asked("/api/v1/policies"))["policies"]
        counters = next((policy["counters"] for policy in policies if policy["entity_type"] == entity_type), None)
        if counters is None:
            known = ", ".join(policy["entity_type"] for policy in policies)
            raise click.ClickException(f"tipo desconhecido / unknown entity type {entity_type}: {known}")
        path = f"/api/v1/entities/{quote(entity_type, safe='')}"
        epoch = None if self.realm is None else self._log()
        return evolve(shown_of(pages(self.url, path, deleted=1, **self._query()), counters), epoch=epoch)

    def _log(self) -> str:
        """The log that is read and written. Raises ClickException where nobody has the store for a while."""
        until_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                return str(ask(self.url, self.asked("/api/v1/links"))["epoch"])
            except click.ClickException:
                if time.monotonic() > until_s:
                    raise
            time.sleep(AGAIN_S)

    def _still(self, shown: Shown) -> bool:
        """Whether what is written goes where it was read: rows of another process's log have other numbers."""
        return shown.epoch is None or self._log() == shown.epoch

    def asked(self, path: str) -> str:
        """A path, of this place."""
        return f"{path}?{urlencode(query)}" if (query := self._query()) else path

    def _query(self) -> dict[str, str]:
        """What is written is planned on what its owner shows, not on a copy."""
        return {} if self.realm is None else {"realm": self.realm, "owner": "1"}

    def send(
        self, plan: Plan, planner: Planner, entity_type: str, shown: Shown, who: Who
    ) -> tuple[dict[str, int], str | None]:
        """What became of the plan's entities, by status, and why it stopped, if it did.

        In the plan is left what was done, and what the node refused is added.
        """
        stopped = None
        with progress_bars() as progress:
            task = progress.add_task(self.realm or "import", total=len(plan.created) + len(plan.changed))
            told, still = partial(progress.advance, task), partial(self._still, shown)
            sender = Sender(self.url, self.realm, who, told, still)
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
