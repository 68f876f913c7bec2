"""One partition's state: what is cut, sent, taken back, sent again, and what may be committed."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from app.domain.batch import Finished
from app.domain.outcome import OpenReason
from bridges.dispatch.partition import Copy, Entry, PartitionState, ResendPolicy

NOW = 1_000_000
NOT_AFTER = NOW + 20_000
POLICY = ResendPolicy(resend_after_ms=2000, backoff_base_ms=1000, backoff_cap_ms=5000)
COUNT, SIZE = 1000, 256 * 1024


def longest() -> float:
    return 1.0


def shortest() -> float:
    return 0.0


def entries(offsets: Iterable[int], size: int = 10) -> list[Entry]:
    return [Entry(offset, b"x" * size) for offset in offsets]


def fresh(offsets: Iterable[int] = (), committed: int = 0) -> PartitionState:
    state = PartitionState("notifications.high.log", 3, POLICY)
    state.resume_from(None, committed)
    state.feed(entries(offsets))
    return state


def sent(count: int, buffered: int = 0) -> tuple[PartitionState, Copy]:
    """A state whose batch of the offsets from 0 is out, with more buffered behind it."""
    state = fresh(range(count + buffered))
    state.cut(count)
    return state, state.send(NOW, NOT_AFTER)


def finished(copy: Copy, still_open: Iterable[int] = (), reason: OpenReason = OpenReason.NO_TIME) -> Finished:
    """What `record` reports of a copy."""
    later = [(offset, str(OpenReason.LATER_PART)) for offset in copy.others_open]
    return record(
        copy.first, copy.last, [(offset, str(reason)) for offset in still_open] + later, not_after_ms=copy.not_after_ms
    )


def record(
    first: int, last: int, still_open: Iterable[tuple[int, str]] = (), *, not_after_ms: int = NOT_AFTER
) -> Finished:
    return Finished(
        queue="high.log",
        topic="notifications.high.log",
        partition=3,
        first=first,
        last=last,
        sent_at_ms=NOW,
        not_after_ms=not_after_ms,
        open=list(still_open),
    )


def offsets_of(copy: Copy) -> list[int]:
    return [entry.offset for entry in copy.entries]


# what comes in


def test_nothing_is_known_of_a_partition_that_never_was_committed() -> None:
    state = PartitionState("notifications.high.log", 3, POLICY)
    assert state.resume_from(None, -1) == -1
    assert state.committable == -1


@pytest.mark.parametrize(("committed", "start"), [(3, 12), (12, 12), (17, 17), (-1, 12)])
def test_it_starts_at_the_later_of_the_commit_and_the_first_open_offset(committed: int, start: int) -> None:
    state = PartitionState("notifications.high.log", 3, POLICY)
    newest = record(10, 19, [(12, "no_time"), (15, "busy")])
    assert state.resume_from(newest, committed) == start
    assert state.committable == start


def test_it_leaves_out_what_the_newest_record_has_as_finished() -> None:
    state = PartitionState("notifications.high.log", 3, POLICY)
    state.resume_from(record(10, 19, [(12, "no_time"), (15, "busy")]), 10)
    state.feed(entries(range(10, 23)))
    state.cut(state.buffered)
    assert offsets_of(state.send(NOW, NOT_AFTER)) == [12, 15, 20, 21, 22]


def test_what_is_left_out_may_be_committed() -> None:
    state = PartitionState("notifications.high.log", 3, POLICY)
    state.resume_from(record(0, 4), 0)
    state.feed(entries(range(5)))
    assert not state.buffered
    assert state.committable == 5


def test_a_record_that_is_read_twice_is_buffered_once() -> None:
    state = fresh([0, 1, 2])
    state.feed(entries([1, 2, 3]))
    assert state.buffered == 4


def test_offsets_may_have_gaps() -> None:
    state = fresh([3, 7, 20])
    state.cut(2)
    copy = state.send(NOW, NOT_AFTER)
    assert (copy.first, copy.last, offsets_of(copy)) == (3, 7, [3, 7])
    state.apply(finished(copy), NOW, longest)
    assert state.committable == 20


def test_the_next_batch_is_there_by_number_or_by_bytes() -> None:
    state = fresh([0, 1, 2])
    assert state.has_buffered(count=3, size=SIZE)
    assert not state.has_buffered(count=4, size=SIZE)
    assert state.has_buffered(count=4, size=30)
    state.cut(1)
    assert not state.has_buffered(count=3, size=30)


# cutting


@pytest.mark.parametrize(
    ("count", "size", "expected"),
    [(2, SIZE, 2), (10, SIZE, 5), (10, 35, 3), (10, 30, 3), (10, 5, 1)],
    ids=["number", "all", "bytes", "bytes exactly", "one that is too large goes alone"],
)
def test_a_batch_is_bounded_by_number_and_bytes(count: int, size: int, expected: int) -> None:
    assert fresh(range(5)).next_size(count=count, size=size) == expected


def test_of_nothing_there_is_no_batch() -> None:
    assert fresh().next_size(count=COUNT, size=SIZE) == 0


@pytest.mark.parametrize("count", [0, 4, -1])
def test_only_what_is_buffered_can_be_cut(count: int) -> None:
    with pytest.raises(ValueError, match="what is buffered"):
        fresh([0, 1, 2]).cut(count)


def test_a_partition_has_one_batch_out_at_a_time() -> None:
    state = fresh([0, 1, 2])
    state.cut(1)
    with pytest.raises(ValueError, match="one batch out"):
        state.cut(1)
    state.send(NOW, NOT_AFTER)
    with pytest.raises(ValueError, match="nothing is to be sent"):
        state.send(NOW, NOT_AFTER)


def test_where_nothing_is_cut_nothing_is_sent() -> None:
    with pytest.raises(ValueError, match="nothing is to be sent"):
        fresh([0]).send(NOW, NOT_AFTER)


# sending


def test_a_copy_carries_the_batch_and_its_times() -> None:
    state, copy = sent(3, buffered=2)
    assert not state.is_idle
    assert (copy.first, copy.last, copy.sent_at_ms, copy.not_after_ms) == (0, 2, NOW, NOT_AFTER)
    assert (offsets_of(copy), copy.others_open, copy.is_alone) == ([0, 1, 2], [], False)
    assert (state.pending, state.buffered) == (3, 2)
    assert sent(1)[1].is_alone


def test_a_copy_that_could_not_be_put_on_the_queue_is_due_later() -> None:
    state, _ = sent(2)
    state.unsend(NOW + 1000)
    assert not state.is_due(NOW + 999)
    assert state.is_due(NOW + 1000)
    assert offsets_of(state.send(NOW + 1000, NOT_AFTER)) == [0, 1]


def test_no_two_copies_have_the_same_not_after() -> None:
    state, first = sent(2)
    for _ in range(2):
        state.unsend(NOW)
        copy = state.send(NOW, NOT_AFTER - 5000)  # the clock was set back
        assert copy.not_after_ms > first.not_after_ms
        first = copy


# what comes back


def test_a_batch_that_is_finished_makes_room_for_the_next() -> None:
    state, copy = sent(3, buffered=1)
    assert state.apply(finished(copy), NOW, longest)
    assert state.is_idle
    assert state.committable == 3


def test_what_came_back_open_goes_again_after_a_backoff_that_grows_to_its_cap() -> None:
    state, copy = sent(3)
    waits = []
    for _ in range(5):
        assert state.apply(finished(copy, [1]), NOW, longest)
        wait = next(ms for ms in range(0, 10_000, 500) if state.is_due(NOW + ms))
        waits.append(wait)
        copy = state.send(NOW, NOT_AFTER)
        assert offsets_of(copy) == [1]
        assert (copy.first, copy.last) == (0, 2), "a record is always about the whole batch"
    assert waits == [1000, 2000, 4000, 5000, 5000]


def test_the_backoff_is_never_under_its_base_nor_more_than_half_jitter() -> None:
    state, copy = sent(1)
    waits = []
    for _ in range(4):
        state.apply(finished(copy, [0]), NOW, shortest)
        waits.append(next(ms for ms in range(0, 10_000, 250) if state.is_due(NOW + ms)))
        copy = state.send(NOW, NOT_AFTER)
    assert waits == [1000, 1000, 2000, 2500]


def test_a_record_of_an_earlier_copy_finishes_but_is_not_the_one_waited_for() -> None:
    state, old = sent(3)
    state.lose(NOW)
    copy = state.send(NOW, NOT_AFTER + 1)
    assert not state.apply(finished(old, [2]), NOW, longest)
    assert state.copy is copy
    assert (state.pending, state.committable) == (1, 2)
    assert not state.apply(finished(old, [0, 1, 2]), NOW, longest), "and what is finished stays so"
    assert state.pending == 1
    assert not state.apply(finished(old), NOW, longest)
    assert state.is_idle


def test_a_record_of_another_owner_counts_for_what_it_covers() -> None:
    state, copy = sent(4, buffered=3)
    assert not state.apply(record(2, 5, [(3, "busy")], not_after_ms=copy.not_after_ms), NOW, longest)
    assert state.pending == 3
    state.apply(finished(copy), NOW, longest)
    assert state.buffered == 1, "4 and 5 were buffered, and are not sent"
    assert state.committable == 6


def test_bytes_follow_what_is_dropped() -> None:
    state = fresh(range(4))
    state.apply(record(0, 2), NOW, longest)
    assert not state.has_buffered(count=COUNT, size=11)
    assert state.has_buffered(count=COUNT, size=10)


@pytest.mark.parametrize("place", [(10, 19), (0, 1)])
def test_a_record_about_other_offsets_changes_nothing(place: tuple[int, int]) -> None:
    state = fresh(range(2, 5))
    state.cut(3)
    state.send(NOW, NOT_AFTER)
    assert not state.apply(record(*place), NOW, longest)
    assert state.pending == 3


def test_without_a_batch_out_a_record_changes_nothing_that_is_not_buffered() -> None:
    state = fresh(committed=4)
    assert not state.apply(record(0, 9), NOW, longest)
    assert state.committable == 4


# losses and parts


def test_a_copy_is_overdue_two_seconds_after_its_not_after() -> None:
    state, copy = sent(1)
    assert not state.is_overdue(copy.not_after_ms + 2000)
    assert state.is_overdue(copy.not_after_ms + 2001)
    state.lose(NOW)
    assert not state.is_overdue(copy.not_after_ms + 2001), "nothing is out"
    assert not fresh().is_overdue(NOT_AFTER * 2)


def test_copies_stay_in_order_where_the_clock_was_set_back() -> None:
    state, first = sent(1)
    state.lose(NOW)
    state.set_back(5000)
    second = state.send(NOW - 5000, NOT_AFTER - 5000)
    assert second.not_after_ms == first.not_after_ms + 1


def test_copies_stay_in_order_over_owners_whose_clocks_differ() -> None:
    state = PartitionState("notifications.high.log", 3, POLICY)
    state.resume_from(record(0, 9, [(3, "busy")], not_after_ms=NOT_AFTER + 700), 0)
    state.feed(entries(range(3, 10)))
    state.cut(1)
    assert state.send(NOW, NOT_AFTER).not_after_ms == NOT_AFTER + 701


def test_a_clock_set_back_by_more_than_a_copys_life_does_not_make_copies_live_for_that_long() -> None:
    """A worker's death would hold its deliveries until then."""
    state = PartitionState("notifications.high.log", 3, POLICY)
    state.resume_from(record(0, 9, [(3, "busy")], not_after_ms=NOT_AFTER + 3_600_000), 0)
    state.feed(entries(range(3, 10)))
    state.cut(1)
    copy = state.send(NOW, NOT_AFTER)
    assert copy.not_after_ms == NOT_AFTER
    state.lose(NOW)
    assert state.send(NOW, NOT_AFTER).not_after_ms == NOT_AFTER + 1, "and in order from there"


