"""What a rule is, and how one is written down."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from node.conformance.scene import Scene

    Check = Callable[[Scene], Awaitable[str | None]]


class Kind(Enum):
    """What a rule rests on."""

    STATED = "stated"
    """The protocol document says so."""

    READING = "reading"
    """The document leaves it open; every reasonable reading passes, and the note says which was seen."""

    FIGURE = "figure"
    """One of the document's expected figures: true of a loopback connection, not of a slow network."""

    ADDITION = "addition"
    """Comanda's own, beside the document; tried with --additions only."""


class Need(Enum):
    """What a rule cannot be tried without."""

    START = "start"
    """A node that can be killed and started again."""

    TOKEN = "token"
    """A node that wants tokens, and one of them."""

    LONG = "long"
    """Patience: it takes half a minute, or keeps the node busy."""


@frozen
class Rule:
    """name: `topic.rule`, stable. heading: the document's. says: the rule, in one sentence."""

    name: str
    heading: str
    says: str
    kind: Kind
    needs: frozenset[Need]
    check: Check


RULES: dict[str, Rule] = {}
"""Every rule by its name, once `node.conformance.rules` is imported."""


def rule(
    name: str, heading: str, says: str, *, kind: Kind = Kind.STATED, needs: tuple[Need, ...] = ()
) -> Callable[[Check], Check]:
    """Write a rule down. Its function raises Broken or NotTried; what it returns is a note on what was seen."""

    def written(check: Check) -> Check:
        if name in RULES:
            raise ValueError(f"two rules {name}")
        RULES[name] = Rule(name, heading, says, kind, frozenset(needs), check)
        return check

    return written
