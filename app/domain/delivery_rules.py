"""What each step decides for one delivery, pure: the steps act on it, `app.explain` tells it.

A function answers with the verdict that ends the delivery's way here, or with None: it goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.batch import Verdict
from app.domain.catalogue import EventRule
from app.domain.channel import ChannelSpec
from app.domain.delivery import Delivery
from app.domain.errors import PermanentError
from app.domain.event import Event
from app.domain.lane import Priority
from app.domain.outcome import Reason, Status
from app.domain.ports import BreakerState, Charged, KnownUser, Message, Provider, Renderer, UserCharge
from app.domain.preference_rules import decide
from app.domain.simulator import is_test_address
from app.domain.users import Preferences, Recipient


def goes_without_store(priority: Priority) -> bool:
    """Whether a delivery goes on while a store that it needs is away; all but high wait until it is back."""
    return priority is Priority.HIGH


def goes_without_users(delivery: Delivery, contact: str | None, known: KnownUser | None = None) -> bool:
    """The same for the users' store: only where the event itself, or what is `known`, says whom it goes to."""
    if not goes_without_store(delivery.priority):
        return False
    if known is not None and known.forgotten_at_ms and (is_before_forgetting(delivery, known) or not known.recipient):
        return False
    recipient = known.recipient if known is not None else None
    return bool(address_of(delivery.event, contact, recipient or Recipient(user_id=delivery.event.user_id)))


def is_before_forgetting(delivery: Delivery, known: KnownUser) -> bool:
    """Whether it is of a user who was forgotten since: SQL is to say that, and it is cancelled then."""
    return delivery.accepted_at_ms <= known.forgotten_at_ms


def preferences_without_store(priority: Priority, known: KnownUser | None) -> Preferences | None:
    """What a delivery goes by while the preferences' store is away: the last known ones, else the defaults.

    None: it waits. So it does where its user was forgotten, and may have said anything since.
    """
    if not goes_without_store(priority):
        return None
    if known is None or (known.preferences is None and not known.forgotten_at_ms):
        return Preferences()
    return known.preferences.preferences if known.preferences is not None else None


def expired(delivery: Delivery, now_ms: int) -> Verdict | None:
    """Whether its time has run out."""
    return _ended(Status.EXPIRED, Reason.TTL, now_ms) if delivery.expires_at_ms <= now_ms else None


def scheduled(delivery: Delivery, now_ms: int) -> Verdict | None:
    """Parked until it is to be sent: who it goes to, and whether it may, is decided then."""
    send_at_ms = delivery.event.send_at_ms
    return _parked(send_at_ms, Reason.SCHEDULED, now_ms) if send_at_ms > now_ms else None


def not_configured(now_ms: int) -> Verdict:
    """The verdict on a delivery whose channel has no provider."""
    return _ended(Status.SUPPRESSED, Reason.CHANNEL_NOT_CONFIGURED, now_ms)


def no_address(now_ms: int) -> Verdict:
    """The verdict on a delivery that goes nowhere."""
    return _ended(Status.SUPPRESSED, Reason.NO_ADDRESS, now_ms)


def address_of(event: Event, contact: str | None, recipient: Recipient) -> str | None:
    """The address: of the event, else of the user; the user id itself where the channel needs no other."""
    if contact is None:
        return event.user_id
    to = event.options.to
    given: str | None = getattr(to, contact) if to is not None else None
    return given or getattr(recipient.contacts, contact)


def in_charge(
    channel: str, address: str | None, providers: Sequence[Provider], simulator: Provider | None
) -> Sequence[Provider]:
    """Who takes what goes to this address: the simulator alone where it is a test address, else the providers."""
    if simulator is not None and address and is_test_address(channel, address):
        return (simulator,)
    return providers


def checked_address(address: str | None, provider: Provider, now_ms: int) -> str | Verdict:
    """The address in the provider's normal form, or the verdict where there is none or a wrong one."""
    if not address:
        return no_address(now_ms)
    try:
        return provider.check_address(address)
    except PermanentError as error:
        return _ended(Status.FAILED, error.reason, now_ms, error.detail)