def test_a_copy_that_is_out_when_the_clock_is_set_back_is_waited_for_no_longer() -> None:
    state, copy = sent(1)
    state.set_back(3_600_000)
    overdue_ms = NOT_AFTER - 3_600_000 + 2000
    assert not state.is_overdue(overdue_ms)
    assert state.is_overdue(overdue_ms + 1)
    assert copy.sent_at_ms == NOW - 3_600_000, "as later copies are told from it"
    assert copy.not_after_ms == NOT_AFTER, "it is known by this"
    assert state.apply(finished(copy), NOW, longest)


def test_what_came_back_is_due_after_its_backoff_also_where_the_clock_was_set_back() -> None:
    state, copy = sent(1)
    state.apply(finished(copy, [0]), NOW, shortest)
    state.set_back(3_600_000)
    assert not state.is_due(NOW - 3_600_000 + 999)
    assert state.is_due(NOW - 3_600_000 + 1000)


def test_where_nothing_is_out_a_clock_that_was_set_back_changes_nothing() -> None:
    state = fresh([0])
    state.set_back(5000)
    state.cut(1)
    assert state.is_due(NOW - 5000)


def test_what_is_lost_is_due_at_once_and_whole_the_first_time() -> None:
    state, _ = sent(25)
    state.lose(NOW)
    assert state.is_due(NOW)
    assert len(state.send(NOW, NOT_AFTER).entries) == 25


