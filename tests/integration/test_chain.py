"""The five steps over real stores: who gets what, who does not and why, and what is recorded."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
from celery.exceptions import Ignore
from msgspec import structs

from app.domain.clock import now_ms
from app.domain.codec import decode, encode
from app.domain.delivery import Delivery
from app.domain.errors import InDoubtError, TransientError
from app.domain.event import Options, To
from app.domain.lane import DEAD_TOPIC, Priority
from app.domain.outcome import Reason, Status
from app.domain.rate import parse_rate
from app.domain.users import Contacts, Preferences, QuietHours, User
from infrastructure import wiring
from tasks import check_preferences, record, validate
from tests.support.chain import Chain, ScriptedProvider
from tests.support.deliveries import delivery

HOUR_MS = 3_600_000


def email(name: str = "", *, to: str | None = "anna@example.com", **given: Any) -> Delivery:
    options = Options(to=To(email=to)) if to is not None else Options()
    return delivery(name, channel="email", options=options, **given)


@pytest.fixture
def provider(chain: Chain) -> ScriptedProvider:
    made = ScriptedProvider()
    chain.provide("email", made)
    return made


# the way through


def test_a_delivery_is_sent_recorded_and_finished(chain: Chain) -> None:
    one, two = delivery(user_id="anna"), delivery(user_id="ben")
    ran = chain.run(one, two)
    assert ran.told == [("sent", ""), ("sent", "")]
    for sent, outcome in zip((one, two), ran.outcomes, strict=True):
        assert (outcome.status, outcome.provider, outcome.attempt, outcome.pass_no) == (Status.SENT, "log", 1, 0)
        assert (outcome.notification_id, outcome.user_id) == (sent.notification_id, sent.event.user_id)
        assert outcome.event == sent.event
        assert (outcome.accepted_at_ms, outcome.routed_at_ms) == (sent.accepted_at_ms, sent.routed_at_ms)
        assert chain.claim(sent.id) == (0, "d", "sent")


def test_the_finished_record_is_about_the_whole_batch(chain: Chain, provider: ScriptedProvider) -> None:
    busy = email()
    chain.context.claims.take([busy.claimable], owner="other", until_ms=now_ms() + 60_000, alone=False)
    ran = chain.run(email(), busy, email(to="nowhere"), others_open=[1, 4])
    head, record = ran.batch.head, ran.finished
    assert (record.queue, record.topic, record.partition) == (head.queue, head.topic, head.partition)
    assert (record.first, record.last) == (head.first, head.last)
    assert (record.sent_at_ms, record.not_after_ms) == (head.sent_at_ms, head.not_after_ms)
    assert ran.open == {1: "later_part", 2: "busy", 4: "later_part"}
    assert record.first_open == head.first + 1
    assert record.calls == 1
    assert ran.text == "medium.email 3, open 3"


def test_in_app_is_an_entry_in_the_inbox(chain: Chain) -> None:
    one = delivery(channel="in_app", user_id="anna", event_type="news", content="Hello")
    assert chain.run(one).told == [("sent", "")]
    [entry] = wiring.inbox(chain.context.settings).list("anna").items
    assert (entry.id, entry.subject, entry.body) == (one.id, "news", "Hello")


def test_a_copy_that_is_read_too_late_is_dropped_untouched(chain: Chain) -> None:
    one = delivery()
    with pytest.raises(Ignore):
        chain.run(one, life_s=0.0)
    assert chain.claim(one.id)[1] == ""
    assert chain.outcomes([one.id]) == []


# repetition


def test_a_batch_that_comes_again_is_finished_and_nobody_is_called(chain: Chain, provider: ScriptedProvider) -> None:
    some = [email(), email()]
    chain.run(*some)
    again = chain.run(*some)
    assert provider.calls == [one.id for one in some]
    assert again.open == {}
    assert len(again.outcomes) == 2


def test_a_delivery_that_is_twice_in_a_batch_runs_once(chain: Chain, provider: ScriptedProvider) -> None:
    one = email()
    ran = chain.run(one, email(), one)
    assert provider.calls.count(one.id) == 1
    assert ran.open == {}
    assert len(chain.outcomes([one.id])) == 1


def test_twins_share_their_fate(chain: Chain) -> None:
    one = email()
    chain.context.claims.take([one.claimable], owner="other", until_ms=now_ms() + 60_000, alone=False)
    assert chain.run(one, one).open == {0: "busy", 1: "busy"}


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_passes_in_a_batch_the_later_runs(chain: Chain, provider: ScriptedProvider, first: int) -> None:
    """After a dispatcher's restart a parked delivery may be read again together with its next pass."""
    early = email()
    passes = [early, early.next_pass()]
    chain.context.claims.done([(early.id, 0, Status.PARKED)])
    ran = chain.run(passes[first], passes[1 - first])
    assert provider.calls == [early.id]
    assert ran.open == {}
    assert [(one.pass_no, one.status) for one in chain.outcomes([early.id])] == [(1, Status.SENT)]
    assert chain.claim(early.id) == (1, "d", "sent")