def address_suppressed(reason: str, now_ms: int) -> Verdict | None:
    """Whether nothing is sent to its address, by the reason that it is suppressed for (empty: it is not)."""
    return _ended(Status.SUPPRESSED, Reason.ADDRESS_SUPPRESSED, now_ms, reason) if reason else None


def unwanted(
    rule: EventRule, delivery: Delivery, preferences: Preferences, timezone: str, now_ms: int
) -> Verdict | None:
    """What the user's preferences, mute and quiet hours say. What would only wait to expire is expired now."""
    decision = decide(rule, delivery.channel, preferences, timezone, now_ms)
    if decision.status is None:
        return None
    if decision.status is Status.PARKED and decision.until_ms >= delivery.expires_at_ms:
        return _ended(Status.EXPIRED, decision.reason, now_ms)
    return Verdict(status=decision.status, reason=decision.reason, at_ms=now_ms, until_at_ms=decision.until_ms)


def charge_of(rule: EventRule, delivery: Delivery) -> UserCharge:
    """What the user's limits are asked."""
    return UserCharge(
        delivery_id=delivery.id,
        user_id=delivery.event.user_id,
        channel=delivery.channel,
        expires_at_ms=delivery.expires_at_ms,
        may_park=rule.over_user_limit == "park",
    )


def over_user_limit(rule: EventRule, answer: Charged, now_ms: int) -> Verdict | None:
    """What the answer of the user's limits means."""
    if answer.is_refused:
        status = Status.FAILED if rule.over_user_limit == "park" else Status.SUPPRESSED
        return _ended(status, Reason.RATE_LIMITED_USER, now_ms)
    if not answer.slot_at_ms:
        return None
    verdict = _parked(answer.slot_at_ms, Reason.RATE_LIMITED_USER, now_ms)
    verdict.slot_at_ms = answer.slot_at_ms
    return verdict


def rendered(
    renderer: Renderer, rule: EventRule, delivery: Delivery, recipient: Recipient | None, address: str, now_ms: int
) -> Message | Verdict:
    """The message, or the verdict on a delivery that cannot be put into words."""
    try:
        subject, text, html = renderer.render(rule, delivery, recipient)
    except PermanentError as error:
        return _ended(Status.FAILED, error.reason, now_ms, error.detail)
    return Message(
        delivery_id=delivery.id,
        notification_id=delivery.notification_id,
        user_id=delivery.event.user_id,
        event_type=delivery.event.event_type,
        category=rule.category,
        address=address,
        subject=subject,
        text=text,
        html=html,
        metadata=delivery.event.metadata,
        created_at_ms=delivery.accepted_at_ms,
        expires_at_ms=delivery.expires_at_ms,
        is_high=delivery.priority is Priority.HIGH,
        traceparent=delivery.traceparent,
        key_id=delivery.key_id,
    )


def is_paused(spec: ChannelSpec, state: BreakerState, now_ms: int) -> bool:
    """Whether the whole lane waits for its provider's breaker: the breaker of a target host parks instead."""
    return not spec.breaker_per_target and state.open_until_ms > now_ms


def target_paused(delivery: Delivery, until_ms: int, now_ms: int) -> Verdict:
    """Parked until the target host is tried again; failed where it would have expired by then."""
    if until_ms < delivery.expires_at_ms:
        return _parked(until_ms, Reason.BREAKER_OPEN, now_ms)
    return _ended(Status.FAILED, Reason.BREAKER_OPEN, now_ms)


def _ended(status: Status, reason: str, now_ms: int, detail: str = "") -> Verdict:
    return Verdict(status=status, reason=reason, detail=detail, at_ms=now_ms)


def _parked(until_ms: int, reason: str, now_ms: int) -> Verdict:
    return Verdict(status=Status.PARKED, reason=reason, at_ms=now_ms, until_at_ms=until_ms)