def lost_twice(count: int) -> PartitionState:
    state, _ = sent(count)
    state.lose(NOW)
    state.send(NOW, NOT_AFTER)
    state.lose(NOW)
    return state


@pytest.mark.parametrize(("count", "sizes"), [(25, [3] * 8 + [1]), (1000, [100] * 10), (4, [1] * 4), (1, [1])])
def test_from_its_second_sending_again_a_batch_goes_in_ten_parts_one_after_the_other(
    count: int, sizes: list[int]
) -> None:
    state = lost_twice(count)
    gone: list[int] = []
    for size in sizes:
        copy = state.send(NOW, NOT_AFTER)
        assert len(copy.entries) == size
        gone += offsets_of(copy)
        assert copy.others_open == list(range(len(gone), count)), "every offset still open is told"
        with pytest.raises(ValueError, match="nothing is to be sent"):
            state.send(NOW, NOT_AFTER)
        state.apply(finished(copy), NOW, longest)
        assert state.is_idle or state.is_due(NOW), "the next part follows at once"
    assert gone == list(range(count))
    assert state.is_idle


def test_a_part_that_comes_back_open_waits_behind_the_others_and_then_for_its_backoff() -> None:
    state = lost_twice(3)
    copy = state.send(NOW, NOT_AFTER)
    assert offsets_of(copy) == [0]
    state.apply(finished(copy, [0]), NOW, longest)
    for offset in (1, 2):
        copy = state.send(NOW, NOT_AFTER)
        assert offsets_of(copy) == [offset]
        assert state.committable == 0
        state.apply(finished(copy), NOW, longest)
    assert not state.is_due(NOW + 999)
    assert state.is_due(NOW + 1000)
    assert offsets_of(state.send(NOW, NOT_AFTER)) == [0]


