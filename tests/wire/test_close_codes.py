"""The codes of the protocol document, the errors that carry them, and the standard ones the node uses."""

from __future__ import annotations

import pytest

from node import errors
from node.wire import close_codes

BY_CODE = {
    4001: (errors.InvalidTerminalId, "Invalid terminal ID"),
    4002: (errors.InvalidTerminalType, "Invalid terminal type"),
    4003: (errors.AuthenticationFailed, "Authentication failed"),
    4004: (errors.AlreadyConnected, "Terminal already connected"),
    4005: (errors.RateLimited, "Rate limit exceeded"),
    4006: (errors.InvalidMessage, "Invalid message format"),
    4007: (errors.EntityNotFound, "Entity not found"),
    4008: (errors.PermissionDenied, "Permission denied"),
    4009: (errors.LockTimeout, "Lock timeout"),
    4010: (errors.ConflictResolutionFailed, "Conflict resolution failed"),
}


def test_every_documented_code_has_its_documented_description() -> None:
    assert {code: said for code, (_, said) in BY_CODE.items()} == close_codes.DOCUMENTED


@pytest.mark.parametrize("code", BY_CODE)
def test_every_documented_code_has_one_error_that_carries_it(code: int) -> None:
    error = BY_CODE[code][0]("reason", "$.x", operation_id="op-1")
    assert (error.code, error.reason, error.where, error.operation_id) == (code, "reason", "$.x", "op-1")
    assert isinstance(error, errors.WireError)
    assert isinstance(error, errors.ComandaError)


def test_the_standard_codes_are_those_of_rfc_6455() -> None:
    used = {name: code for name, code in vars(close_codes).items() if isinstance(code, int)}
    assert used == {
        "NORMAL": 1000,
        "GOING_AWAY": 1001,
        "PROTOCOL_ERROR": 1002,
        "ABNORMAL": 1006,
        "INVALID_DATA": 1007,
        "TOO_BIG": 1009,
        "INTERNAL_ERROR": 1011,
        "SERVICE_RESTART": 1012,
        "TRY_AGAIN_LATER": 1013,
    }
    assert errors.StaleAttempt.code == close_codes.NORMAL
    assert errors.NotStored.code == close_codes.INTERNAL_ERROR


def test_an_error_says_where_and_what() -> None:
    assert str(errors.InvalidMessage("expected string", "$.type")) == "expected string at $.type"
    assert str(errors.RateLimited("too many")) == "too many"


def test_the_tree_in_the_docstring_names_every_error_and_its_code() -> None:
    tree = {line.split()[0]: line for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")}

    def below(cls: type[errors.ComandaError]) -> list[type[errors.ComandaError]]:
        return [cls, *(found for child in cls.__subclasses__() for found in below(child))]

    ours = [cls for cls in below(errors.ComandaError) if cls.__module__ == errors.__name__]
    assert {cls.__name__ for cls in ours} == set(tree)
    for cls in ours:
        if issubclass(cls, errors.WireError) and cls is not errors.WireError:
            assert str(cls.code) in tree[cls.__name__]
