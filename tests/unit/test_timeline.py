"""Where deliveries and notifications stand, by their outcomes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.outcome import Outcome, Reason, Status
from app.domain.ports import NotificationRecord
from app.domain.timeline import current, delivery_states, notification_status, timeline


def outcome(
    status: Status,
    *,
    pass_no: int = 0,
    at_ms: int = 1,
    delivery_id: str = "d-1",
    channel: str = "email",
    reason: str = "",
) -> Outcome:
    return Outcome(
        notification_id="n",
        user_id="anna",
        event_type="order_shipped",
        delivery_id=delivery_id,
        channel=channel,
        pass_no=pass_no,
        at_ms=at_ms,
        status=status,
        reason=reason,
    )


def record(*outcomes: Outcome) -> NotificationRecord:
    return NotificationRecord(
        id="n", user_id="anna", event_type="order_shipped", accepted_at_ms=1, event=None, outcomes=list(outcomes)
    )


OUTCOMES = st.lists(
    st.builds(
        outcome,
        st.sampled_from(Status),
        pass_no=st.integers(0, 2),
        at_ms=st.integers(1, 3),
        delivery_id=st.sampled_from(["", "d-1", "d-2"]),
        channel=st.sampled_from(["email", "sms"]),
        reason=st.sampled_from(["", "a", "b"]),
    ),
    max_size=8,
)


@given(outcomes=OUTCOMES, seed=st.randoms(use_true_random=False), repeated=st.integers(0, 4))
def test_neither_order_nor_repetition_of_outcomes_matters(
    outcomes: list[Outcome], seed: random.Random, repeated: int
) -> None:
    shuffled = outcomes + seed.choices(outcomes, k=repeated) if outcomes else []
    seed.shuffle(shuffled)
    assert timeline(record(*shuffled), ["email", "push"]) == timeline(record(*outcomes), ["email", "push"])


def test_the_highest_pass_decides_whatever_came_later_in_an_earlier_one() -> None:
    late_news = outcome(Status.DELIVERED, pass_no=0, at_ms=9)
    assert current([outcome(Status.PARKED, pass_no=1, at_ms=5), late_news]).status == Status.PARKED


@pytest.mark.parametrize(
    ("weaker", "stronger"),
    [
        (Status.ACCEPTED, Status.PARKED),
        (Status.PARKED, Status.UNKNOWN),
        (Status.UNKNOWN, Status.SENT),
        (Status.EXPIRED, Status.SENT),
        (Status.SUPPRESSED, Status.SENT),
        (Status.CANCELLED, Status.SENT),
        (Status.SENT, Status.DELIVERED),
        (Status.DELIVERED, Status.FAILED),
        (Status.SENT, Status.BOUNCED),
        (Status.UNKNOWN, Status.BOUNCED),
        (Status.DELIVERED, Status.BOUNCED),
        (Status.FAILED, Status.BOUNCED),
        (Status.BOUNCED, Status.COMPLAINED),
        (Status.DELIVERED, Status.COMPLAINED),
    ],
)
def test_within_a_pass_the_rank_decides_even_against_time(weaker: Status, stronger: Status) -> None:
    assert current([outcome(stronger, at_ms=1), outcome(weaker, at_ms=2)]).status == stronger


def test_of_equal_rank_the_latest_decides() -> None:
    earlier, later = outcome(Status.FAILED, at_ms=1, reason="a"), outcome(Status.FAILED, at_ms=2, reason="b")
    assert current([later, earlier]).reason == "b"


def test_every_status_has_a_rank() -> None:
    for status in Status:
        assert current([outcome(status)]).status == status


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], Status.ACCEPTED),
        ([Status.SENT, Status.ACCEPTED], Status.ACCEPTED),
        ([Status.SENT, Status.ACCEPTED, Status.PARKED], Status.PARKED),
        ([Status.FAILED, Status.PARKED], Status.PARKED),
        ([Status.DELIVERED, Status.DELIVERED], Status.DELIVERED),
        ([Status.DELIVERED, Status.SENT], Status.SENT),
        ([Status.DELIVERED, Status.SUPPRESSED], Status.DELIVERED),
        ([Status.SENT, Status.FAILED, Status.UNKNOWN], Status.SENT),
        ([Status.SUPPRESSED, Status.FAILED, Status.UNKNOWN], Status.FAILED),
        ([Status.EXPIRED, Status.UNKNOWN], Status.UNKNOWN),
        ([Status.CANCELLED, Status.EXPIRED], Status.EXPIRED),
        ([Status.SUPPRESSED, Status.CANCELLED], Status.CANCELLED),
        ([Status.SUPPRESSED], Status.SUPPRESSED),
        ([Status.BOUNCED, Status.SENT], Status.SENT),
        ([Status.BOUNCED, Status.DELIVERED], Status.DELIVERED),
        ([Status.BOUNCED, Status.UNKNOWN], Status.BOUNCED),
        ([Status.BOUNCED, Status.FAILED], Status.FAILED),
        ([Status.COMPLAINED, Status.BOUNCED], Status.COMPLAINED),
        ([Status.COMPLAINED, Status.DELIVERED], Status.DELIVERED),
        ([Status.COMPLAINED, Status.PARKED], Status.PARKED),
    ],
)
def test_a_notification_stands_where_its_deliveries_do(statuses: list[Status], expected: Status) -> None:
    assert notification_status(statuses) == expected


@given(st.lists(st.sampled_from(Status), min_size=1))
def test_a_notification_is_final_exactly_when_all_its_deliveries_are(statuses: list[Status]) -> None:
    assert notification_status(statuses).is_final == all(status.is_final for status in statuses)


def test_a_delivery_shows_its_outcomes_oldest_first() -> None:
    sent, parked = outcome(Status.SENT, pass_no=1, at_ms=7), outcome(Status.PARKED, at_ms=3, reason=Reason.QUIET_HOURS)
    [state] = delivery_states([sent, parked])
    assert (state.id, state.channel, state.status, state.reason, state.at_ms) == ("d-1", "email", Status.SENT, "", 7)
    assert [(step.status, step.reason) for step in state.outcomes] == [
        (Status.PARKED, Reason.QUIET_HOURS),
        (Status.SENT, ""),
    ]


def test_a_channel_nothing_was_heard_of_keeps_the_notification_accepted() -> None:
    found = timeline(record(outcome(Status.SENT)), ["email", "push"])
    assert found.status == Status.ACCEPTED
    assert [(state.channel, state.status) for state in found.deliveries] == [
        ("email", Status.SENT),
        ("push", Status.ACCEPTED),
    ]


def test_a_notification_without_any_outcome_is_accepted() -> None:
    assert timeline(record()).status == Status.ACCEPTED


def test_an_outcome_of_the_whole_event_decides_where_there_is_no_delivery() -> None:
    whole = outcome(Status.FAILED, delivery_id="", channel="", reason=Reason.NO_CHANNELS)
    found = timeline(record(whole), ["email"])
    assert (found.status, found.reason, found.deliveries) == (Status.FAILED, Reason.NO_CHANNELS, [])
    assert [step.reason for step in found.outcomes] == [Reason.NO_CHANNELS]


def test_deliveries_decide_over_an_outcome_of_the_whole_event() -> None:
    whole = outcome(Status.EXPIRED, delivery_id="", channel="")
    assert timeline(record(whole, outcome(Status.SENT))).status == Status.SENT
