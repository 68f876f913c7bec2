"""What may have been sent, and is not called again, ends as unknown: nobody can say that it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec import structs

from app.domain.clock import now_ms
from app.domain.delivery import Delivery
from app.domain.errors import InDoubtError, PermanentError
from app.domain.event import Options, To
from app.domain.lane import DEAD_TOPIC
from app.domain.outcome import Reason, Status
from app.domain.ports import Charged, UserCharge
from app.domain.users import Preferences
from infrastructure import wiring
from tests.support.chain import Chain, ScriptedProvider
from tests.support.deliveries import delivery

TOLD = [("unknown", "in_doubt")]


def email(to: str | None = "anna@example.com", **given: Any) -> Delivery:
    return delivery(channel="email", user_id="anna", options=Options(to=To(email=to)), **given)


@pytest.fixture
def provider(chain: Chain) -> ScriptedProvider:
    made = ScriptedProvider()
    chain.provide("email", made)
    return made


def died(chain: Chain, one: Delivery, *, times: int = 1) -> Delivery:
    """A worker died while it was being called."""
    past = now_ms() - 1
    for number in range(times):
        chain.context.claims.take([one.claimable], owner=f"dead-{number}", until_ms=past, alone=times > 1)
        chain.context.claims.advance(owner=f"dead-{number}", until_ms=past, answered=[], calling=[one.claimable])
    return one


def unanswered(chain: Chain, one: Delivery) -> Delivery:
    """An earlier pass handed it over, and heard nothing."""
    del chain
    return structs.replace(one, pass_no=1, attempt=1, is_in_doubt=True)


Doubt = Callable[[Chain, Delivery], Delivery]
both = pytest.mark.parametrize("doubt", [died, unanswered])


def nothing(_chain: Chain) -> None:
    """The delivery itself is what ends it."""


def prefer(**given: Any) -> Callable[[Chain], None]:
    return lambda chain: wiring.preferences(chain.context.settings).put("anna", Preferences(**given))


class Answering:
    """The user's limits, with one answer for all."""

    def __init__(self, answer: Charged) -> None:
        self._answer = answer

    def charge(self, wanted: Sequence[UserCharge], *, owner: str) -> list[Charged]:
        del owner
        return [self._answer] * len(wanted)


def refuse(chain: Chain) -> None:
    chain.using(user_limits=Answering(Charged(is_refused=True)))


ENDINGS: dict[str, tuple[Callable[[Chain], Any], dict[str, Any], tuple[str, str]]] = {
    "it has expired": (nothing, {"expires_at_ms": now_ms() - 1}, ("expired", "ttl")),
    "switched off": (prefer(channels={"*": {"email": False}}), {}, ("suppressed", "preference_off")),
    "muted": (prefer(muted_until_ms=now_ms() + 3_600_000), {}, ("suppressed", "muted")),
    "no address any more": (nothing, {"to": None}, ("suppressed", "no_address")),
    "not an address": (nothing, {"to": "nowhere"}, ("failed", "invalid_address")),
    "no provider any more": (lambda chain: chain.provide("email"), {}, ("suppressed", "channel_not_configured")),
    "over the limit, dropped": (refuse, {"event_type": "droppable"}, ("suppressed", "rate_limited_user")),
    "over the limit beyond its expiry": (refuse, {}, ("failed", "rate_limited_user")),
    "not to be rendered": (nothing, {"event_type": "broken"}, ("failed", "template_error")),
}


@both
@pytest.mark.parametrize(("prepare", "given", "otherwise"), ENDINGS.values(), ids=ENDINGS)
def test_whatever_ends_it_without_a_call_it_is_unknown_and_says_what_it_was(
    chain: Chain,
    provider: ScriptedProvider,
    doubt: Doubt,
    prepare: Callable[[Chain], Any],
    given: dict[str, Any],
    otherwise: tuple[str, str],
) -> None:
    prepare(chain)
    one = doubt(chain, email(**given))
    ran = chain.run(one)
    assert ran.told == TOLD
    [outcome] = ran.outcomes
    status, reason = otherwise
    assert outcome.detail == f"{status} when a call was in doubt: {reason}"
    assert outcome.attempt == 1, "the call in doubt is the only one"
    assert (chain.claim(one.id)[1:], provider.calls) == (("d", "unknown"), [])


def test_without_a_doubt_it_is_told_as_it_is(chain: Chain, provider: ScriptedProvider) -> None:
    wiring.preferences(chain.context.settings).put("anna", Preferences(muted_until_ms=now_ms() + 3_600_000))
    assert chain.run(email()).told == [("suppressed", "muted")]
    assert provider.calls == []


@both
def test_whose_user_was_forgotten_is_recorded_without_content(
    chain: Chain, provider: ScriptedProvider, doubt: Doubt
) -> None:
    now = now_ms()
    wiring.forgotten_users(chain.context.settings).remember("anna", now)  # type: ignore[attr-defined]
    ran = chain.run(doubt(chain, email(accepted_at_ms=now)))
    assert ran.told == TOLD
    [outcome] = ran.outcomes
    assert (outcome.user_id, outcome.event, outcome.detail) == ("", None, "")
    assert provider.calls == []


def test_cancelled_after_an_earlier_pass_was_not_answered_it_counts_that_call_only(
    chain: Chain, provider: ScriptedProvider
) -> None:
    one = email()
    provider.answers[one.id] = InDoubtError(Reason.IN_DOUBT)
    chain.run(one)
    [row] = chain.parked()
    wiring.cancels(chain.context.settings).cancel(one.notification_id, [one.id], life_s=3600)
    ran = chain.run(row.delivery.next_pass())
    assert ran.told == TOLD
    assert [(told.pass_no, told.attempt) for told in ran.outcomes] == [(0, 1), (1, 1)]


@both
def test_what_its_provider_says_stands(chain: Chain, provider: ScriptedProvider, doubt: Doubt) -> None:
    one = doubt(chain, email())
    provider.answers[one.id] = PermanentError(Reason.PROVIDER_REJECTED, "550 no")
    assert chain.run(one).told == [("failed", "provider_rejected")]


def test_poison_is_for_an_operator_to_look_at_and_says_so(chain: Chain, provider: ScriptedProvider) -> None:
    one = died(chain, email(), times=4)
    assert chain.run(one).told == [("failed", "poison")]
    assert len(chain.dead(one.id, DEAD_TOPIC)) == 1
    assert provider.calls == []


@both
def test_what_waits_keeps_its_doubt(chain: Chain, provider: ScriptedProvider, doubt: Doubt) -> None:
    one = doubt(chain, email())
    chain.using(user_limits=Answering(Charged(slot_at_ms=now_ms() + 60_000)))
    assert chain.run(one).told == [("parked", "rate_limited_user")]
    [row] = chain.parked()
    assert row.delivery.is_in_doubt
    assert provider.calls == []


def test_a_bulk_channel_stores_again_but_not_what_has_expired(chain: Chain) -> None:
    """Under the delivery's own id; what is not stored again may be there from before."""
    again, late = (delivery(channel="in_app", user_id="anna", event_type="unsure") for _ in range(2))
    died(chain, again)
    late = died(chain, structs.replace(late, expires_at_ms=now_ms() - 1))
    assert chain.run(again, late).told == [("sent", ""), *TOLD]
    assert [one.status for one in chain.outcomes([late.id])] == [Status.UNKNOWN]
