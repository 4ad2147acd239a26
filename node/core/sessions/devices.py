"""Two devices under one terminal id, which connect by turns: what one of them took counts as shown to both.

A terminal's cursor says what was taken, and not by which device. A device is told from another by its address and its
program. One that comes back after another was there shows that there are two: a tablet that got another address does
not get the earlier one again so soon. From then on each is sent everything when it takes over, so that none lacks
what the other took.

Two that look alike, two tabs of one browser for example, cannot be told apart. While both are there, one of them is
refused over and over beside the other; that shows it, and whichever comes next is sent everything. Two that look
alike and are never there together are not noticed: they are one device that connects again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from attrs import field

from crdt.classes import define

logger = logging.getLogger("comanda.core")

ALIKE = 5
"""After so many refusals beside a live connection of a device that looks the same, it counts as two. One may mean
that the device took its own connection for dead."""

REMEMBERED = 3
"""Latest devices of one terminal."""

MOST = 10_000
"""Most terminals whose devices are remembered, the latest."""


@define(eq=False)
class Devices:
    """The latest devices of each terminal, and the terminals that several share. All of it since the start."""

    shared: dict[str, Sequence[str]] = field(factory=dict)
    """Terminal -> its devices."""
    _latest: dict[str, list[str]] = field(factory=dict)
    _refusals: dict[str, int] = field(factory=dict)
    """Terminal -> how often its device was refused beside a connection of a device that looks the same."""

    def came(self, terminal_id: str, device: str) -> bool:
        """A terminal connects from a device. Returns whether it has to be sent everything: another one took what
        this one lacks."""
        latest = self._latest.pop(terminal_id, [])
        self._latest[terminal_id] = latest
        while len(self._latest) > MOST:
            gone = next(iter(self._latest))
            del self._latest[gone]
            self.shared.pop(gone, None)
            self._refusals.pop(gone, None)
        if latest[-1:] == [device]:
            return self._refusals.get(terminal_id, 0) >= ALIKE
        another = bool(latest)
        if device in latest:
            self._share(terminal_id, [*latest])
            latest.remove(device)
        latest.append(device)
        del latest[:-REMEMBERED]
        return another and terminal_id in self.shared

    def refused(self, terminal_id: str, device: str) -> None:
        """A device was refused, as the terminal is connected: from another device, if this is another one."""
        latest = self._latest.get(terminal_id, [])
        if latest and latest[-1] != device:
            self._share(terminal_id, [*latest, device])
        elif latest:
            self._refusals[terminal_id] = self._refusals.get(terminal_id, 0) + 1
            if self._refusals[terminal_id] == ALIKE:
                self._share(terminal_id, [*latest, f"{device} (another one)"])

    def _share(self, terminal_id: str, devices: Sequence[str]) -> None:
        if terminal_id not in self.shared:
            logger.warning(
                "several devices connect as %(terminal_id)s: %(devices)s; give each an id of its own",
                {"terminal_id": terminal_id, "devices": devices},
            )
        self.shared[terminal_id] = tuple(dict.fromkeys(devices))