def test_what_another_copy_holds_is_left_to_it(chain: Chain, provider: ScriptedProvider) -> None:
    one = email()
    chain.context.claims.take([one.claimable], owner="other", until_ms=now_ms() + 60_000, alone=False)
    ran = chain.run(one)
    assert ran.open == {0: "busy"}
    assert (provider.calls, chain.claim(one.id)[1]) == ([], "h")


@pytest.mark.parametrize(("pass_no", "status"), [(0, Status.CANCELLED), (0, Status.SENT), (5, Status.PARKED)])
def test_what_is_done_or_further_on_is_finished(
    chain: Chain, provider: ScriptedProvider, pass_no: int, status: Status
) -> None:
    one = email()
    chain.context.claims.done([(one.id, pass_no, status)])
    ran = chain.run(one)
    assert (ran.open, ran.outcomes, provider.calls) == ({}, [], [])


def test_an_answer_that_was_not_recorded_is_recorded_without_a_call(chain: Chain, provider: ScriptedProvider) -> None:
    one = email()
    first = chain.run(email())
    chain.context.claims.take([one.claimable], owner="dead", until_ms=now_ms() - 1, alone=False)
    verdict = encode(first.verdict).decode()
    chain.context.claims.advance(owner="dead", until_ms=now_ms() - 1, answered=[(one.id, 0, verdict)], calling=[])
    provider.calls.clear()
    ran = chain.run(one)
    assert provider.calls == []
    assert ran.verdict == first.verdict
    [outcome] = ran.outcomes
    assert (outcome.status, outcome.attempt, outcome.provider) == (Status.SENT, 1, "scripted")
    assert chain.claim(one.id) == (0, "d", "sent")


@pytest.mark.parametrize(("event_type", "status", "calls"), [("any", "sent", 1), ("unsure", "unknown", 0)])
def test_a_call_under_way_when_its_worker_died_is_in_doubt(
    chain: Chain, provider: ScriptedProvider, event_type: str, status: str, calls: int
) -> None:
    one = email(event_type=event_type)
    chain.context.claims.take([one.claimable], owner="dead", until_ms=now_ms() - 1, alone=False)
    chain.context.claims.advance(owner="dead", until_ms=now_ms() - 1, answered=[], calling=[one.claimable])
    ran = chain.run(one)
    assert (str(ran.verdict.status), len(provider.calls)) == (status, calls)
    [outcome] = ran.outcomes
    assert outcome.attempt == 1 + calls, "the call of the dead one counts"


def test_what_a_bulk_channel_stores_is_stored_again_where_its_worker_died(chain: Chain) -> None:
    """Under the delivery's id, so that it is there once; `unknown` would tell of a doubt that nobody has."""
    one = delivery("in-app", channel="in_app", event_type="unsure")
    chain.context.claims.take([one.claimable], owner="dead", until_ms=now_ms() - 1, alone=False)
    chain.context.claims.advance(owner="dead", until_ms=now_ms() - 1, answered=[], calling=[one.claimable])
    ran = chain.run(one)
    assert str(ran.verdict.status) == "sent"


