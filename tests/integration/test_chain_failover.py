"""Several providers of a channel: who is called, who is called next, and what is told of it."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest

from app.domain.delivery import Delivery
from app.domain.errors import InDoubtError, PermanentError, ProviderTimeoutError, ThrottledError, TransientError
from app.domain.event import Options, To
from app.domain.lane import Priority
from app.domain.outcome import Reason
from app.domain.ports import ProviderTerms, Receipt
from infrastructure import wiring
from tests.support.chain import Chain, ScriptedProvider
from tests.support.deliveries import delivery

TRANSIENT = TransientError(Reason.PROVIDER_TRANSIENT, "500")
TIMED_OUT = ProviderTimeoutError(Reason.PROVIDER_TRANSIENT, "connecting")
THROTTLED = ThrottledError(Reason.PROVIDER_THROTTLED, "429", retry_after_s=60)
IN_DOUBT = InDoubtError(Reason.IN_DOUBT, "no answer")
REJECTED = PermanentError(Reason.PROVIDER_REJECTED, "no such number")
ADDRESS = "anna@example.com"


def provider(name: str, answer: Receipt | Exception | None = None, **terms: Any) -> ScriptedProvider:
    """One answer for all, else yes; a breaker of its own."""
    answers = {} if answer is None else {ADDRESS: answer}
    return ScriptedProvider(answers, name=name, breaker=name, terms=ProviderTerms(**terms))


def bad_and_good(answer: Exception) -> tuple[ScriptedProvider, ScriptedProvider]:
    """The bad one is asked first, but for one in a million."""
    return provider("bad", answer, weight=1e6), provider("good")


def to(channel: str = "email", **given: Any) -> Delivery:
    return delivery(channel=channel, options=Options(to=To(**{channel: ADDRESS})), **given)


def test_deliveries_are_divided_by_weight(chain: Chain) -> None:
    large, small = provider("large", weight=3.0), provider("small", weight=1.0)
    chain.provide("email", large, small)
    ran = chain.run(*(to() for _ in range(200)))
    assert Counter(ran.told) == {("sent", ""): 200}
    assert 120 <= len(large.calls) <= 175
    assert len(small.calls) == 200 - len(large.calls)
    assert Counter(one.provider for one in ran.outcomes)["small"] == len(small.calls)


@pytest.mark.parametrize("answer", [TRANSIENT, TIMED_OUT, THROTTLED], ids=["transient", "timed out", "throttled"])
def test_what_one_does_not_take_for_now_the_next_one_is_given(chain: Chain, answer: Exception) -> None:
    bad, good = bad_and_good(answer)
    chain.provide("email", bad, good)
    one = to()
    ran = chain.run(one)
    assert (bad.calls, good.calls) == ([one.id], [one.id])
    [outcome] = ran.outcomes
    assert (outcome.status, outcome.provider, outcome.attempt) == ("sent", "good", 2)
    assert outcome.detail == f"after bad: {answer}"
    assert chain.parked() == [], "and no retry is spent"
    assert chain.claim(one.id) == (0, "d", "sent")
    assert ran.finished.calls == 2


def test_a_no_is_a_no(chain: Chain) -> None:
    bad, good = bad_and_good(REJECTED)
    chain.provide("email", bad, good)
    assert chain.run(to()).told == [("failed", "provider_rejected")]
    assert good.calls == []


def test_where_all_fail_it_is_parked_once_with_what_each_said(chain: Chain) -> None:
    bad, worse = provider("bad", TRANSIENT, weight=1e6), provider("worse", THROTTLED)
    chain.provide("email", bad, worse)
    ran = chain.run(to())
    assert ran.told == [("parked", "provider_throttled")]
    [row] = chain.parked()
    assert (row.delivery.retries, row.delivery.attempt) == (0, 2)
    assert ran.verdict.detail == f"429; after bad: {TRANSIENT}"


@pytest.mark.parametrize(("event_type", "told"), [("any", ("sent", "")), ("unsure", ("unknown", "in_doubt"))])
def test_what_is_in_doubt_goes_to_the_next_one_only_where_its_type_sends_again(
    chain: Chain, event_type: str, told: tuple[str, str]
) -> None:
    bad, good = bad_and_good(IN_DOUBT)
    chain.provide("email", bad, good)
    assert chain.run(to(event_type=event_type)).told == [told]
    assert len(good.calls) == (1 if told == ("sent", "") else 0)


def test_what_is_in_doubt_stays_so_when_the_next_one_fails(chain: Chain) -> None:
    bad, worse = provider("bad", IN_DOUBT, weight=1e6), provider("worse", TRANSIENT)
    chain.provide("email", bad, worse)
    assert chain.run(to()).told == [("parked", "provider_transient")]
    [row] = chain.parked()
    assert row.delivery.is_in_doubt


def test_a_claim_says_held_between_two_that_do_not_take_it(chain: Chain) -> None:
    """A worker that dies there leaves no doubt."""
    states: list[str] = []
    bad, good = bad_and_good(TRANSIENT)
    chain.provide("email", bad, good)
    one = to()
    claims = chain.context.claims
    take = claims.take

    def spy(*args: Any, **given: Any) -> Any:
        found = take(*args, **given)
        states.append(chain.claim(one.id)[1])
        return found

    claims.take = spy  # type: ignore[method-assign]
    good.during = lambda _message: states.append(chain.claim(one.id)[1])
    chain.run(one)
    assert states == ["h", "h", "c"], "taken by the first step, held again, being called"


def test_one_that_was_cancelled_in_between_is_not_given_to_the_next(chain: Chain) -> None:
    bad, good = bad_and_good(TRANSIENT)
    chain.provide("email", bad, good)
    one = to()

    def cancel(_message: object) -> None:
        wiring.cancels(chain.context.settings).cancel(one.notification_id, [one.id], life_s=60.0)

    bad.during = cancel
    chain.run(one)
    assert (len(bad.calls), good.calls) == (1, [])
    assert chain.run(one).told == [("cancelled", "cancelled_by_client")], "in the next copy, if not at once"
    assert (len(bad.calls), good.calls) == (1, [])


def test_an_open_breaker_is_passed_over(chain: Chain) -> None:
    bad, good = bad_and_good(TRANSIENT)
    chain.provide("email", bad, good)
    ran = chain.run(*(to() for _ in range(30)))
    assert Counter(ran.told) == {("sent", ""): 30}
    assert len(bad.calls) == 5
    assert len(good.calls) == 30


def test_with_all_breakers_open_the_rest_of_the_batch_stays_open(chain: Chain) -> None:
    bad, worse = provider("bad", TRANSIENT), provider("worse", TRANSIENT)
    chain.provide("email", bad, worse)
    ran = chain.run(*(to() for _ in range(30)))
    reasons = Counter(reason for _, reason in ran.told)
    assert reasons["breaker_open"] >= 20
    assert reasons["provider_transient"] + reasons["breaker_open"] == 30


def test_one_that_fails_is_given_less_by_all_and_it_is_told_to_them(chain: Chain) -> None:
    bad, good = provider("bad", TRANSIENT), provider("good")
    chain.provide("email", bad, good)
    chain.run(*(to() for _ in range(30)))
    share = chain.context.health.shares(["bad", "good"])
    chain.context.health.shares(["bad"])
    assert share["good"] == 1.0
    assert chain.context.health._known["bad"].own.share < 0.1  # type: ignore[attr-defined]


def test_a_slow_one_is_not_well(chain: Chain) -> None:
    slow, good = provider("slow", weight=1e6, slow_s=0.01), provider("good")
    slow.during = lambda _message: threading.Event().wait(0.02) and None
    chain.provide("email", slow, good)
    ran = chain.run(*(to() for _ in range(6)))
    assert Counter(ran.told) == {("sent", ""): 6}
    assert chain.context.health._known["slow"].own.share < 0.1  # type: ignore[attr-defined]


def test_without_time_for_another_call_it_is_settled_by_the_first(chain: Chain) -> None:
    bad, good = bad_and_good(TRANSIENT)
    good.timeout_s = 3600.0
    chain.provide("email", bad, good)
    assert chain.run(to()).told == [("parked", "provider_transient")]
    assert good.calls == []


def test_high_may_have_a_shorter_time(chain: Chain) -> None:
    given: list[float] = []

    class Timed(ScriptedProvider):
        def send(self, messages: Any, timeout_s: float) -> Any:
            given.append(timeout_s)
            return super().send(messages, timeout_s)

    chain.provide("email", Timed(name="timed", breaker="timed", terms=ProviderTerms(timeout_high_s=1.5)))
    chain.run(to(priority=Priority.HIGH))
    chain.run(to(priority=Priority.LOW))
    assert given == [1.5, 5.0]


def test_several_at_a_time_fail_over_as_one_does(chain: Chain) -> None:
    bad, good = bad_and_good(TRANSIENT)
    chain.provide("webhook", bad, good)
    ran = chain.run(*(to("webhook") for _ in range(64)))
    assert Counter(ran.told) == {("sent", ""): 64}
    assert len(good.calls) == 64
    assert len(bad.calls) < 32
