"""A global limit that one side saturates leaves the other its share."""

from __future__ import annotations

import time

from tests.faults.conftest import Size
from tests.support.load import Load
from tests.support.priority import RATIO, compared, measured

LIMIT = 100
SETTINGS = {"LIMIT_GLOBAL": f"{LIMIT}/s"}
#: Half of what the others leave to high of that: at all of it there is a queue whatever is done.
SHARE_RATE = 10.0
#: What high leaves to the others of a saturated limit, less what a short measurement costs.
LOW_SHARE = 0.1 * 0.5


def test_high_beside_a_limit_saturated_by_low_and_low_beside_high(load: Load, size: Size) -> None:
    """A share of the global limit is left for each side, so that neither waits for the other."""
    measured(load, size.measured // 2, SHARE_RATE)
    before_s = measured(load, size.measured, SHARE_RATE)
    saturating = size.waiting if size.is_full else size.waiting // 2
    load.start(lambda: load.post(load.mix(saturating, 0, ["log"]), rate=LIMIT * 4))
    time.sleep(1.0)
    busy_s = measured(load, size.measured, SHARE_RATE)
    load.halt()
    load.join()

    before = final_low(load)
    waiting = sum(1 for one in load.sent if one.priority == "low") - before
    assert waiting > LIMIT * size.fault_s, "low has a backlog of its own meanwhile"
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
    finals = load.stack.history.final_deliveries()
    return sum(1 for one in list(load.sent) if one.priority == "low" and one.delivery_id in finals)
