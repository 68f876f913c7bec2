"""Port IdempotencyStore, on Redis."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest
import redis

from app.domain.errors import StoreUnavailableError
from app.domain.ports import IdempotencyStore, Stored
from infrastructure.redis.client import make_client
from infrastructure.redis.idempotency import KEPT_S, PREFIX, RedisIdempotency
from tests.support.redis_server import RedisServer
from tests.support.soon import soon

TIMEOUT_S = 1.0
RUNNING_S = 6.0


@pytest.fixture
def store(redis_server: RedisServer) -> IdempotencyStore:
    return RedisIdempotency(make_client(redis_server.url(), TIMEOUT_S), running_s=RUNNING_S)


@pytest.fixture
def raw(redis_server: RedisServer) -> redis.Redis:
    return make_client(redis_server.url(), TIMEOUT_S)


def test_a_new_key_is_marked_and_a_second_request_finds_it_running(store: IdempotencyStore) -> None:
    assert store.begin([("k", "print")]) == [None]
    assert store.begin([("k", "print")]) == [Stored(fingerprint="print")]


def test_a_running_mark_ends_by_itself(store: IdempotencyStore, raw: redis.Redis) -> None:
    store.begin([("k", "print")])
    assert 0 < raw.pttl(PREFIX + "k") <= RUNNING_S * 1000


def test_an_answer_is_found_with_its_fingerprint_and_kept_for_a_day(store: IdempotencyStore, raw: redis.Redis) -> None:
    store.begin([("k", "print")])
    store.finish([("k", Stored(fingerprint="print", answer='{"id":"1"}'))])
    assert store.begin([("k", "other")]) == [Stored(fingerprint="print", answer='{"id":"1"}')]
    assert RUNNING_S < raw.ttl(PREFIX + "k") <= KEPT_S


def test_an_abandoned_key_is_free_again(store: IdempotencyStore) -> None:
    store.begin([("k", "print")])
    store.abandon(["k"])
    assert store.begin([("k", "print")]) == [None]


def test_abandoning_leaves_an_answer_alone(store: IdempotencyStore) -> None:
    store.finish([("k", Stored(fingerprint="print", answer="yes"))])
    store.abandon(["k", "never-was"])
    assert store.begin([("k", "print")]) == [Stored(fingerprint="print", answer="yes")]


def test_many_keys_are_told_apart(store: IdempotencyStore) -> None:
    store.finish([("b", Stored(fingerprint="fb", answer="yes"))])
    assert store.begin([("a", "fa"), ("b", "fb"), ("c", "fc")]) == [None, Stored(fingerprint="fb", answer="yes"), None]


def test_nothing_wanted_asks_nothing(store: IdempotencyStore) -> None:
    assert store.begin([]) == []
    store.finish([])
    store.abandon([])


def test_a_set_that_was_sent_twice_knows_its_own_mark(redis_server: RedisServer) -> None:
    """The first answer is lost on the way and the library repeats the command: still ours."""
    client = redis.Redis(port=redis_server.port, decode_responses=True, protocol=2)
    execute: Callable[..., list[object]] = redis.client.Pipeline.execute

    class Repeating(redis.client.Pipeline):
        def execute(self, raise_on_error: bool = True) -> list[object]:
            commands = list(self.command_stack)
            execute(self, raise_on_error)
            self.command_stack = commands
            return execute(self, raise_on_error)

    def pipeline(transaction: bool = True) -> Repeating:
        return Repeating(client.connection_pool, client.response_callbacks, transaction, None)

    client.pipeline = pipeline  # type: ignore[method-assign,assignment]
    assert RedisIdempotency(client, running_s=RUNNING_S).begin([("k", "print")]) == [None]
    client.close()


def test_a_redis_that_is_away_is_unavailable_and_back_after_a_pause(own_redis: RedisServer) -> None:
    store = RedisIdempotency(make_client(own_redis.url(), TIMEOUT_S), running_s=RUNNING_S)
    own_redis.stop()
    with pytest.raises(StoreUnavailableError):
        store.begin([("k", "print")])
    own_redis.start()
    until = time.monotonic() + 5
    while True:
        try:
            assert store.begin([("k", "print")]) == [None]
            break
        except StoreUnavailableError:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_a_redis_that_hangs_holds_up_the_first_request_only() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = RedisIdempotency(
            make_client(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", TIMEOUT_S), running_s=RUNNING_S
        )
        with pytest.raises(StoreUnavailableError):
            store.begin([("k", "print")])
        with soon("a further request"):
            for _ in range(20):
                with pytest.raises(StoreUnavailableError):
                    store.begin([("k", "print")])


def test_a_value_of_another_kind_is_unavailable_not_an_answer(store: IdempotencyStore, raw: redis.Redis) -> None:
    raw.set(PREFIX + "k", "not ours")
    with pytest.raises(StoreUnavailableError):
        store.begin([("k", "print")])
