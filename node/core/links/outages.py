"""Which links stand, and which are down since when and why. An outage is said once, and not each attempt."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field

from crdt.classes import define, frozen
from crdt.hlc import iso
from node.core.latest import keep_latest, put_latest
from node.core.ports import Instant

if TYPE_CHECKING:
    from collections.abc import Iterable

SAID_AFTER_MS = 2_000
"""How long a link is down before that is said: a node that starts again is mostly back before."""

BACK = "the link to %(link)s is back after %(s)d s"
DOWN = "the link to %(link)s is down: %(reason)s; what is written here waits"

MOST = 1_000
"""Most links remembered."""

MOST_PAST = 200
"""Outages remembered that are over."""


@frozen
class Seen:
    """A link at this moment. why: what the last attempt, or the end of the last connection, said."""

    up: bool
    why: str = ""


@define(eq=False)
class Standing:
    """A link since it last came up or went down. said: whether its outage was said."""

    up: bool
    since: Instant
    why: str = ""
    said: bool = False


@frozen
class Event:
    """What is to be said in the log. values: by the names in the text, which then take their place."""

    text: str
    values: Mapping[str, object]

    def __str__(self) -> str:
        return self.text % self.values


@frozen
class Past:
    """An outage of a link that is over, Unix milliseconds."""

    name: str
    from_ms: int
    to_ms: int


@define(eq=False)
class Outages:
    """The links of one node, by what people call them: the address that is dialled, else the other node's id.

    links: each one that was seen since the start.
    ended: id of the other node -> why its last connection ended.
    """

    past: deque[Past] = field(factory=lambda: deque(maxlen=MOST_PAST))
    """Outages that are over, the latest last."""
    links: dict[str, Standing] = field(factory=dict)
    ended: dict[str, str] = field(factory=dict)

    def note_end(self, peer: str, why: str) -> None:
        """A connection to this node has ended."""
        put_latest(self.ended, peer, why, MOST)

    def look(self, now: Instant, seen: Mapping[str, Seen], dialled: Iterable[str] = ()) -> list[Event]:
        """Take what there is at this moment. Returns what is to be said of it.

        seen: every link that is configured, and every other one that is there. dialled: ids of nodes that have the
        name of their address.
        """
        for peer in dialled:
            self.links.pop(peer, None)
        for name, link in seen.items():
            self.links.setdefault(name, Standing(link.up, now))
        events = [event for name in self.links if (event := self._taken(name, seen.get(name), now))]
        keep_latest(self.links, MOST)
        return events

    def _taken(self, name: str, link: Seen | None, now: Instant) -> Event | None:
        standing = self.links[name]
        if link is not None and link.up:
            if standing.up:
                return None
            self.links[name] = Standing(True, now)
            self.past.append(Past(name, standing.since.wall_ms, now.wall_ms))
            return Event(BACK, {"link": name, "s": _seconds(standing.since, now)}) if standing.said else None
        if standing.up:
            standing = self.links[name] = Standing(False, now)
        standing.why = (link.why if link is not None else self.ended.get(name)) or standing.why
        if standing.said or now.mono_ms - standing.since.mono_ms < SAID_AFTER_MS:
            return None
        standing.said = True
        return Event(DOWN, {"link": name, "reason": standing.why or "no answer yet"})

    def report(self, since_ms: int) -> list[dict[str, object]]:
        """Those that were not over by a time, Unix milliseconds, the first one first."""
        over = [(one.from_ms, one.name, iso(one.to_ms)) for one in self.past if one.to_ms > since_ms]
        now = [(standing.since.wall_ms, name, None) for name, standing in self.down().items()]
        found = sorted([*over, *now], key=lambda one: one[0])
        return [{"link": name, "from": iso(from_ms), "to": to} for from_ms, name, to in found]

    def down(self) -> dict[str, Standing]:
        """The links that are down, by name."""
        return {name: standing for name, standing in self.links.items() if not standing.up}


def _seconds(since: Instant, now: Instant) -> int:
    return (now.mono_ms - since.mono_ms) // 1000
