"""How fast high goes, and how that compares with an idle system."""

from __future__ import annotations

import time

from tests.support.account import percentile
from tests.support.load import Load, Sent

#: How much slower high may be than on an idle system.
RATIO = 2.0
ARRIVE_S = 30.0


def measured(load: Load, count: int, rate: float) -> float:
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
