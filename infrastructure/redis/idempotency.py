"""Port IdempotencyStore: one Redis key for each Idempotency-Key, with an expiry for every state."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from app.domain import codec
from app.domain.errors import StoreUnavailableError, UndecodableError
from app.domain.ports import Stored
from infrastructure.redis.client import store_errors

if TYPE_CHECKING:
    from redis import Redis

PREFIX: Final = "idempotency:"
KEPT_S: Final = 24 * 3600
#: After a failure nobody asks for this long: intake must not stand in line for a Redis that does not answer.
PAUSE_S: Final = 1.0

# Removes a running mark and never an answer; repeating it is harmless.
ABANDON: Final = """
for _, key in ipairs(KEYS) do
  local mark = redis.call('GET', key)
  if mark and cjson.decode(mark).answer == '' then redis.call('DEL', key) end
end
"""


class _Mark(Struct, frozen=True):
    """What a key holds. `owner` is made afresh for each `begin`, so that its own mark is known for its own."""

    fingerprint: str
    answer: str
    owner: str


class RedisIdempotency:
    """The port over a client that does not retry by itself; two round trips at most, whatever the number of keys.

    `running_s`: how long a request may run; so long is a key refused whose request never ended, for its process died.
    """

    def __init__(self, client: Redis, *, running_s: float) -> None:
        self._client = client
        self._running_ms = math.ceil(running_s * 1000)
        self._abandon = client.register_script(ABANDON)
        self._paused_until_s = 0.0

    def begin(self, wanted: Sequence[tuple[str, str]]) -> list[Stored | None]:
        """See `app.domain.ports.IdempotencyStore`."""
        if not wanted:
            return []
        owner = secrets.token_hex(8)
        marks = [codec.encode(_Mark(fingerprint, "", owner)).decode() for _, fingerprint in wanted]
        keys = [PREFIX + key for key, _ in wanted]
        with self._asking():
            pipeline = self._client.pipeline(transaction=False)
            for key, mark in zip(keys, marks, strict=True):
                pipeline.set(key, mark, nx=True, px=self._running_ms)
            # What is there now tells ours from a stranger's; the answer of SET NX does not where it was sent twice.
            pipeline.mget(keys)
            found = pipeline.execute()[-1]
        return [None if there == mark else _stored(there, mark) for there, mark in zip(found, marks, strict=True)]

    def finish(self, answers: Sequence[tuple[str, Stored]]) -> None:
        """See `app.domain.ports.IdempotencyStore`."""
        if not answers:
            return
        with self._asking():
            pipeline = self._client.pipeline(transaction=False)
            for key, stored in answers:
                mark = codec.encode(_Mark(stored.fingerprint, stored.answer, ""))
                pipeline.set(PREFIX + key, mark, ex=KEPT_S)
            pipeline.execute()

    def abandon(self, keys: Sequence[str]) -> None:
        """See `app.domain.ports.IdempotencyStore`."""
        if keys:
            with self._asking():
                self._abandon(keys=[PREFIX + key for key in keys])

    @contextmanager
    def _asking(self) -> Iterator[None]:
        if time.monotonic() < self._paused_until_s:
            raise StoreUnavailableError("redis: did not answer a moment ago")
        try:
            with store_errors():
                yield
        except StoreUnavailableError:
            self._paused_until_s = time.monotonic() + PAUSE_S
            raise


def _stored(there: str | None, mark: str) -> Stored:
    """What a key held. Gone since the SET: it ended just now, which is told as running, so that the client asks again.

    Raises StoreUnavailableError for a value that no version of this service wrote.
    """
    try:
        found = codec.decode(there or mark, _Mark)
    except UndecodableError as error:
        raise StoreUnavailableError("redis: an Idempotency-Key holds something else") from error
    return Stored(fingerprint=found.fingerprint, answer=found.answer)