def test_a_part_that_is_lost_is_cut_finer_when_the_others_are_through() -> None:
    state = lost_twice(20)
    copy = state.send(NOW, NOT_AFTER)
    assert offsets_of(copy) == [0, 1]
    state.lose(NOW)
    for _ in range(9):
        copy = state.send(NOW, NOT_AFTER)
        state.apply(finished(copy), NOW, longest)
    assert state.pending == 2
    copy = state.send(NOW, NOT_AFTER)
    assert offsets_of(copy) == [0]
    assert copy.is_alone
    assert copy.others_open == [1]


def test_parts_that_others_finished_meanwhile_are_left_out() -> None:
    state = lost_twice(4)
    copy = state.send(NOW, NOT_AFTER)
    state.apply(record(0, 3, [(0, "busy"), (3, "busy")], not_after_ms=1), NOW, longest)
    state.apply(finished(copy), NOW, longest)
    assert offsets_of(state.send(NOW, NOT_AFTER)) == [3]


def test_a_step_that_failed_counts_as_a_loss() -> None:
    state, copy = sent(3)
    for _ in range(2):
        state.apply(finished(copy, [0, 1, 2], OpenReason.STEP_FAILED), NOW, longest)
        copy = state.send(NOW, NOT_AFTER)
    assert offsets_of(copy) == [0]