def test_a_delivery_its_worker_died_on_three_times_is_poison(chain: Chain, provider: ScriptedProvider) -> None:
    poison, mate = email(), email()
    for owner in "abc":
        chain.context.claims.take([poison.claimable], owner=owner, until_ms=now_ms() - 1, alone=True)
    ran = chain.run(poison, mate)
    assert ran.told == [("failed", "poison"), ("sent", "")]
    assert provider.calls == [mate.id]
    [letter] = chain.dead(poison.id, DEAD_TOPIC)
    assert (letter.header("reason"), letter.header("cut")) == ("poison", "false")
    assert decode(letter.value, Delivery) == poison
    assert chain.run(poison).open == {}
    assert len(chain.dead(poison.id, DEAD_TOPIC)) == 1


def test_a_delivery_that_was_lost_with_others_is_not_poison(chain: Chain, provider: ScriptedProvider) -> None:
    one = email()
    for owner in "abcde":
        chain.context.claims.take([one.claimable], owner=owner, until_ms=now_ms() - 1, alone=False)
    assert chain.run(one).told == [("sent", "")]


# who cannot be told


def test_what_came_too_late_is_expired(chain: Chain, provider: ScriptedProvider) -> None:
    late = email(expires_at_ms=now_ms() - 1)
    ran = chain.run(late, email())
    assert ran.told == [("expired", "ttl"), ("sent", "")]
    assert late.id not in provider.calls


def test_without_an_address_it_is_suppressed(chain: Chain, provider: ScriptedProvider) -> None:
    assert chain.run(email(to=None, user_id="stranger")).told == [("suppressed", "no_address")]
    wiring.users(chain.context.settings).put(User(id="ben", contacts=Contacts(phone="+4930123456")))
    assert chain.run(email(to=None, user_id="ben")).told == [("suppressed", "no_address")]
    assert provider.calls == []


def test_the_events_address_stands_before_the_users(chain: Chain, provider: ScriptedProvider) -> None:
    seen: list[str] = []
    provider.during = lambda message: seen.append(message.address)
    wiring.users(chain.context.settings).put(User(id="anna", contacts=Contacts(email="Own@example.com")))
    chain.run(email(to=None, user_id="anna"), email(to="Given@example.com", user_id="anna"))
    assert seen == ["own@example.com", "given@example.com"]


def test_an_address_that_is_none_is_failed(chain: Chain, provider: ScriptedProvider) -> None:
    ran = chain.run(email(to="nowhere"))
    assert (ran.told, ran.verdict.detail) == ([("failed", "invalid_address")], "no @")
    assert provider.calls == []


def test_a_channel_without_a_provider_is_suppressed(chain: Chain) -> None:
    assert chain.run(delivery(channel="push")).told == [("suppressed", "channel_not_configured")]


def test_what_cannot_be_rendered_is_failed_and_never_called(chain: Chain, provider: ScriptedProvider) -> None:
    broken, mate = email(event_type="broken"), email()
    assert chain.run(broken, mate).told == [("failed", "template_error"), ("sent", "")]
    assert provider.calls == [mate.id]


# what its user wants


def prefer(chain: Chain, **given: Any) -> None:
    wiring.preferences(chain.context.settings).put("anna", Preferences(**given))


def test_what_is_switched_off_is_suppressed(chain: Chain) -> None:
    prefer(chain, channels={"social": {"log": False}})
    told = chain.run(delivery(user_id="anna"), delivery(user_id="ben"), delivery(user_id="anna", event_type="critical"))
    assert told.told == [("suppressed", "preference_off"), ("sent", ""), ("sent", "")]


def test_what_is_muted_is_suppressed(chain: Chain) -> None:
    prefer(chain, muted_until_ms=now_ms() + HOUR_MS)
    told = chain.run(delivery(user_id="anna"), delivery(user_id="anna", event_type="critical")).told
    assert told == [("suppressed", "muted"), ("sent", "")]


