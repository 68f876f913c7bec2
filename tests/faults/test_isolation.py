"""One channel's trouble stays there."""

from __future__ import annotations

import time

from tests.faults.conftest import Size
from tests.support.account import percentile
from tests.support.load import Load, Sent
from tests.support.providers import StandIns
from tests.support.stack import Stack
from tests.support.stack_client import wait_until

#: One child for high alone, two for all lanes, one for low first: four.
SETTINGS = {"CHILDREN_ALL": "2"}
RATE = 50.0
WARM_S = 2.0
CHANNELS = ("email", "webhook", "in_app")
OTHERS = ("webhook", "in_app")
#: What the others may lose while one hangs.
FACTOR = 1.25
EXTRA_S = 0.05
FINAL_WITHIN_S = 30.0


def posted(load: Load, seconds: float) -> list[Sent]:
    """One of each channel at the rate, for so long."""
    sent: list[Sent] = []
    started_s = time.monotonic()
    for number in range(int(seconds * RATE)):
        time.sleep(max(0.0, started_s + number / RATE - time.monotonic()))
        sent += load.post([load.event("high", channel) for channel in CHANNELS])
    return sent


def p95(stack: Stack, sent: list[Sent]) -> dict[str, float]:
    """Per channel, but the one that hangs: seconds from acceptance to outcome, as the history has it."""
    wanted = {one.delivery_id for one in sent if one.channel in OTHERS}
    took: dict[str, float] = {}

    def all_there() -> bool:
        took.update(stack.history.seconds_to_outcome(wanted))
        return wanted <= took.keys()

    wait_until(all_there, "all of the other channels are final", FINAL_WITHIN_S, look_s=0.3)
    return {
        channel: percentile(sorted(took[one.delivery_id] for one in sent if one.channel == channel), 0.95)
        for channel in OTHERS
    }


def test_others_while_smtp_hangs(stack: Stack, load: Load, providers: StandIns, size: Size) -> None:
    """Webhooks and the inbox keep their pace from the first second on, with 4 children and 50/s of each channel."""
    p95(stack, posted(load, WARM_S))
    before = p95(stack, posted(load, size.isolation_s))
    providers.smtp.turn("hang")
    first = posted(load, 1.0)
    rest = posted(load, size.isolation_s)
    during = p95(stack, first + rest)
    in_first = p95(stack, first)
    providers.smtp.turn("accept")
    for channel in OTHERS:
        print(  # noqa: T201 - figures of the run
            f"\n{channel:<8} p95 before {before[channel] * 1000:.0f} ms, first second "
            f"{in_first[channel] * 1000:.0f} ms, while SMTP hangs {during[channel] * 1000:.0f} ms"
        )
    counts = load.account(within_s=size.final_s)
    counts.print("SMTP hangs")
    assert not counts.lost
    for channel in OTHERS:
        bound_s = before[channel] * FACTOR + EXTRA_S
        assert during[channel] <= bound_s
        assert in_first[channel] <= bound_s
