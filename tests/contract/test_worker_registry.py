"""Workers say which queues they serve; who is gone is not counted, and in the end forgotten."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from redis import Redis

from infrastructure.redis import workers as workers_module
from infrastructure.redis.workers import FORGET_S, WORKER_TTL_S, WorkerRegistry


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands until it is moved, in seconds."""
    made = SimpleNamespace(now=1_700_000_000.0)
    monkeypatch.setattr(workers_module, "time", SimpleNamespace(time=lambda: made.now))
    return made


@pytest.fixture
def registry(client: Redis, clock: SimpleNamespace) -> WorkerRegistry:
    return WorkerRegistry(client)


def test_children_are_counted_by_queue(registry: WorkerRegistry) -> None:
    registry.announce("a", ["high.email", "low.email"], 4)
    registry.announce("b", ["high.email"], 2)
    assert registry.children() == {"high.email": 6, "low.email": 4}
    registry.withdraw("a")
    assert registry.children() == {"high.email": 2}


def test_a_worker_that_is_silent_is_gone_and_comes_back_when_it_speaks(
    registry: WorkerRegistry, clock: SimpleNamespace
) -> None:
    registry.announce("a", ["high.email"], 4)
    clock.now += WORKER_TTL_S
    assert registry.children() == {"high.email": 4}
    clock.now += 1
    assert registry.children() == {}
    registry.announce("a", ["high.email"], 4)
    assert registry.children() == {"high.email": 4}


def test_workers_long_gone_are_forgotten(registry: WorkerRegistry, client: Redis, clock: SimpleNamespace) -> None:
    for number in range(3):
        registry.announce(f"killed-{number}", ["high.email"], 4)
    clock.now += FORGET_S
    registry.announce("a", ["high.email"], 4)
    registry.children()
    assert client.hlen("workers") == 4, "a clock may be behind"
    clock.now += 1
    registry.announce("a", ["high.email"], 4)
    assert registry.children() == {"high.email": 4}
    assert client.hkeys("workers") == ["a"]