def test_quiet_hours_park_until_they_end_in_the_users_time_zone(chain: Chain) -> None:
    at_ms = 1_732_230_000_000  # 2024-11-22 00:00 in Berlin, 23:00 UTC
    prefer(chain, quiet_hours=QuietHours(start="22:30", end="06:00"))
    wiring.users(chain.context.settings).put(User(id="anna", timezone="Europe/Berlin"))
    shift_ms = at_ms - now_ms()
    chain.using(now_ms=lambda: now_ms() + shift_ms)
    patient = delivery(user_id="anna", expires_at_ms=at_ms + 12 * HOUR_MS)
    short = delivery(user_id="anna", expires_at_ms=at_ms + 6 * HOUR_MS)
    ran = chain.run(patient, short, life_s=3600)
    assert ran.told == [("parked", "quiet_hours"), ("expired", "quiet_hours")]
    assert ran.verdicts[0].until_at_ms == at_ms + 6 * HOUR_MS
    [row] = chain.parked()
    assert (row.delivery.id, row.due_at_ms, row.delivery.slot_at_ms) == (patient.id, at_ms + 6 * HOUR_MS, 0)
    assert [one.until_at_ms for one in ran.outcomes] == [at_ms + 6 * HOUR_MS, 0]


# the user's limits


def limit(chain: Chain, rate: str) -> None:
    settings = dataclasses.replace(chain.context.settings, limit_user=parse_rate(rate))
    chain.using(user_limits=wiring.user_limits(settings), local_limits=wiring.local_limits(settings))


def test_over_the_limit_it_is_parked_until_its_slot_dropped_or_failed(chain: Chain) -> None:
    limit(chain, "2/h")
    parked = delivery()
    hurried = delivery(expires_at_ms=now_ms() + 60_000)
    ran = chain.run(delivery(), delivery(), parked, delivery(event_type="droppable"), hurried, delivery(user_id="ben"))
    assert ran.told == [
        ("sent", ""),
        ("sent", ""),
        ("parked", "rate_limited_user"),
        ("suppressed", "rate_limited_user"),
        ("failed", "rate_limited_user"),
        ("sent", ""),
    ]
    [row] = chain.parked()
    assert row.delivery.id == parked.id
    assert row.due_at_ms == row.delivery.slot_at_ms == ran.verdicts[2].until_at_ms
    assert now_ms() + 29 * 60_000 < row.due_at_ms < now_ms() + 31 * 60_000
    assert (row.delivery.retries, row.delivery.attempt) == (0, 0), "waiting spends no retry"


def test_a_slot_that_was_taken_is_not_charged_again(chain: Chain) -> None:
    limit(chain, "2/h:1")
    first, second = delivery(), delivery()
    chain.run(first, second)
    [row] = chain.parked()
    assert chain.run(row.delivery.next_pass()).told == [("sent", "")]
    third = delivery(expires_at_ms=now_ms() + 3 * HOUR_MS)
    chain.run(third)
    rows = {one.delivery.id: one.due_at_ms for one in chain.parked()}
    assert rows[third.id] - row.due_at_ms == pytest.approx(HOUR_MS / 2, abs=2000), "the next slot, not the one after"


def test_a_copy_that_comes_again_is_not_charged_again(chain: Chain, provider: ScriptedProvider) -> None:
    limit(chain, "2/h")
    one, two = email(), email()
    assert chain.run(one, life_s=1.0).open == {0: "no_time"}  # charged, then too late to call
    assert chain.run(one, two).told == [("sent", ""), ("sent", "")]


# a step that fails


class BrokenRenderer:
    """Raises what it should not, on one delivery."""

    def __init__(self, chain: Chain, broken: str) -> None:
        self._renderer = chain.context.renderer
        self._broken = broken

    def render(self, rule: Any, one: Delivery, recipient: Any) -> tuple[str, str, str]:
        if one.id == self._broken:
            raise ZeroDivisionError("with content in it")
        return self._renderer.render(rule, one, recipient)


