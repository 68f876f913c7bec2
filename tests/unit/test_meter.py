"""The meter counts and times, hands over what was added, and takes over what others counted."""

from __future__ import annotations

from app.domain.codec import decode, encode
from app.domain.meter import Counted, Meter, Readings, Timed
from app.domain.metric import Metric

COUNTER = Metric(name="a_things", unit="things", at=("worker",), sentence="Things.", labels=("kind",))
TIMER = Metric(
    name="a_seconds", unit="seconds", kind="histogram", at=("worker",), sentence="Seconds.", buckets=(0.1, 1.0)
)


def test_counts_add_up_by_labels() -> None:
    meter = Meter()
    meter.count(COUNTER, ("x",))
    meter.count(COUNTER, ("x",), 4)
    meter.count(COUNTER, ("y",))
    assert meter.readings().counted == [Counted("a_things", ("x",), 5), Counted("a_things", ("y",), 1)]


def test_a_value_falls_into_the_bucket_whose_bound_it_does_not_exceed() -> None:
    meter = Meter()
    for value in (0.05, 0.1, 0.5, 7.0):
        meter.observe(TIMER, value)
    assert meter.readings().timed == [Timed("a_seconds", (), [2, 1, 1], 7.65)]


def test_what_is_taken_is_forgotten() -> None:
    meter = Meter()
    meter.count(COUNTER, ("x",))
    meter.observe(TIMER, 0.5)
    assert meter.take()
    assert not meter.take()
    meter.count(COUNTER, ("x",), 2)
    assert meter.take().counted == [Counted("a_things", ("x",), 2)]


def test_what_others_counted_is_added_also_after_a_wire() -> None:
    child, parent = Meter(), Meter()
    for _ in range(2):
        child.count(COUNTER, ("x",))
        child.observe(TIMER, 0.5)
        parent.add(decode(encode(child.take()), Readings))
    assert parent.readings() == Readings([Counted("a_things", ("x",), 2)], [Timed("a_seconds", (), [0, 2, 0], 1.0)])


def test_a_reset_meter_is_empty() -> None:
    meter = Meter()
    meter.count(COUNTER, ("x",))
    meter.reset()
    assert not meter.readings()
