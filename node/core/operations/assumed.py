"""What had to be assumed of what an author knew, where its confirmations do not tell. `explain` says it.

The smaller harm is assumed. Who gives a version is believed as far as it was sent that state. Who gives none is taken
not to have seen what it did not confirm, so a movement of somebody else may be counted twice, and is not lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from node.core.entities.entity import Entity
    from node.core.operations.author import Author

BY_VERSION, UNCONFIRMED, NOTHING = "version", "unconfirmed", "nothing"

SENTENCES: Mapping[str, tuple[str, str]] = {
    BY_VERSION: (
        "o terminal não tinha confirmado tudo o que recebeu; vale que viu o estado que a sua versão indica",
        "its terminal had not confirmed all that it was sent; it counts as having seen the state of its version",
    ),
    UNCONFIRMED: (
        "o terminal não tinha confirmado tudo o que recebeu e não deu versão; vale que não viu o que não confirmou",
        "its terminal had not confirmed all that it was sent, and gave no version; what it did not confirm counts as "
        "not seen",
    ),
    NOTHING: (
        "o terminal veio de outro nó, que não respondeu; não se sabe o que tinha visto, e o número não foi contado",
        "its terminal came from another node, which did not answer; nothing tells what it had seen, and the number "
        "was not counted",
    ),
}
"""In Portuguese and in English."""


def assumed(author: Author, entity: Entity, reach: int, version: int | None, confirmed: int) -> str | None:
    """What was assumed of the author of an operation; None where its confirmations tell.

    reach: the last row that it counts as having seen. version: the operation's.
    confirmed: the last row of the entity's class that the author confirmed.
    """
    if author.first_attempt is not None or entity.delivered_to(author.terminal_id) <= confirmed:
        return None
    if reach > confirmed:
        return BY_VERSION
    unread = author.may_have_read(entity.policy.priority_class) > confirmed
    return UNCONFIRMED if version is None and unread else None