def test_a_step_that_fails_leaves_open_what_it_had_not_decided(chain: Chain, provider: ScriptedProvider) -> None:
    broken, mate, decided = email(), email(), email(to="nowhere")
    chain.using(renderer=BrokenRenderer(chain, broken.id))
    ran = chain.run(decided, mate, broken)
    assert ran.told == [("failed", "invalid_address"), ("open", "step_failed"), ("open", "step_failed")]
    assert ran.open == {1: "step_failed", 2: "step_failed"}
    assert [one.delivery_id for one in ran.outcomes] == [decided.id]
    assert [chain.claim(one.id)[1] for one in (decided, mate, broken)] == ["d", "f", "f"]


def test_a_delivery_whose_step_fails_three_times_alone_is_poison(chain: Chain, provider: ScriptedProvider) -> None:
    broken = email()
    chain.using(renderer=BrokenRenderer(chain, broken.id))
    chain.run(broken, email())
    for _ in range(3):
        assert chain.run(broken, alone=True).open == {0: "step_failed"}
    assert chain.run(broken, alone=True).told == [("failed", "poison")]
    assert len(chain.dead(broken.id, DEAD_TOPIC)) == 1


# time


def test_no_call_starts_that_could_outlast_the_copy(chain: Chain) -> None:
    provider = ScriptedProvider(timeout_s=10.0)
    chain.provide("email", provider)
    one = email()
    ran = chain.run(one, life_s=9.9)
    assert (ran.open, provider.calls) == ({0: "no_time"}, [])
    assert chain.claim(one.id)[1] == "f", "the next copy need not wait"
    assert chain.run(one, life_s=20).told == [("sent", "")]


def test_time_that_runs_out_in_the_middle_leaves_the_rest_open(chain: Chain) -> None:
    provider = ScriptedProvider(timeout_s=10.0)
    chain.provide("email", provider)
    passed_ms = 0

    def take_long(_message: object) -> None:
        nonlocal passed_ms
        passed_ms += 4000

    provider.during = take_long
    chain.using(now_ms=lambda: now_ms() + passed_ms)
    ran = chain.run(*(email() for _ in range(5)), life_s=19)
    assert ran.told == [("sent", "")] * 3 + [("open", "no_time")] * 2


def test_bulk_channels_start_no_call_either(chain: Chain) -> None:
    assert chain.run(delivery(), life_s=5.0).open == {0: "no_time"}


def test_parking_is_given_up_at_the_end_of_the_copy(chain: Chain) -> None:
    prefer(chain, quiet_hours=QuietHours(start="00:00", end="23:59"))
    one = delivery(user_id="anna", expires_at_ms=now_ms() + 48 * HOUR_MS)
    batch = chain.batch(one, life_s=30)
    late = False
    chain.using(now_ms=lambda: batch.head.not_after_ms if late else now_ms())
    check_preferences.check_preferences(validate.validate(batch, chain.context), chain.context)
    assert batch.items[0].verdict is not None
    assert batch.items[0].verdict.status is Status.PARKED
    late = True
    record.record(batch, chain.context)
    assert chain.parked() == []
    assert batch.items[0].verdict.open == "no_time"


def test_the_event_rides_along_with_a_parked_delivery(chain: Chain) -> None:
    limit(chain, "2/h:1")
    one = delivery(content={"a": ["b"]}, metadata={"c": 1})
    chain.run(delivery(), one)
    [row] = chain.parked()
    assert row.delivery.event == one.event
    assert structs.replace(row.delivery, slot_at_ms=0) == one


def test_outcomes_name_the_priority(chain: Chain) -> None:
    [outcome] = chain.run(delivery(priority=Priority.LOW)).outcomes
    assert outcome.priority is Priority.LOW


# later, and not at all


def scheduled(ahead_s: float, **given: Any) -> Delivery:
    send_at = datetime.fromtimestamp(now_ms() / 1000 + ahead_s, UTC)
    return delivery(options=Options(send_at=send_at), **given)


