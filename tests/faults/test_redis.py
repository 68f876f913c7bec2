"""Redis loses all it holds, hangs, or dies, while deliveries are under way."""

from __future__ import annotations

import signal
import socket
import time

import pytest

from tests.faults.conftest import Size
from tests.support.faults import under_load
from tests.support.load import Load
from tests.support.providers import StandIns
from tests.support.stack import Stack

PROBE_S = 30.0
ANSWER_S = 0.01


@pytest.fixture(autouse=True)
def slow_providers(providers: StandIns) -> None:
    """The fault is to find deliveries under way."""
    for provider in providers.all():
        provider.slow_down(ANSWER_S)


def test_flushall(stack: Stack, load: Load, size: Size) -> None:
    """Queues, claims and limits vanish: what Kafka knows is enough."""

    def flush() -> None:
        with socket.create_connection(("127.0.0.1", stack.redis_port), timeout=5.0) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(16) == b"+OK\r\n"

    under_load(
        load,
        flush,
        name="FLUSHALL",
        low=size.low,
        high=size.high,
        final_s=size.final_s,
        probe_within_s=PROBE_S,
        cuts_calls_off=True,
    )


def test_redis_hangs(stack: Stack, load: Load, size: Size) -> None:
    """Stopped in the middle of whatever it did, and woken up again: nothing was forgotten, so nothing may repeat."""

    def hang() -> None:
        stack.kill("redis", signal.SIGSTOP)
        time.sleep(size.fault_s)
        stack.kill("redis", signal.SIGCONT)

    under_load(
        load,
        hang,
        name=f"Redis stopped for {size.fault_s:g} s",
        low=size.low,
        high=size.high,
        final_s=size.final_s,
        probe_within_s=PROBE_S,
    )


def test_redis_dies(stack: Stack, load: Load, size: Size) -> None:
    """kill -9: its append-only file lacks the last second, which is like a flush of what came then."""
    times = stack.times_ready("redis")
    under_load(
        load,
        lambda: stack.kill("redis"),
        name="redis",
        low=size.low,
        high=size.high,
        final_s=size.final_s,
        probe_within_s=PROBE_S,
        cuts_calls_off=True,
    )
    stack.wait_ready("redis", times + 1)
