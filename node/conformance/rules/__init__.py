"""The rules, a module a topic. Importing this writes all of them down."""

from __future__ import annotations

from node.conformance.rules import (
    additions,
    audit,
    confirmation,
    conflicts,
    connection,
    data_sync,
    delivery,
    errors,
    fencing,
    figures,
    frames,
    heartbeat,
    identity,
    locks,
    monitors,
    operations,
    resolutions,
    restart,
    sizes,
    stats,
    strategies,
)

TOPICS = (
    connection,
    heartbeat,
    data_sync,
    confirmation,
    operations,
    delivery,
    strategies,
    conflicts,
    resolutions,
    locks,
    fencing,
    monitors,
    audit,
    stats,
    errors,
    identity,
    sizes,
    frames,
    additions,
    restart,
    figures,
)
"""In the order in which they are tried; what fills the node comes last."""
