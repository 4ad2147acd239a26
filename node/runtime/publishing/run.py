"""One list on its way into stores, one after another. It blocks: a command runs it, or a thread of head office."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve

from crdt.classes import define
from node.asking import Unanswered, Unreached
from node.lists.columns import Mapped
from node.lists.listed import Listed
from node.lists.planning import Plan
from node.runtime.publishing.place import KEYBOARD, Place, UnknownType
from node.runtime.publishing.record import Record, Store
from node.runtime.publishing.sending import HALTED, Who


def _nothing(*_: object) -> None:
    return None


@define(kw_only=True)
class Run:
    """data: head office's data directory. record: which is put after each store, unless it is a dry run. sites: which
    stores. place: where each is.

    mapped: called with how the list's columns were taken, for each store. begins: called with each store and what is
    written there. told: called with how many more entities are answered. ended: called with each store, and what was
    done there, or would be. halted: whether somebody wants it to end.
    """

    data: Path
    listed: Listed
    record: Record
    sites: list[str]
    who: Who
    place: Callable[[str], Place]
    dry_run: bool = False
    mapped: Callable[[Mapped], None] = _nothing
    begins: Callable[[str, Plan], None] = _nothing
    told: Callable[[int], None] = _nothing
    ended: Callable[[str, Plan | None], None] = _nothing
    halted: Callable[[], bool] = lambda: False

    def __call__(self) -> None:
        """Whatever is wrong with one store is noted in the record, and the others go on.

        Raises Misfit, Unreached where head office is not there, and OSError where the record cannot be written.
        """
        if not self.dry_run:
            self.record.put(self.data)
        for site in self.sites:
            if self.halted():
                return
            plan = None
            try:
                self.record.stores[site], plan = self._publish(site)
            except Unreached:  # which is no matter of one store
                raise
            except (Unanswered, UnknownType) as error:
                self.record.stores[site] = evolve(self.record.stores[site], wrong=str(error))
            if not self.dry_run:
                self.record.put(self.data)
            self.ended(site, plan)
            if self.record.stores[site].wrong in (KEYBOARD, HALTED):
                return

    def _publish(self, site: str) -> tuple[Store, Plan]:
        place, entity_type = self.place(site), self.listed.options.entity_type
        shown = place.shown(entity_type)
        mapped = self.listed.mapped(shown)
        self.mapped(mapped)
        planner = self.listed.planner(mapped, shown)
        plan = planner.plan(self.listed.found)
        self.begins(site, plan)
        wrong, at = None, dict[str, Any]()
        if not self.dry_run:
            _, wrong = place.send(plan, planner, entity_type, shown, self.who, self.told, self.halted)
            at = {} if wrong else place.log()
        store = Store(
            node=at.get("node_id"),
            epoch=at.get("epoch"),
            seq=at.get("head"),
            created=len(plan.created),
            changed=len(plan.changed),
            unchanged=plan.unchanged,
            refused=len({refusal.line for refusal in plan.refused}),
            wrong=wrong,
        )
        return store, plan
