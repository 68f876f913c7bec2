"""What a dispatcher makes of `notifications.finished`, whoever sent the batches."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from app.domain.batch import Finished
from bridges.dispatch.finished import FinishedView

TOPIC = "notifications.high.log"
NOW_MS = 10_000_000


def record(**given: Any) -> Finished:
    values: dict[str, Any] = {
        "queue": "high.log",
        "topic": TOPIC,
        "partition": 0,
        "first": 0,
        "last": 9,
        "sent_at_ms": 100,
        "not_after_ms": 1000,
    }
    return Finished(**(values | given))


def view(*records: Finished) -> FinishedView:
    made = FinishedView()
    for one in records:
        made.apply(one, NOW_MS)
    return made


def test_of_a_partition_nothing_was_heard_of_there_is_no_record() -> None:
    assert view(record(partition=1)).newest(TOPIC, 0) is None
    assert view(record()).newest("notifications.low.log", 0) is None


def test_the_newest_is_of_the_last_batch_and_there_of_the_last_copy_in_whatever_order_they_came() -> None:
    old_batch = record(first=0, last=9, not_after_ms=5000)
    first_copy = record(first=10, last=19, not_after_ms=2000, open=[(12, "no_time")])
    second_copy = record(first=10, last=19, not_after_ms=3000)
    for order in itertools.permutations([old_batch, first_copy, second_copy]):
        assert view(*order).newest(TOPIC, 0) == second_copy


def test_of_two_records_about_one_copy_the_later_counts() -> None:
    again = record(open=[(3, "busy")])
    assert view(record(), again).newest(TOPIC, 0) == again


def test_partitions_are_kept_apart() -> None:
    one, other = record(partition=0), record(partition=1, last=30)
    seen = view(one, other)
    assert (seen.newest(TOPIC, 0), seen.newest(TOPIC, 1)) == (one, other)


@pytest.mark.parametrize(
    ("still_open", "first_open"), [([], 10), ([(7, "busy"), (4, "later_part")], 4), ([(0, "no_time")], 0)]
)
def test_the_next_owner_starts_at_the_first_open_offset(still_open: list[tuple[int, str]], first_open: int) -> None:
    assert record(open=still_open).first_open == first_open


def test_a_queue_has_moved_past_what_was_sent_before_something_that_finished() -> None:
    seen = view(record(sent_at_ms=200, partition=5), record(sent_at_ms=150))
    assert seen.has_moved_past("high.log", 199)
    assert not seen.has_moved_past("high.log", 200), "a queue keeps no order within a millisecond"
    assert not seen.has_moved_past("high.email", 0)


def test_what_was_sent_before_the_clock_was_set_back_is_not_later_than_what_was_sent_after() -> None:
    """Else each overdue copy would count as gone, also while workers are away, until the clock is there again."""
    seen = view(record(sent_at_ms=3_600_000))
    seen.set_back()
    assert not seen.has_moved_past("high.log", 100)
    seen.apply(record(sent_at_ms=150), 200)
    assert seen.has_moved_past("high.log", 100)


def test_a_sender_whose_clock_is_ahead_moves_its_queue_up_to_now() -> None:
    seen = FinishedView()
    seen.apply(record(sent_at_ms=90_000), 1000)
    assert seen.has_moved_past("high.log", 999)
    assert not seen.has_moved_past("high.log", 1000)


def test_how_long_a_delivery_takes_follows_the_latest_batches() -> None:
    assert view().ms_per_delivery("high.log") is None
    assert view(record(calls=10, took_ms=100)).ms_per_delivery("high.log") == 10
    seen = view(record(calls=10, took_ms=100), record(calls=1, took_ms=20))
    assert seen.ms_per_delivery("high.log") == pytest.approx(13)
    assert seen.ms_per_delivery("low.log") is None


def test_copies_that_called_nobody_tell_nothing_of_speed() -> None:
    assert view(record(calls=10, took_ms=100), record(calls=0, took_ms=9000)).ms_per_delivery("high.log") == 10


def test_what_came_back_open_is_counted_by_queue() -> None:
    seen = view(
        record(open=[(3, "busy"), (4, "busy")]),
        record(partition=1, open=[(3, "busy")]),
        record(queue="low.log", topic="notifications.low.log", open=[(1, "no_time")]),
    )
    assert seen.open_counts() == {"high.log": 3, "low.log": 1}