def test_what_is_to_be_sent_later_is_parked_until_then_and_charged_then(chain: Chain) -> None:
    chain.using(
        user_limits=wiring.user_limits(dataclasses.replace(chain.context.settings, limit_user=parse_rate("1/h")))
    )
    later, now = scheduled(600, user_id="sam"), delivery(user_id="sam")
    ran = chain.run(later, now)
    assert ran.told == [("parked", "scheduled"), ("sent", "")]
    [row] = chain.parked()
    assert row.due_at_ms == later.event.send_at_ms == ran.outcomes[0].until_at_ms
    assert row.delivery == later, "nothing of it is used up"


def test_it_is_sent_when_it_is_due(chain: Chain) -> None:
    early = scheduled(600)
    assert chain.run(early).told == [("parked", "scheduled")]
    [row] = chain.parked()
    assert chain.run(row.delivery.next_pass()).told == [("parked", "scheduled")], "a scheduler whose clock is ahead"
    chain.using(now_ms=lambda: now_ms() + 601_000)
    assert chain.run(structs.replace(row.delivery, pass_no=2)).told == [("sent", "")]


def cancel(chain: Chain, one: Delivery) -> bool:
    cancels = wiring.cancels(chain.context.settings)
    return cancels.cancel(one.notification_id, [one.id], life_s=3600)[0]


@pytest.mark.parametrize("channel", ["log", "email"])
def test_what_is_cancelled_is_recorded_and_not_sent_and_its_mates_are(
    chain: Chain, provider: ScriptedProvider, channel: str
) -> None:
    given: dict[str, Any] = {"channel": channel, "options": Options(to=To(email="anna@example.com"))}
    one, two = delivery(**given), delivery(**given)
    assert cancel(chain, one)
    ran = chain.run(one, two)
    assert ran.told == [("cancelled", "cancelled_by_client"), ("sent", "")]
    assert [(told.status, told.attempt, told.at_ms > 0) for told in ran.outcomes] == [
        (Status.CANCELLED, 0, True),
        (Status.SENT, 1, True),
    ]
    assert not ran.open
    assert one.id not in provider.calls
    assert chain.claim(one.id) == (0, "d", "cancelled")


def test_what_is_cancelled_while_its_mates_are_being_called_is_not(chain: Chain, provider: ScriptedProvider) -> None:
    first, last = email(), email()
    provider.during = lambda _: provider.calls[1:] or cancel(chain, last)
    ran = chain.run(first, last)
    assert ran.told == [("sent", ""), ("cancelled", "cancelled_by_client")]
    assert provider.calls == [first.id]
    assert [(told.status, told.attempt) for told in ran.outcomes] == [(Status.SENT, 1), (Status.CANCELLED, 0)]
    assert not ran.open


def test_a_call_that_fails_for_now_while_it_is_cancelled_is_the_last(chain: Chain, provider: ScriptedProvider) -> None:
    one = email()
    provider.answers[one.id] = TransientError("smtp_451")
    provider.during = lambda _: cancel(chain, one)
    assert chain.run(one).told == [("parked", "provider_transient")]
    [row] = chain.parked()
    assert chain.run(row.delivery.next_pass()).told == [("cancelled", "cancelled_by_client")]
    assert provider.calls == [one.id]


def test_one_that_was_handed_over_without_an_answer_ends_as_unknown(chain: Chain, provider: ScriptedProvider) -> None:
    one = email()
    provider.answers[one.id] = InDoubtError(Reason.IN_DOUBT)
    assert chain.run(one).told == [("parked", "in_doubt")]
    cancel(chain, one)
    [row] = chain.parked()
    assert chain.run(row.delivery.next_pass()).told == [("unknown", "in_doubt")]
    assert provider.calls == [one.id]


def test_where_a_worker_died_during_the_call_it_ends_as_unknown_too(chain: Chain, provider: ScriptedProvider) -> None:
    one = email()
    past = now_ms() - 1
    chain.context.claims.take([one.claimable], owner="dead", until_ms=past, alone=False)
    chain.context.claims.advance(owner="dead", until_ms=past, answered=[], calling=[one.claimable])
    assert not cancel(chain, one)
    ran = chain.run(one)
    assert ran.told == [("unknown", "in_doubt")]
    assert [told.attempt for told in ran.outcomes] == [1]
    assert provider.calls == []
