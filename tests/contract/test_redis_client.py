"""The Redis client over restarts, silence and scripts that are unknown to the server."""

from __future__ import annotations

import signal
import socket
import threading

import pytest
import redis

from app.domain.errors import StoreUnavailableError
from infrastructure.redis import client as client_module
from infrastructure.redis.client import make_client, store_errors
from tests.support.kafka_broker import eventually
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.soon import soon


def test_after_a_restart_the_first_call_succeeds_and_scripts_are_loaded_again(own_redis: RedisServer) -> None:
    client = make_client(own_redis.url(), timeout_s=2.0)
    script = client.register_script("return redis.call('INCR', KEYS[1])")
    assert script(keys=["n"]) == 1
    own_redis.stop()
    own_redis.start()
    assert script(keys=["n"]) == 1
    client.close()


def test_a_server_that_is_away_is_an_error_at_once() -> None:
    client = make_client(f"redis://127.0.0.1:{free_port()}/0", timeout_s=60.0)
    with soon("the error"), pytest.raises(StoreUnavailableError), store_errors():
        client.get("x")


def test_a_server_that_does_not_answer_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "TRY_S", 60.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = make_client(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout_s=0.1)
        with pytest.raises(StoreUnavailableError) as caught, store_errors():
            client.get("x")
        assert caught.value.__cause__ is not None
        client.close()
        assert _connections(silent) == 2, "for the question, and for finding out whether it is back"


def test_while_a_server_hangs_nobody_waits_but_the_first_and_it_is_found_when_it_is_back(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "TRY_S", 0.05)
    client = make_client(own_redis.url(), timeout_s=1.0)
    client.set("x", "1")
    own_redis.send(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailableError), store_errors():
            client.get("x")
        with soon("whoever asked next"):
            for ask in (lambda: client.get("x"), lambda: client.pipeline().get("x").execute()) * 10:
                with pytest.raises(StoreUnavailableError), store_errors():
                    ask()
    finally:
        own_redis.send(signal.SIGCONT)
    eventually(lambda: _answer(client), "an answer", 5.0)
    client.close()


def test_a_pipeline_finds_out_too(own_redis: RedisServer) -> None:
    client = make_client(own_redis.url(), timeout_s=0.3)
    own_redis.send(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailableError), store_errors():
            client.pipeline().get("x").execute()
        with soon("whoever asked next"):
            for _ in range(40):
                with pytest.raises(StoreUnavailableError), store_errors():
                    client.get("x")
    finally:
        own_redis.send(signal.SIGCONT)
    client.close()


def test_closing_does_not_take_the_connection_from_under_the_one_who_asks(own_redis: RedisServer) -> None:
    """A thread that ends with an exception makes the test fail."""
    client = make_client(own_redis.url(), timeout_s=0.3)
    own_redis.send(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailableError), store_errors():
            client.get("x")
        client.close()
    finally:
        own_redis.send(signal.SIGCONT)
    assert all(thread.name != "redis-hangs" for thread in threading.enumerate())


def _answer(client: redis.Redis) -> bool:
    try:
        with store_errors():
            return bool(client.ping())
    except StoreUnavailableError:
        return False


def test_an_answer_is_text(redis_server: RedisServer) -> None:
    client = make_client(redis_server.url(), timeout_s=2.0)
    client.set("ä", "ö|ü")
    assert client.get("ä") == "ö|ü"
    client.close()


def _connections(listening: socket.socket) -> int:
    """How many were made to it, which nobody has accepted yet."""
    listening.setblocking(False)
    count = 0
    while True:
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1
