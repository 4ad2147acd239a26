"""Small expectations. Each raises Broken with what should have come, and what came."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

from node.conformance.broken import Broken

Value = TypeVar("Value")
Message = dict[str, Any]


def that(holds: object, expected: str, came: object = None) -> None:
    if not holds:
        raise Broken(expected, came)


def given(value: Value | None, expected: str, came: object = "nothing") -> Value:
    """The value, which must be there."""
    if value is None:
        raise Broken(expected, came)
    return value


def has(message: Any, *names: str) -> None:
    """Every one of these fields."""
    that(isinstance(message, dict), f"an object with {', '.join(names)}", message)
    missing = [name for name in names if name not in message]
    that(not missing, f"the fields {', '.join(names)}; missing: {', '.join(missing)}", message)


def holds(message: Any, **fields: object) -> None:
    """Every one of these fields, with these values."""
    has(message, *fields)
    wrong = {name: message[name] for name, value in fields.items() if not same(message[name], value)}
    that(not wrong, f"{fields}", wrong)


def same(came: object, wanted: object) -> bool:
    """Equal as JSON values are: 10 and 10.0 are, true and 1 are not."""
    if isinstance(came, bool) is not isinstance(wanted, bool):
        return False
    if isinstance(came, dict) and isinstance(wanted, dict):
        return came.keys() == wanted.keys() and all(same(came[name], wanted[name]) for name in wanted)
    if isinstance(came, list) and isinstance(wanted, list):
        return len(came) == len(wanted) and all(map(same, came, wanted))
    return came == wanted


def number(value: object, what: str) -> float:
    that(isinstance(value, int | float) and not isinstance(value, bool), f"{what}: a number", value)
    return float(value)  # type: ignore[arg-type]


def integer(value: object, what: str) -> int:
    that(isinstance(value, int) and not isinstance(value, bool), f"{what}: an integer", value)
    return int(value)  # type: ignore[call-overload,no-any-return]


def word(value: object, what: str) -> str:
    that(isinstance(value, str) and value, f"{what}: a text", value)
    return str(value)


def seconds(value: object, what: str) -> float:
    """Seconds since the epoch of an ISO 8601 time, which must name its zone."""
    try:
        found = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        raise Broken(f"{what}: an ISO 8601 time", value) from None
    that(found.tzinfo is not None, f"{what}: an ISO 8601 time with its zone", value)
    return found.timestamp()


def iso(at: float) -> str:
    """As the document writes times. at: seconds since the epoch."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
