"""Providers that refuse for a while, and a delivery that kills whoever renders it."""

from __future__ import annotations

import time

import pytest

from tests.faults.conftest import Size
from tests.faults.killer.sitecustomize import MARKER
from tests.support.faults import under_load
from tests.support.load import Load
from tests.support.providers import Mode, StandIns
from tests.support.stack import Stack

PROBE_S = 30.0
ANSWER_S = 0.01
MATES = 24
#: Two losses whole, one of a tenth, three alone, each as long as a copy lives.
POISON_WITHIN_S = 90.0


@pytest.mark.parametrize("mode", ["refuse", "closed"])
def test_smtp_refuses(load: Load, providers: StandIns, size: Size, mode: Mode) -> None:
    """451, or no connection at all, to everybody for some time: all is sent when it is over, once."""
    providers.smtp.slow_down(ANSWER_S)

    def refuse() -> None:
        providers.smtp.turn(mode)
        time.sleep(size.fault_s)
        providers.smtp.turn("accept")

    counts = under_load(
        load,
        refuse,
        name=f"SMTP {mode} for {size.fault_s:g} s",
        low=size.low,
        high=size.high,
        final_s=size.final_s,
        probe_within_s=PROBE_S,
        cuts_calls_off=mode == "closed",  # a yes that was cut off on its way is in doubt, and high goes again
    )
    assert counts.statuses.keys() <= {"sent", "unknown"}
    # A call that was cut off after the text was handed over is in doubt: at most one a child.
    assert counts.statuses.get("unknown", 0) <= 4


def test_a_delivery_that_kills_its_worker_fails_and_its_mates_are_delivered(stack: Stack, load: Load) -> None:
    events = load.mix(0, MATES, ["email"])
    events.insert(MATES // 2, load.event("high", "email", MARKER))
    for event in events:
        event["user_id"] = "poison-001"  # one partition, so that they travel together
    sent = load.post(events)
    poison = sent[MATES // 2]
    counts = load.account(within_s=POISON_WITHIN_S)
    counts.print("poison")
    finals = stack.history.final_deliveries()
    assert not counts.lost
    assert counts.twice == 0
    assert finals[poison.delivery_id] == "failed"
    assert stack.history.reason_of(poison.delivery_id) == "poison"
    assert {finals[one.delivery_id] for one in sent if one is not poison} == {"sent"}
    assert load.arrived() == MATES
