"""What can go wrong, as a tree.

    ComandaError
      ConfigError                     a setting that cannot be; names file, section and key
      WireError                       something a client sent; `code` is the documented one
        InvalidTerminalId       4001  closes the connection
        InvalidTerminalType     4002  closes
        AuthenticationFailed    4003  closes
        AlreadyConnected        4004  closes
        StaleAttempt            1000  closes; a node's connection that came after a later one of its own
        RateLimited             4005  answered; closes after repeated offence
        InvalidMessage          4006  answered; closes after repeated offence
        EntityTooLarge          4006  answered; the write is kept
        EntityNotFound          4007  answered
        PermissionDenied        4008  answered
        LockTimeout             4009  answered
        ConflictResolutionFailed 4010 answered
        NotStored               1011  answered; the disk refuses; WebSocket's internal error
        Faulty                  1011  answered; our own code failed on it
        NotRead                 1011  answered; what the message needs cannot be read

Expected outcomes (stale, merged, conflicted, refused by a lock) are values, not exceptions.
"""

from __future__ import annotations


class ComandaError(Exception):
    """Root of Comanda's own exceptions."""


class ConfigError(ComandaError):
    """A configuration that cannot be used."""


class WireError(ComandaError):
    """A message that is refused.

    where: the place in it, as a path like $.operation.entity_id. The names say what the message is about.
    """

    code = 4006

    def __init__(
        self,
        reason: str,
        where: str | None = None,
        *,
        code: int | None = None,
        operation_id: str | None = None,
        conflict_id: str | None = None,
        lock_id: str | None = None,
        entity_type: str | None = None,
        entity_id: str | None = None,
    ) -> None:
        super().__init__(reason if where is None else f"{reason} at {where}")
        if code is not None:
            self.code = code
        self.reason = reason
        self.where = where
        self.operation_id = operation_id
        self.conflict_id = conflict_id
        self.lock_id = lock_id
        self.entity_type = entity_type
        self.entity_id = entity_id


class InvalidTerminalId(WireError):
    code = 4001


class InvalidTerminalType(WireError):
    code = 4002


class AuthenticationFailed(WireError):
    code = 4003


class StaleAttempt(WireError):
    """A connection that another one of the same node has overtaken; it came late."""

    code = 1000


class AlreadyConnected(WireError):
    code = 4004


class RateLimited(WireError):
    code = 4005


class InvalidMessage(WireError):
    code = 4006


class EntityTooLarge(WireError):
    """A write would make an entity larger than it may be."""

    code = 4006


class EntityNotFound(WireError):
    code = 4007


class PermissionDenied(WireError):
    code = 4008


class LockTimeout(WireError):
    code = 4009


class ConflictResolutionFailed(WireError):
    code = 4010


class NotStored(WireError):
    """The disk refuses: nothing was accepted. The code is WebSocket's internal error."""

    code = 1011


class Faulty(WireError):
    """The node's own code failed on a message. Nothing was done, and sending it again does not help."""

    code = 1011


class NotRead(WireError):
    """What a message needs cannot be read: it was not decided, and may be sent again."""

    code = 1011
