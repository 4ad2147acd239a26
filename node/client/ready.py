"""What a decision of the client leads to. Pure."""

from __future__ import annotations

from attrs import define, field

from node.client.values import Event, Message, Operation


@define(eq=False)
class Ready:
    """What is to be done, in this order.

    settled: operations that the queue on disk need not hold any more. send: messages. tell: events. confirm: the
    operation id of the row to confirm, once the program took the Row among `tell`. hang_up: why the connection is not
    to be used any more.
    """

    settled: list[Operation] = field(factory=list)
    send: list[Message] = field(factory=list)
    tell: list[Event] = field(factory=list)
    confirm: str | None = None
    hang_up: str | None = None
