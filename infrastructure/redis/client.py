"""The connection to Redis (limits, claims, breakers), and its errors as ours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.domain.errors import StoreUnavailableError
from app.domain.meter import METER
from app.domain.metric_catalogue import STORE_FAILURES

#: Seconds a connection may lie unused before it is tried with a PING.
HEALTH_CHECK_S: Final = 5
#: How long a Redis that did not answer is left alone: until then every call fails at once instead of waiting again.
LEFT_ALONE_S: Final = 2.0


class PatientRedis(redis.Redis):
    """Waits once for a Redis that hangs, not at every call: a batch makes several, and its time is counted.

    Pipelines are not covered.
    """

    _left_alone_until = 0.0

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """As Redis.execute_command; raises redis.ConnectionError at once while the server is left alone."""
        if time.monotonic() < self._left_alone_until:
            raise redis.ConnectionError("did not answer a moment ago")
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py leaves it so
        except redis.TimeoutError:
            self._left_alone_until = time.monotonic() + LEFT_ALONE_S
            raise


def make_client(url: str, timeout_s: float) -> redis.Redis:
    """A client whose answers are `str`, with a pool of connections that are opened on use; safe between threads.

    No command is ever repeated by itself: a repeated script would charge twice, or take its own claim for a
    stranger's. `timeout_s` bounds the connecting and each answer.
    """
    return PatientRedis.from_url(
        url,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        socket_keepalive=True,
        health_check_interval=HEALTH_CHECK_S,
        retry=Retry(NoBackoff(), 0),
        # With RESP3 the pool listens to maintenance notices and does not look whether the server closed a connection;
        # without retries the first call after a restart of Redis would then fail.
        protocol=2,
        decode_responses=True,
    )


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn whatever the Redis library raises into StoreUnavailableError, the cause kept."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        METER.count(STORE_FAILURES, ("redis",))
        raise StoreUnavailableError(f"redis: {type(error).__name__}") from error
