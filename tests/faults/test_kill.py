"""kill -9 of any process while deliveries are under way: none is lost, none is sent twice beyond the calls cut off."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.conftest import Size
from tests.support.faults import under_load
from tests.support.load import Load
from tests.support.providers import StandIns
from tests.support.stack import Stack

#: What is promised; the embedded broker's groups give a dead member's partitions away after 6 s.
BRIDGE_S = 45.0
OTHER_S = 30.0
#: A provider's answer takes so long, so that the fault finds deliveries under way.
ANSWER_S = 0.01

BRIDGES = ("router", "dispatcher", "tracker", "scheduler")


@pytest.fixture
def kill_under_load(stack: Stack, providers: StandIns, load: Load, size: Size) -> Callable[..., None]:
    """Run one such fault."""

    def run(name: str, fault: Callable[[], None], probe_within_s: float, *, is_worker: bool = False) -> None:
        for provider in providers.all():
            provider.slow_down(ANSWER_S)
        under_load(
            load,
            fault,
            name=name,
            low=size.low,
            high=size.high,
            final_s=size.final_s,
            probe_within_s=probe_within_s,
            cuts_calls_off=is_worker,
        )

    return run


@pytest.mark.parametrize("pool", ["worker", "worker-low"])
def test_kill_worker_child(stack: Stack, kill_under_load: Callable[..., None], pool: str) -> None:
    kill_under_load(f"child of {pool}", lambda: stack.kill_child(pool), OTHER_S, is_worker=True)


@pytest.mark.parametrize("pool", ["worker-high", "worker"])
def test_kill_worker_parent_beside_others(stack: Stack, kill_under_load: Callable[..., None], pool: str) -> None:
    times = stack.times_ready(pool)
    kill_under_load(pool, lambda: stack.kill(pool), OTHER_S, is_worker=True)
    stack.wait_ready(pool, times + 1)


def test_kill_http_service(stack: Stack, kill_under_load: Callable[..., None]) -> None:
    times = stack.times_ready("api")
    kill_under_load("api", lambda: stack.kill("api"), OTHER_S)
    stack.wait_ready("api", times + 1)


def test_kill_all_bridges_at_once(stack: Stack, kill_under_load: Callable[..., None]) -> None:
    """Harder than each alone."""
    times = {bridge: stack.times_ready(bridge) for bridge in BRIDGES}

    def fault() -> None:
        for bridge in BRIDGES:
            stack.kill(bridge)

    kill_under_load("all bridges", fault, BRIDGE_S)
    for bridge in BRIDGES:
        stack.wait_ready(bridge, times[bridge] + 1)


@pytest.mark.parametrize("bridge", BRIDGES)
def test_kill_bridge(stack: Stack, kill_under_load: Callable[..., None], bridge: str) -> None:
    times = stack.times_ready(bridge)
    kill_under_load(bridge, lambda: stack.kill(bridge), BRIDGE_S)
    stack.wait_ready(bridge, times + 1)
