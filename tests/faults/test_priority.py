"""High is not held up by low, and low is not starved by high."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import Size
from tests.support.account import percentile
from tests.support.catalogue import write_catalogue
from tests.support.history import final_deliveries
from tests.support.load import Load, Sent
from tests.support.providers import StandIns
from tests.support.stack import QUICK, Stack, running_stack

#: How much slower high may be than on an idle system.
RATIO = 2.0
HIGH_RATE = 20.0
ANSWER_S = 0.01
ARRIVE_S = 30.0
LIMIT = 100
#: Half of what the others leave to high of that: at all of it there is a queue whatever is done.
SHARE_RATE = 10.0
#: What high leaves to the others of a saturated limit, less what a short measurement costs.
LOW_SHARE = 0.1 * 0.5


@pytest.fixture
def limited_load(tmp_path: Path, providers: StandIns) -> Iterator[Load]:
    """Load for a set of its own that may deliver 100/s in all."""
    settings = {**QUICK, "CATALOGUE": str(write_catalogue(tmp_path)), "LIMIT_GLOBAL": f"{LIMIT}/s"}
    with running_stack(tmp_path, **settings, SMTP_URL=providers.smtp.url) as stack:
        load = Load(stack, providers)
        yield load
        load.halt()


def measured(load: Load, count: int, rate: float = HIGH_RATE) -> float:
    """The 95th percentile of seconds from POST to provider call of so many high ones, posted at `rate` a second."""
    sent: list[Sent] = []
    started_s = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, started_s + number / rate - time.monotonic()))
        sent.append(load.post_one(load.event("high", "email")))
    latencies = load.latencies(sent, ARRIVE_S)
    assert latencies[-1] < float("inf"), "all of them have arrived"
    return percentile(latencies, 0.95)


def compared(name: str, before_s: float, busy_s: float, after_s: float) -> float:
    """The ratio, printed. Idle is the slower of before and after: a machine's other work must not make a difference."""
    ratio = busy_s / max(before_s, after_s)
    before_ms, busy_ms, after_ms = (round(seconds * 1000) for seconds in (before_s, busy_s, after_s))
    print(f"\n{name:<30} p95 idle {before_ms} ms, busy {busy_ms} ms, idle again {after_ms} ms: ratio {ratio:.2f}")  # noqa: T201 - figures of the run
    return ratio


def refill(load: Load, count: int) -> None:
    """Keep low coming in until told to stop."""
    load.post(load.mix(count * 10, 0, ["email"]), rate=count / 10)


def waiting_low(load: Load, stack: Stack) -> int:
    """How many accepted low ones are not final."""
    finals = final_deliveries(stack.state)
    return sum(1 for one in list(load.sent) if one.priority == "low" and one.delivery_id not in finals)


def test_high_beside_waiting_low(stack: Stack, load: Load, providers: StandIns, size: Size) -> None:
    """The 95th percentile of high with thousands of low waiting is at most twice that of an idle system."""
    for provider in providers.all():
        provider.slow_down(ANSWER_S)
    measured(load, size.measured // 2)  # warm
    before_s = measured(load, size.measured)
    load.post(load.mix(size.waiting, 0, ["email"]))
    load.start(lambda: refill(load, size.waiting // 10))
    busy_s = measured(load, size.measured)
    left = waiting_low(load, stack)
    load.halt()
    load.join()
    providers.smtp.slow_down(0.0)
    counts = load.account(within_s=size.final_s)
    counts.print("priority")
    providers.smtp.slow_down(ANSWER_S)
    ratio = compared(f"high beside {left} low", before_s, busy_s, measured(load, size.measured))
    assert left > size.waiting // 4, "low was still waiting at the end"
    assert ratio <= RATIO
    assert not counts.lost


def test_high_beside_a_limit_saturated_by_low_and_low_beside_high(limited_load: Load, size: Size) -> None:
    """A share of the global limit is left for each side, so that neither waits for the other."""
    load = limited_load
    measured(load, size.measured // 2, SHARE_RATE)
    before_s = measured(load, size.measured, SHARE_RATE)
    load.start(lambda: load.post(load.mix(size.waiting, 0, ["log"]), rate=LIMIT * 4))
    time.sleep(1.0)
    busy_s = measured(load, size.measured, SHARE_RATE)
    load.halt()
    load.join()

    before = final_low(load)
    started_s = time.monotonic()
    load.start(lambda: load.post(load.mix(0, int(LIMIT * size.fault_s * 4), ["log"]), rate=LIMIT * 3))
    time.sleep(size.fault_s)
    load.halt()
    load.join()
    moved = (final_low(load) - before) / (time.monotonic() - started_s)
    print(f"low beside saturated high: {moved:.1f}/s of {LIMIT}/s")  # noqa: T201 - a figure of the run
    counts = load.account(within_s=size.final_s)
    counts.print("saturated limit")
    ratio = compared("high beside a saturated limit", before_s, busy_s, measured(load, size.measured, SHARE_RATE))
    assert not counts.lost
    assert ratio <= RATIO
    assert moved >= LIMIT * LOW_SHARE


def final_low(load: Load) -> int:
    """How many low ones are final."""
    finals = final_deliveries(load.stack.state)
    return sum(1 for one in list(load.sent) if one.priority == "low" and one.delivery_id in finals)
