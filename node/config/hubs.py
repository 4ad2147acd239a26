"""[hubs]: head office as several processes that share out the stores."""

from __future__ import annotations

from crdt.classes import frozen
from node.addresses import shared_database
from node.config.addresses import address_of
from node.config.links import node_url
from node.errors import ConfigError


@frozen
class HubsSection:
    """[hubs]: the other processes of head office, and the database that they share.

    database: of PostgreSQL, postgresql://USER:PASSWORD@HOST/NAME, or a Redis or Valkey, rediss://:PASSWORD@HOST:6379/0;
    None for a head office of one process.
    address: ws://host:port or wss://host:port where the other processes reach this one; None is where it listens.
    lease_s: how long a process owns a store without a word. As long as that it takes until another one takes over.
    """

    database: str | None = None
    address: str | None = None
    lease_s: float = 10.0

    def check(self) -> None:
        """Raises ConfigError."""
        if not 1 <= self.lease_s <= 3_600:
            raise ConfigError(f"[hubs] lease_s is 1 to 3600, not {self.lease_s}")
        if self.address is not None:
            node_url(self.address, "[hubs] address")
        if self.database is not None:
            address_of("[hubs] database", self.database, shared_database)
