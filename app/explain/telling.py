"""From what was found out about a delivery to what is told of it."""

from __future__ import annotations

from typing import Final

from msgspec import structs

from app.domain.batch import Verdict
from app.domain.masking import masked
from app.domain.ports import Message
from app.domain.preference_rules import deciding_entry, is_wanted
from app.domain.quiet_hours import quiet_until_ms
from app.domain.rfc3339 import rfc3339, rfc3339_or_none
from app.domain.sms_segments import said, segments_of
from app.domain.users import Preferences, Recipient
from app.explain.explanation import (
    AddressSeen,
    BreakerSeen,
    Content,
    DeliveryExplanation,
    Foreseen,
    ForeseenStatus,
    LimitStates,
    PreferencesSeen,
    ProviderSeen,
    QuietHoursSeen,
    SmsSeen,
    UserSeen,
)
from app.explain.foresight import Foresight

SQL_AWAY: Final = "SQL does not answer"
REDIS_AWAY: Final = "Redis does not answer"
MISCONFIGURED: Final = "the channel's settings are wrong"
SMS: Final = "sms"
NO_TARGET: Final = "there is no address to tell the host by"


def told_user(recipient: Recipient | None) -> UserSeen:
    """The user, without contacts."""
    if recipient is None:
        return UserSeen(unknown=SQL_AWAY)
    return UserSeen(is_known=recipient.is_known, locale=recipient.locale, timezone=recipient.timezone)


def told_delivery(one: Foresight) -> DeliveryExplanation:
    """All of one delivery."""
    limits_unknown = REDIS_AWAY if one.facts.limits is None else ""
    return DeliveryExplanation(
        channel=one.delivery.channel,
        lane=one.delivery.lane.queue,
        provider=_provider(one),
        address=_address(one),
        preferences=_preferences(one),
        user_limits=LimitStates(limits=one.user_limits, unknown=limits_unknown),
        lane_limits=LimitStates(limits=one.lane_limits, unknown=limits_unknown),
        breaker=_breaker(one),
        content=_content(one.made, one.delivery.channel),
        verdict=_foreseen(one),
    )


def _provider(one: Foresight) -> ProviderSeen:
    if one.provider is None:
        return ProviderSeen(is_configured=False, unknown=MISCONFIGURED if one.is_misconfigured else "")
    names = ", ".join(provider.name for provider in one.takers)
    return ProviderSeen(is_configured=True, name=names, disabled=tuple(one.off))


def _address(one: Foresight) -> AddressSeen:
    return structs.replace(_found_address(one), suppressed=one.suppressed)


def _found_address(one: Foresight) -> AddressSeen:
    raw, to = one.raw_address, one.delivery.event.options.to
    problem = f"{one.address.reason}: {one.address.detail}" if isinstance(one.address, Verdict) else ""
    if one.spec.contact is None:
        return AddressSeen(is_found=True, source="user_id", masked=masked(raw or ""), problem=problem)
    if to is not None and getattr(to, one.spec.contact) is not None:
        return AddressSeen(is_found=True, source="options", masked=masked(raw or ""), problem=problem)
    if one.facts.recipient is None:
        if not raw:
            return AddressSeen(unknown=SQL_AWAY)
        return AddressSeen(is_found=True, source="last_known", masked=masked(raw), problem=problem, unknown=SQL_AWAY)
    if not raw:
        return AddressSeen(is_found=False)
    return AddressSeen(is_found=True, source="user", masked=masked(raw), problem=problem)


def _preferences(one: Foresight) -> PreferencesSeen:
    rule, found = one.rule, one.facts.preferences
    if found is None:
        return PreferencesSeen(is_ignored=rule.critical, unknown=SQL_AWAY)
    return PreferencesSeen(
        is_ignored=rule.critical,
        is_wanted=is_wanted(found, rule.category, one.delivery.channel),
        entry=deciding_entry(found, rule.category, one.delivery.channel),
        muted_until=rfc3339_or_none(found.muted_until_ms if found.muted_until_ms > one.facts.now_ms else None),
        quiet_hours=_quiet_hours(found, one.recipient.timezone, one.facts.now_ms),
    )


def _quiet_hours(preferences: Preferences, timezone: str, now_ms: int) -> QuietHoursSeen | None:
    quiet = preferences.quiet_hours
    if quiet is None:
        return None
    until = rfc3339_or_none(quiet_until_ms(quiet, timezone, now_ms))
    return QuietHoursSeen(start=quiet.start, end=quiet.end, timezone=timezone, until=until)


def _breaker(one: Foresight) -> BreakerSeen:
    if one.breaker is not None:
        until_ms = one.breaker.open_until_ms
        if until_ms > one.facts.now_ms:
            return BreakerSeen(state="open", open_until=rfc3339(until_ms))
        return BreakerSeen(state="half_open" if one.breaker.level else "closed")
    if one.provider is None or one.off:
        return BreakerSeen()
    return BreakerSeen(unknown=REDIS_AWAY if one.facts.limits is None else NO_TARGET)


def _content(made: Message | Verdict | None, channel: str) -> Content:
    if isinstance(made, Message):
        sms = _sms(said(made.text, made.subject)) if channel == SMS else None
        return Content(subject=made.subject, text=made.text, html=made.html, sms=sms)
    return Content(problem=f"{made.reason}: {made.detail}" if made is not None else "")


def _sms(text: str) -> SmsSeen | None:
    """How it is sent; an SMS without a text is not."""
    if not text:
        return None
    found = segments_of(text)
    return SmsSeen(encoding=found.encoding, characters=found.characters, units=found.units, segments=found.segments)


def _foreseen(one: Foresight) -> Foreseen:
    verdict = one.verdict or Verdict()
    found = told_verdict(verdict)
    if not one.held_reason or verdict.open is not None:
        return found
    return Foreseen(status="held", reason=one.held_reason, until=rfc3339_or_none(one.held_until_ms), then=found)


def told_verdict(verdict: Verdict) -> Foreseen:
    """A verdict of the steps."""
    if verdict.open is not None:
        return Foreseen(status="open", reason=verdict.open)
    return Foreseen(
        status=_STATUSES[verdict.status],
        reason=verdict.reason,
        detail=verdict.detail,
        until=rfc3339_or_none(verdict.until_at_ms),
    )


_STATUSES: Final[dict[str, ForeseenStatus]] = {
    "sent": "sent",
    "parked": "parked",
    "suppressed": "suppressed",
    "failed": "failed",
    "expired": "expired",
}
