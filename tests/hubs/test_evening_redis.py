"""The same three processes over a Redis, which is killed and then emptied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.hubs.conftest import on_redis
from tests.hubs.test_evening import Evening, killed_and_emptied

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hubs.redis_server import RedisServer


def test_a_redis_is_killed_and_then_emptied(tmp_path: Path, redis_server: RedisServer) -> None:
    evening = Evening(tmp_path, on_redis(redis_server))
    try:
        evening.write()
        killed_and_emptied(evening)
    finally:
        evening.end()