def test_coming_back_open_is_no_loss() -> None:
    state, copy = sent(3)
    for _ in range(5):
        state.apply(finished(copy, [0, 1, 2], OpenReason.BREAKER_OPEN), NOW, longest)
        copy = state.send(NOW, NOT_AFTER)
    assert offsets_of(copy) == [0, 1, 2]


def test_losing_or_taking_back_what_is_not_out_changes_nothing() -> None:
    state = fresh([0])
    state.lose(NOW)
    state.unsend(NOW)
    assert state.is_idle
    state.cut(1)
    state.lose(NOW + 5000)
    state.unsend(NOW + 5000)
    assert state.is_due(NOW)


# what may be committed


def test_only_what_is_finished_from_the_front_may_be_committed() -> None:
    state, copy = sent(4, buffered=2)
    assert state.committable == 0
    state.apply(finished(copy, [2]), NOW, longest)
    assert state.committable == 2
    copy = state.send(NOW, NOT_AFTER)
    state.apply(finished(copy), NOW, longest)
    assert state.committable == 4
    state.cut(2)
    copy = state.send(NOW, NOT_AFTER)
    assert state.committable == 4
    state.apply(finished(copy), NOW, longest)
    assert state.committable == 6


# what waits for SQL


PATIENT = ResendPolicy(resend_after_ms=2000, backoff_base_ms=1000, backoff_cap_ms=5000, most_waiting=2)


def waiting(still_open: Iterable[int], reason: OpenReason = OpenReason.SQL_DOWN) -> PartitionState:
    """A state whose batch of 0 to 3 came back with these open; 4 to 7 are buffered."""
    state = PartitionState("notifications.high.log", 3, PATIENT)
    state.resume_from(None, 0)
    state.feed(entries(range(8)))
    state.cut(4)
    state.apply(finished(state.send(NOW, NOT_AFTER), still_open, reason), NOW + 100, longest)
    return state


def test_what_waits_for_sql_does_not_hold_up_those_behind_it() -> None:
    state = waiting([1])
    assert not state.is_due(NOW + 100)
    assert state.may_join
    state.join(2)
    assert state.is_due(NOW + 100)
    copy = state.send(NOW + 100, NOT_AFTER)
    assert (copy.first, copy.last, copy.others_open) == (0, 5, [1])
    assert [entry.offset for entry in copy.entries] == [4, 5]
    assert state.apply(finished(copy), NOW + 200, longest)
    assert state.committable == 1, "the first that is open"
    assert state.may_join


def test_its_wait_is_not_made_longer_by_the_others() -> None:
    state = waiting([1])
    state.join(2)
    copy = state.send(NOW + 900, NOT_AFTER)
    state.apply(finished(copy, [5], OpenReason.SQL_DOWN), NOW + 1050, longest)
    assert not state.is_due(NOW + 1099)
    again = state.send(NOW + 1100, NOT_AFTER + 1) if state.is_due(NOW + 1100) else None
    assert again is not None
    assert [entry.offset for entry in again.entries] == [1, 5]
    assert again.others_open == []
    state.apply(finished(again, [1, 5], OpenReason.SQL_DOWN), NOW + 1200, longest)
    assert not state.is_due(NOW + 1200 + 1999)
    assert state.is_due(NOW + 1200 + 2000)


def test_who_joins_when_it_is_time_goes_with_those_that_wait() -> None:
    state = waiting([1])
    state.join(1)
    copy = state.send(NOW + 60_000, NOT_AFTER + 60_000)
    assert [entry.offset for entry in copy.entries] == [1, 4]


def test_all_is_through_when_they_are() -> None:
    state = waiting([1])
    state.join(4)
    state.apply(finished(state.send(NOW + 200, NOT_AFTER)), NOW + 300, longest)
    assert not state.may_join or not state.buffered
    last = state.send(NOW + 2000, NOT_AFTER)
    state.apply(finished(last), NOW + 2100, longest)
    assert state.is_idle
    assert state.committable == 8


