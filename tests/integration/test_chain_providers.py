"""What a provider's answer leads to: parked, failed, unknown, and what its breaker does to the rest of the batch."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from msgspec import structs

from app.domain.clock import now_ms
from app.domain.delivery import Delivery
from app.domain.errors import (
    InDoubtError,
    PermanentError,
    ProviderTimeoutError,
    StoreUnavailableError,
    ThrottledError,
    TransientError,
)
from app.domain.event import Options, To
from app.domain.lane import Priority
from app.domain.outcome import Reason
from tests.support.chain import Chain, ScriptedProvider
from tests.support.deliveries import delivery

TRANSIENT = TransientError(Reason.PROVIDER_TRANSIENT, "451 try later")


@pytest.fixture
def provider(chain: Chain) -> ScriptedProvider:
    made = ScriptedProvider()
    chain.provide("email", made)
    return made


def to(address: str = "anna@example.com", channel: str = "email", **given: Any) -> Delivery:
    return delivery(channel=channel, options=Options(to=To(**{channel: address})), **given)


# one answer


@pytest.mark.parametrize(
    ("priority", "retries", "shortest_s", "longest_s"),
    [
        (Priority.HIGH, 0, 1.0, 2.0),
        (Priority.MEDIUM, 0, 5.0, 10.0),
        (Priority.LOW, 3, 40.0, 80.0),
        (Priority.LOW, 7, 640.0, 1280.0),
    ],
)
def test_a_transient_failure_is_parked_with_a_backoff_that_grows(
    chain: Chain, provider: ScriptedProvider, priority: Priority, retries: int, shortest_s: float, longest_s: float
) -> None:
    one = to(priority=priority, retries=retries, attempt=retries)
    provider.answers[one.id] = TRANSIENT
    before = now_ms()
    ran = chain.run(one)
    assert ran.told == [("parked", "provider_transient")]
    [row] = chain.parked()
    assert (row.delivery.retries, row.delivery.attempt, row.delivery.pass_no) == (retries + 1, retries + 1, 0)
    assert row.delivery.slot_at_ms, "it was charged, and is not charged again"
    assert shortest_s * 1000 <= row.due_at_ms - before <= longest_s * 1000 + 1000
    [outcome] = ran.outcomes
    assert (outcome.detail, outcome.provider, outcome.until_at_ms) == ("451 try later", "scripted", row.due_at_ms)
    assert chain.claim(one.id) == (0, "d", "parked")
    assert ran.open == {}


def test_a_parked_delivery_is_sent_in_its_next_pass(chain: Chain, provider: ScriptedProvider) -> None:
    one = to()
    provider.answers[one.id] = TRANSIENT
    chain.run(one)
    [row] = chain.parked()
    del provider.answers[one.id]
    ran = chain.run(row.delivery.next_pass())
    assert ran.told == [("sent", "")]
    assert [(one.pass_no, one.status, one.attempt) for one in ran.outcomes] == [(0, "parked", 1), (1, "sent", 2)]


def test_a_pass_that_comes_again_after_parking_parks_nothing_more(chain: Chain, provider: ScriptedProvider) -> None:
    one = to()
    provider.answers[one.id] = TRANSIENT
    chain.run(one)
    assert chain.run(one).open == {}
    assert (len(chain.parked()), provider.calls) == (1, [one.id])


def test_a_permanent_failure_is_failed_at_once(chain: Chain, provider: ScriptedProvider) -> None:
    one = to()
    provider.answers[one.id] = PermanentError(Reason.PROVIDER_REJECTED, "550 no such user")
    ran = chain.run(one)
    [outcome] = ran.outcomes
    assert (outcome.status, outcome.reason, outcome.detail) == ("failed", "provider_rejected", "550 no such user")
    assert (outcome.attempt, chain.parked()) == (1, [])


def test_a_throttled_one_waits_as_long_as_it_was_asked_to(chain: Chain, provider: ScriptedProvider) -> None:
    one, short = to(), to(expires_at_ms=now_ms() + 60_000)
    for each in (one, short):
        provider.answers[each.id] = ThrottledError(Reason.PROVIDER_THROTTLED, "429", retry_after_s=120)
    before = now_ms()
    ran = chain.run(one, short)
    assert [status for status, _ in ran.told] == ["parked", "failed"]
    [row] = chain.parked()
    assert 120_000 <= row.due_at_ms - before <= 133_000
    assert row.delivery.retries == 0, "being throttled spends no retry"


@pytest.mark.parametrize(("event_type", "told"), [("any", ("parked", "in_doubt")), ("unsure", ("unknown", "in_doubt"))])
def test_what_is_in_doubt_goes_by_its_type(
    chain: Chain, provider: ScriptedProvider, event_type: str, told: tuple[str, str]
) -> None:
    one = to(event_type=event_type)
    provider.answers[one.id] = InDoubtError(Reason.IN_DOUBT, "no answer")
    assert chain.run(one).told == [told]
    assert [row.delivery.retries for row in chain.parked()] == ([1] if told[0] == "parked" else [])


@pytest.mark.parametrize(
    "given", [{"retries": 8}, {"expires_at_ms": 3000}], ids=["the budget is spent", "it would expire first"]
)
def test_when_no_retry_is_left_it_is_failed_with_the_providers_error(
    chain: Chain, provider: ScriptedProvider, given: dict[str, int]
) -> None:
    if "expires_at_ms" in given:
        given = {"expires_at_ms": now_ms() + given["expires_at_ms"]}
    one = to(**given)
    provider.answers[one.id] = TRANSIENT
    ran = chain.run(one)
    assert (ran.told, ran.verdict.detail) == ([("failed", "retries_exhausted")], "451 try later")


def test_one_bad_delivery_does_not_touch_its_batch_mates(chain: Chain, provider: ScriptedProvider) -> None:
    some = [to() for _ in range(4)]
    provider.answers[some[1].id] = TRANSIENT
    provider.answers[some[2].id] = PermanentError(Reason.PROVIDER_REJECTED)
    ran = chain.run(*some)
    assert [status for status, _ in ran.told] == ["sent", "parked", "failed", "sent"]
    assert ran.open == {}


def test_a_provider_that_raises_leaves_the_rest_open_and_keeps_what_was_answered(
    chain: Chain, provider: ScriptedProvider
) -> None:
    some = [to() for _ in range(3)]

    def explode(message: Any) -> None:
        if message.delivery_id == some[1].id:
            raise ZeroDivisionError

    provider.during = explode
    ran = chain.run(*some)
    assert ran.told == [("sent", ""), ("open", "step_failed"), ("open", "step_failed")]
    assert [chain.claim(one.id)[1] for one in some] == ["d", "c", "f"], "the one being called is in doubt"


def test_an_outcome_is_on_its_way_as_soon_as_the_provider_has_answered(
    chain: Chain, provider: ScriptedProvider
) -> None:
    first, second = to(), to()
    seen: list[list[str]] = []

    def look(message: Any) -> None:
        if message.delivery_id == second.id:
            seen.append([str(chain.claim(first.id)[1])])

    provider.during = look
    chain.run(first, second)
    assert seen == [["a"]], "the claim knows of the answer before the next call starts"


# what breakers do to the rest


def test_a_breaker_that_opens_in_the_middle_leaves_the_rest_open(chain: Chain, provider: ScriptedProvider) -> None:
    some = [to() for _ in range(9)]
    provider.answers["anna@example.com"] = TRANSIENT
    ran = chain.run(*some)
    assert [reason for _, reason in ran.told] == ["provider_transient"] * 5 + ["breaker_open"] * 4
    assert ran.open == dict.fromkeys(range(5, 9), "breaker_open")
    assert len(provider.calls) == 5
    assert {chain.claim(one.id)[1] for one in some[5:]} == {"f"}
    assert len(chain.parked()) == 5, "an open breaker parks nothing more"


def test_calls_that_ended_by_the_clock_open_it_sooner(chain: Chain, provider: ScriptedProvider) -> None:
    provider.answers["anna@example.com"] = ProviderTimeoutError(Reason.PROVIDER_TRANSIENT, "slow")
    ran = chain.run(*(to() for _ in range(4)))
    assert len(provider.calls) == 2
    assert ran.open == {2: "breaker_open", 3: "breaker_open"}


@pytest.mark.parametrize(
    "answer",
    [
        PermanentError(Reason.PROVIDER_REJECTED),
        ThrottledError(Reason.PROVIDER_THROTTLED, retry_after_s=5),
    ],
    ids=["rejected", "throttled"],
)
def test_an_answer_that_says_no_opens_no_breaker(chain: Chain, provider: ScriptedProvider, answer: Exception) -> None:
    provider.answers["anna@example.com"] = answer
    assert chain.run(*(to() for _ in range(12))).open == {}


def test_a_half_open_breaker_lets_one_call_through_at_a_time_and_a_yes_closes_it(
    chain: Chain, provider: ScriptedProvider
) -> None:
    provider.answers["anna@example.com"] = TRANSIENT
    chain.run(*(to() for _ in range(5)))
    shift_ms = 10_000
    chain.using(now_ms=lambda: now_ms() + shift_ms)
    chain.context.breakers._clock_ms = chain.context.now_ms  # type: ignore[attr-defined]  # one clock for all
    chain.using(breakers=chain.context.breakers)
    assert chain.run(*(to() for _ in range(3))).told.count(("open", "breaker_open")) == 2
    shift_ms = 60_000
    provider.answers.clear()
    assert chain.run(*(to() for _ in range(3))).told == [("sent", "")] * 3


def test_a_breaker_per_target_parks_that_targets_deliveries_alone(chain: Chain) -> None:
    provider = ScriptedProvider({"x@down.example": TRANSIENT})
    chain.provide("webhook", provider)
    # so many that the window of calls at a time has room for all of the first at once
    down = [to("x@down.example", "webhook") for _ in range(40)]
    up = [to("x@up.example", "webhook") for _ in range(10)]
    before = now_ms()
    ran = chain.run(*down, *up)
    assert ran.open == {}
    reasons = [reason for _, reason in ran.told[:40]]
    assert set(reasons) == {"provider_transient", "breaker_open"}
    assert reasons.count("breaker_open") >= 40 - 16 - 5
    assert ran.told[40:] == [("sent", "")] * 10
    rows = {row.delivery.id: row for row in chain.parked()}
    waiting = [rows[one.id] for one, reason in zip(down, reasons, strict=True) if reason == "breaker_open"]
    assert {(row.delivery.attempt, row.delivery.retries) for row in waiting} == {(0, 0)}
    assert all(2000 <= row.due_at_ms - before <= 5000 for row in waiting)
    assert len({row.due_at_ms for row in waiting}) > 1, "they do not all come back at once"


def test_a_target_that_is_paused_beyond_the_expiry_fails_the_delivery(chain: Chain) -> None:
    provider = ScriptedProvider({"x@down.example": TRANSIENT})
    chain.provide("webhook", provider)
    chain.run(*(to("x@down.example", "webhook") for _ in range(5)))
    short = to("x@down.example", "webhook", expires_at_ms=now_ms() + 1500)
    assert chain.run(short).told == [("failed", "breaker_open")]


def test_the_window_calls_several_at_a_time_and_each_once(chain: Chain) -> None:
    provider = ScriptedProvider()
    chain.provide("webhook", provider)
    together = threading.Barrier(16)
    provider.during = lambda _message: together.wait(10) and None
    some = [to(f"x@host-{number}.example", "webhook") for number in range(32)]
    assert chain.run(*some).told == [("sent", "")] * 32
    assert sorted(provider.calls) == sorted(one.id for one in some)


# claims in the middle of a batch


def test_a_delivery_that_was_taken_over_is_not_called(chain: Chain, provider: ScriptedProvider) -> None:
    first, second = to(), to()
    later = structs.replace(second, pass_no=1)

    def overtake(_message: object) -> None:
        chain.context.claims.take(
            [(later.id, 1, later.notification_id)], owner="other", until_ms=now_ms() + 60_000, alone=False
        )

    provider.during = overtake
    ran = chain.run(first, second)
    assert (ran.open, provider.calls) == ({1: "busy"}, [first.id])
    assert chain.claim(second.id)[:2] == (1, "h"), "the other one's claim stands"


@pytest.mark.parametrize(("priority", "told"), [(Priority.HIGH, ("sent", "")), (Priority.LOW, ("open", "claims_down"))])
def test_claims_that_go_away_in_the_middle(
    chain: Chain, provider: ScriptedProvider, priority: Priority, told: tuple[str, str]
) -> None:
    some = [to(priority=priority) for _ in range(3)]
    claims = chain.context.claims

    class GoingAway:
        def __getattr__(self, name: str) -> Any:
            if provider.calls:
                raise StoreUnavailableError("redis: gone")
            return getattr(claims, name)

    chain.using(claims=GoingAway())
    ran = chain.run(*some)
    assert ran.told == [("sent", ""), told, told]
    assert len(ran.outcomes) == (3 if priority is Priority.HIGH else 1)
