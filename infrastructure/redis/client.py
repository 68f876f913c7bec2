"""The connection to Redis (limits, claims, breakers), and its errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.domain.errors import StoreUnavailableError

#: Seconds a connection may lie unused before it is tried with a PING.
HEALTH_CHECK_S: Final = 5


def make_client(url: str, timeout_s: float) -> redis.Redis:
    """A client whose answers are `str`, with a pool of connections that are opened on use; safe between threads.

    No command is ever repeated by itself: a repeated script would charge twice, or take its own claim for a
    stranger's. `timeout_s` bounds the connecting and each answer.
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=HEALTH_CHECK_S,
        retry=Retry(NoBackoff(), 0),
        # With RESP3 the library listens to maintenance notices, for which it gives up its check that a connection from
        # the pool has nothing left to read, and greets each server twice more.
        protocol=2,
        decode_responses=True,
    )


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn whatever the Redis library raises into StoreUnavailableError, the cause kept."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise StoreUnavailableError(f"redis: {type(error).__name__}: {error}") from error
