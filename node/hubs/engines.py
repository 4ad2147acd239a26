"""Which engine an address is of. Its library is loaded when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.addresses import is_redis
from node.errors import ConfigError

if TYPE_CHECKING:
    from node.hubs.engine import Engine


def engine_at(database: str, timeout_s: float) -> Engine:
    """database: as `shared_database` takes it. timeout_s: longest time for one call. Raises ConfigError."""
    try:
        if is_redis(database):
            from node.hubs.redis import RedisEngine

            return RedisEngine(database, timeout_s)
        from node.hubs.postgres import PostgresEngine
    except ImportError as error:
        extra = "redis" if is_redis(database) else "sink"
        raise ConfigError(f"[hubs] database: pip install 'comanda[{extra}]'") from error
    except OSError as error:
        raise ConfigError(f"[hubs] database: its certificates cannot be read: {error}") from error
    return PostgresEngine(database, timeout_s)
