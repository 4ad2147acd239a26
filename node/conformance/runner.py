"""Try rules against a node, one after the other, and say how each ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from attrs import frozen

from node.conformance.broken import Broken, NotTried
from node.conformance.rule import RULES, Kind, Need, Rule
from node.conformance.rules import TOPICS
from node.conformance.scene import Scene
from node.conformance.terminal import Line
from node.conformance.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from node.conformance.subject import Subject

RULE_S = 120.0
"""Longest that one rule may take."""

LINES_SHOWN = 12
PASSED, FAILED, NOT_TRIED = "passed", "failed", "not tried"


@frozen
class Outcome:
    """How a rule ended. note: what was seen, or why it was not tried. expected, came: of a rule that failed.
    transcript: the last things sent and received in it, oldest first."""

    rule: Rule
    state: str
    note: str = ""
    expected: str = ""
    came: str = ""
    transcript: tuple[Line, ...] = ()

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "rule": self.rule.name,
            "heading": self.rule.heading,
            "says": self.rule.says,
            "kind": self.rule.kind.value,
            "outcome": self.state,
            "note": self.note,
        }
        if self.state == FAILED:
            found |= {"expected": self.expected, "came": self.came}
            found["sent"] = [f"{line.who}: {line.text}" for line in self.transcript if line.way == ">"]
            found["received"] = [f"{line.who}: {line.text}" for line in self.transcript if line.way == "<"]
        return found


def chosen(only: str = "", *, additions: bool = False) -> list[Rule]:
    """The rules whose name contains the text, a topic after the other. additions: those beside the document too."""
    topics = [module.__name__.rpartition(".")[2] for module in TOPICS]
    found = [rule for rule in RULES.values() if only in rule.name and (additions or rule.kind is not Kind.ADDITION)]
    return sorted(found, key=lambda rule: topics.index(rule.name.partition(".")[0]))


async def run(
    subject: Subject, rules: Iterable[Rule], heard: Callable[[Outcome], None], *, long: bool = False
) -> list[Outcome]:
    """Try them in order. heard: called with each outcome as it comes."""
    outcomes = []
    for rule in rules:
        outcome = await try_rule(subject, rule, long=long)
        heard(outcome)
        outcomes.append(outcome)
    return outcomes


async def try_rule(subject: Subject, rule: Rule, *, long: bool = False) -> Outcome:
    """Try one rule. long: those that take their time too."""
    missing = _missing(subject, rule, long)
    if missing:
        return Outcome(rule, NOT_TRIED, missing)
    outcome = Outcome(rule, FAILED)
    async with trio.open_nursery() as nursery:
        scene = Scene(subject, nursery)
        outcome = await _tried(scene, rule)
        await scene.end()
        nursery.cancel_scope.cancel()
    return outcome


def _missing(subject: Subject, rule: Rule, long: bool) -> str:
    if Need.START in rule.needs and subject.process is None:
        return "needs --start"
    if Need.TOKEN in rule.needs and subject.token is None:
        return "needs --token"
    return "needs --long" if Need.LONG in rule.needs and not long else ""


async def _tried(scene: Scene, rule: Rule) -> Outcome:
    try:
        with trio.fail_after(RULE_S):
            return Outcome(rule, PASSED, await rule.check(scene) or "")
    except NotTried as why:
        return Outcome(rule, NOT_TRIED, str(why))
    except Broken as broken:
        expected, came = broken.expected, broken.came
    except Refused as refused:
        expected, came = "a connection, and an answer", refused
    except trio.TooSlowError:
        expected, came = f"an end within {RULE_S:g} s", "none"
    except Exception as error:  # an answer of a shape that no rule thought of must not end the suite
        expected, came = "an answer of the documented shape", f"{type(error).__name__}: {error}"
    return Outcome(rule, FAILED, "", expected, str(came), tuple(scene.transcript)[-LINES_SHOWN:])
