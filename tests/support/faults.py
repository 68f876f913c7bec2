"""One fault under load, from beginning to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tests.support.account import Counts, Window
from tests.support.load import Load
from tests.support.stack_client import wait_until

ARRIVE_WITHIN_S = 60.0


def under_load(
    load: Load,
    fault: Callable[[], None],
    *,
    name: str,
    low: int,
    high: int,
    final_s: float,
    probe_within_s: float,
    cuts_calls_off: bool = False,
) -> Counts:
    """Break something while deliveries are under way, then wait until all are final.

    `fault` returns when it is over. `cuts_calls_off`: it takes workers, or what they have claimed, away, so that calls
    under way may be repeated. Prints the counts.
    """
    load.start(lambda: load.post(load.mix(low, high)))
    wait_until(lambda: load.arrived() >= (low + high) // 20, "deliveries are under way", ARRIVE_WITHIN_S)
    from_s = time.monotonic()
    fault()
    until_s = time.monotonic()
    probe = load.post_one(load.event("high", "email"))
    load.join()
    probe_s = load.seconds_to_provider(probe, probe_within_s)
    windows: Sequence[Window] = [Window(from_s, until_s)] if cuts_calls_off else []
    counts = load.account(windows, within_s=final_s, probe_s=probe_s)
    counts.print(name)
    assert not counts.lost
    assert not counts.unexplained
    assert counts.probe_s <= probe_within_s
    return counts
