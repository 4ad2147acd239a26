"""Programs that send a whole entity, as it was on the screen or in a form, in order to change one field of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

from node.simulation.authors import Authors
from node.simulation.intentions import REGISTERS, Edit
from node.simulation.terminal import Data

if TYPE_CHECKING:
    from node.simulation.terminal import Terminal

FORMS = (("orders", "ficha-0"), ("customers", "ficha-0"))


@frozen
class Opened:
    """A form as somebody opened it. seen: what its author had read by then. life: its terminal's, and how often that
    had moved."""

    data: Data
    seen: frozenset[str]
    life: tuple[int, int]


@define(eq=False)
class Forms:
    """The forms that people have open, by terminal and entity."""

    authors: Authors
    _opened: dict[tuple[str, tuple[str, str]], Opened] = field(factory=dict)
    _number: int = 0

    def fill(self, terminal: Terminal) -> None:
        """Change a field, with the rest of the entity or alone. With a version the rest may be of a while ago. A form
        of what was not there yet has none, so nothing would tell when it was opened.
        """
        authors, rng = self.authors, self.authors.rng
        key = rng.choice(FORMS)
        if not authors.may_write(terminal, key[0]) or not authors.knows(terminal):
            return
        name = rng.choice(REGISTERS)
        if any(authors.flickers(terminal, key, other) for other in REGISTERS):
            return
        now = Opened(dict(terminal.screen.get(key, {})), authors.looked_at(terminal), (terminal.life, terminal.came))
        opened = self._opened.pop((terminal.name, key), now)
        if opened.life != now.life or rng.random() < 0.4:
            opened = now
        if authors.versions and rng.random() < 0.3 and "version" in now.data:
            self._opened[terminal.name, key] = now
            return  # it is filled in later
        self._number += 1
        value = f"f-{self._number}"
        version = opened.data.pop("version", None)
        whole = bool(opened.data) and rng.random() < 0.7
        data: Data = {**opened.data, name: value} if whole else {name: value}
        if authors.versions and isinstance(version, int):
            data["version"] = version + 1
        kind = "UPDATE" if opened.data or rng.random() < 0.5 else "CREATE"
        authors.edit(terminal, kind, data, Edit(key, name, value, opened.seen, whole))
