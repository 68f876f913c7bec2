"""The connection to Redis (limits, claims, breakers), and its errors as ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.retry import Retry

from app.domain.errors import StoreUnavailableError
from app.domain.meter import METER
from app.domain.metric_catalogue import STORE_FAILURES

#: Seconds a connection may lie unused before it is tried with a PING.
HEALTH_CHECK_S: Final = 5
#: How often a Redis that did not answer is tried; until it answers, or refuses, every call fails at once.
TRY_S: Final = 0.5


class PatientRedis(redis.Redis):
    """Waits once for a Redis that hangs, not at every call: a batch makes several, and its time is counted.

    A thread, there while the server hangs, finds out when that is over. Safe between threads.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._is_left_alone = False
        self._turn = threading.Lock()
        self._is_closing = threading.Event()
        self._looks_after: threading.Thread | None = None

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """As Redis.execute_command; raises redis.ConnectionError at once while the server is left alone."""
        with self.patience():
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis-py leaves it so

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> PatientPipeline:
        """As Redis.pipeline: what it sends at once waits as one command does."""
        made = PatientPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        made.asks = self
        return made

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Raise redis.ConnectionError while the server is left alone; leave it alone where it does not answer."""
        if self._is_left_alone:
            raise redis.ConnectionError("did not answer a moment ago")
        try:
            yield
        except redis.TimeoutError:
            self._leave_alone()
            raise

    def close(self) -> None:
        """As Redis.close, after the thread that asks a hanging server has gone: at most the time an answer may take."""
        with self._turn:
            looks_after = self._looks_after
        if looks_after is not None:
            self._is_closing.set()
            looks_after.join()
            self._is_closing.clear()
        super().close()

    def _leave_alone(self) -> None:
        with self._turn:
            if self._is_left_alone:
                return
            self._is_left_alone = True
            self._looks_after = threading.Thread(target=self._look_after, name="redis-hangs", daemon=True)
            self._looks_after.start()

    def _look_after(self) -> None:
        try:
            while self._hangs() and not self._is_closing.wait(TRY_S):
                pass
        finally:
            self._is_left_alone = False

    def _hangs(self) -> bool:
        """Whether it still does; one that refuses does not, for then every call fails at once by itself."""
        try:
            super().execute_command("PING")  # type: ignore[no-untyped-call]  # see above
        except redis.TimeoutError:
            return True
        except (redis.RedisError, OSError):
            return False
        return False


class PatientPipeline(Pipeline):
    """A pipeline of a `PatientRedis`."""

    asks: PatientRedis

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """As Pipeline.execute; fails at once while the server is left alone."""
        with self.asks.patience():
            return super().execute(raise_on_error)


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
