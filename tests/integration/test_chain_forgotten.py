"""Deliveries of events from before their user was forgotten are not sent; those posted afterwards are."""

from __future__ import annotations

from app.domain.clock import now_ms
from app.domain.delivery import Delivery
from app.domain.event import Options, To
from app.domain.outcome import Status
from infrastructure import wiring
from tests.support.chain import Chain, ScriptedProvider
from tests.support.deliveries import delivery


def email(user_id: str, accepted_at_ms: int) -> Delivery:
    options = Options(to=To(email=f"{user_id}@example.com"))
    return delivery(channel="email", user_id=user_id, options=options, accepted_at_ms=accepted_at_ms)


def remember(chain: Chain, user_id: str, at_ms: int) -> None:
    store = wiring.forgotten_users(chain.context.settings)
    store.remember(user_id, at_ms)  # type: ignore[attr-defined]


def test_only_what_was_accepted_before_is_cancelled_and_recorded_without_content(chain: Chain) -> None:
    provider = ScriptedProvider()
    chain.provide("email", provider)
    now = now_ms()
    remember(chain, "anna", now)
    before, after, other = email("anna", now), email("anna", now + 1), email("ben", now)
    ran = chain.run(before, after, other)
    assert ran.told == [("cancelled", "user_forgotten"), ("sent", ""), ("sent", "")]
    assert provider.calls == [after.id, other.id]
    assert ran.open == {}
    [told, *sent] = ran.outcomes
    assert (told.status, told.user_id, told.event) == (Status.CANCELLED, "", None)
    assert all(one.event is not None for one in sent)
    assert chain.claim(before.id) == (0, "d", "cancelled")


def test_who_was_forgotten_gets_no_entry_in_the_inbox(chain: Chain) -> None:
    now = now_ms()
    remember(chain, "anna", now)
    ran = chain.run(delivery(channel="in_app", user_id="anna", accepted_at_ms=now))
    assert ran.told == [("cancelled", "user_forgotten")]
    assert wiring.inbox(chain.context.settings).list("anna").items == []
