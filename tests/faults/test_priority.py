"""High is not held up by low that waits."""

from __future__ import annotations

from tests.faults.conftest import Size
from tests.support.load import Load
from tests.support.priority import RATIO, compared, measured
from tests.support.providers import StandIns
from tests.support.stack import Stack

HIGH_RATE = 20.0
ANSWER_S = 0.01


def refill(load: Load, count: int) -> None:
    """Keep low coming in until told to stop."""
    load.post(load.mix(count * 10, 0, ["email"]), rate=count / 10)


def waiting_low(load: Load, stack: Stack) -> int:
    """How many accepted low ones are not final."""
    finals = stack.history.final_deliveries()
    return sum(1 for one in list(load.sent) if one.priority == "low" and one.delivery_id not in finals)


def test_high_beside_waiting_low(stack: Stack, load: Load, providers: StandIns, size: Size) -> None:
    """The 95th percentile of high with thousands of low waiting is at most twice that of an idle system."""
    for provider in providers.all():
        provider.slow_down(ANSWER_S)
    measured(load, size.measured // 2, HIGH_RATE)  # warm
    before_s = measured(load, size.measured, HIGH_RATE)
    load.post(load.mix(size.waiting, 0, ["email"]))
    load.start(lambda: refill(load, size.waiting // 10))
    busy_s = measured(load, size.measured, HIGH_RATE)
    left = waiting_low(load, stack)
    load.halt()
    load.join()
    providers.smtp.slow_down(0.0)
    counts = load.account(within_s=size.final_s)
    counts.print("priority")
    providers.smtp.slow_down(ANSWER_S)
    ratio = compared(f"high beside {left} low", before_s, busy_s, measured(load, size.measured, HIGH_RATE))
    assert left > size.waiting // 4, "low was still waiting at the end"
    assert ratio <= RATIO
    assert not counts.lost