@pytest.mark.parametrize(
    ("still_open", "reason"),
    [([1, 2, 3], OpenReason.SQL_DOWN), ([1], OpenReason.NO_TIME), ([1], OpenReason.STEP_FAILED)],
    ids=["too many", "another reason", "a step failed"],
)
def test_otherwise_nothing_joins(still_open: list[int], reason: OpenReason) -> None:
    state = waiting(still_open, reason)
    assert not state.may_join
    with pytest.raises(ValueError, match="only what is buffered may join"):
        state.join(1)


def test_nothing_joins_a_batch_that_was_lost() -> None:
    state = waiting([1])
    state.join(2)
    state.send(NOW + 200, NOT_AFTER)
    assert not state.may_join, "nor one whose copy is out"
    state.lose(NOW + 300)
    assert not state.may_join
    assert [entry.offset for entry in state.send(NOW + 300, NOT_AFTER).entries] == [1, 4, 5]


def test_who_joined_and_was_finished_by_another_is_left_out() -> None:
    state = waiting([1])
    state.join(2)
    state.apply(record(4, 4), NOW + 200, longest)
    assert [entry.offset for entry in state.send(NOW + 200, NOT_AFTER).entries] == [5]


def test_a_new_owner_starts_at_what_waits_and_leaves_out_the_rest() -> None:
    state = waiting([1])
    state.join(2)
    newest = finished(state.send(NOW + 200, NOT_AFTER))
    successor = PartitionState("notifications.high.log", 3, PATIENT)
    assert successor.resume_from(newest, 0) == 1
    successor.feed(entries(range(1, 8)))
    successor.cut(3)
    assert [entry.offset for entry in successor.send(NOW, NOT_AFTER).entries] == [1, 6, 7]


def test_parts_that_come_back_for_sql_wait_all_the_same() -> None:
    """They are each other's `others_open`, too: without a backoff they would go round and round."""
    state = waiting([0, 1])
    for _ in range(2):
        state.send(NOW + 2000, NOT_AFTER)
        state.lose(NOW + 2000)
    for _ in range(2):
        state.apply(finished(state.send(NOW + 2000, NOT_AFTER), [0, 1], OpenReason.SQL_DOWN), NOW + 2000, longest)
    assert not state.is_due(NOW + 2000)


def test_those_that_waited_go_in_portions_when_sql_is_back() -> None:
    """All in one copy would take longer than it may, and be larger than the broker likes."""
    patient = ResendPolicy(resend_after_ms=2000, backoff_base_ms=1000, backoff_cap_ms=5000, most_waiting=100)
    state = PartitionState("notifications.high.log", 3, patient)
    state.resume_from(None, 0)
    state.feed(entries(range(10)))
    state.cut(10)
    state.apply(finished(state.send(NOW, NOT_AFTER), range(10), OpenReason.SQL_DOWN), NOW, longest)
    for number, expected in enumerate([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]):
        assert state.is_due(NOW + 1000)
        copy = state.send(NOW + 1000, NOT_AFTER + number, count=4, size=10**6)
        assert [entry.offset for entry in copy.entries] == expected
        state.apply(finished(copy), NOW + 1000, longest)
    assert state.is_idle


def test_a_portion_that_comes_back_for_sql_ends_the_try() -> None:
    state = waiting([0, 1])
    copy = state.send(NOW + 1100, NOT_AFTER, count=1, size=10**6)
    assert ([entry.offset for entry in copy.entries], copy.others_open) == ([0], [1])
    state.apply(finished(copy, [0], OpenReason.SQL_DOWN), NOW + 1200, longest)
    assert not state.is_due(NOW + 1200 + 1000)
    assert state.may_join, "and meanwhile others go on"


def test_a_portion_is_bounded_by_bytes_too() -> None:
    state = waiting([0, 1])
    assert [entry.offset for entry in state.send(NOW + 1100, NOT_AFTER, count=9, size=5).entries] == [0], "at least one"


def test_where_all_came_back_for_sql_an_earlier_loss_is_forgotten() -> None:
    """It would stop everybody behind them for as long as SQL is away."""
    state = waiting([1])
    state.send(NOW + 1100, NOT_AFTER)
    state.lose(NOW + 1200)
    assert not state.may_join
    state.apply(finished(state.send(NOW + 1200, NOT_AFTER), [1], OpenReason.SQL_DOWN), NOW + 1300, longest)
    assert state.may_join
