"""What several contract suites stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from infrastructure.redis.client import make_client
from tests.support.redis_server import RedisServer


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[Redis]:
    """A client of the empty Redis of this test."""
    client = make_client(redis_server.url(), timeout_s=5.0)
    yield client
    client.close()
