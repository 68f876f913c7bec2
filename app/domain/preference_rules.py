"""What a user's preferences mean for one delivery."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from app.domain.catalogue import EventRule
from app.domain.outcome import Reason, Status
from app.domain.quiet_hours import quiet_until_ms
from app.domain.users import Preferences

ANY: Final = "*"


class Decision(Struct, frozen=True, kw_only=True):
    """SUPPRESSED or PARKED (until `until_ms`) with the reason, or `status` None: nothing stands against it."""

    status: Status | None = None
    reason: str = ""
    until_ms: int = 0


_GO: Final = Decision()


def decide(rule: EventRule, channel: str, preferences: Preferences, timezone: str, now_ms: int) -> Decision:
    """Whether the delivery may go now: what is unwanted, muted, or in quiet hours may not, unless it is critical.

    A moment to park until may lie beyond the delivery's expiry; whoever parks looks after that.
    """
    if rule.critical:
        return _GO
    if not is_wanted(preferences, rule.category, channel):
        return Decision(status=Status.SUPPRESSED, reason=Reason.PREFERENCE_OFF)
    if preferences.muted_until_ms > now_ms:
        return Decision(status=Status.SUPPRESSED, reason=Reason.MUTED)
    until_ms = quiet_until_ms(preferences.quiet_hours, timezone, now_ms) if preferences.quiet_hours else None
    if until_ms is not None:
        return Decision(status=Status.PARKED, reason=Reason.QUIET_HOURS, until_ms=until_ms)
    return _GO


def is_wanted(preferences: Preferences, category: str, channel: str) -> bool:
    """What the entry that decides says; wanted where there is none."""
    entry = deciding_entry(preferences, category, channel)
    return True if entry is None else preferences.channels[entry[0]][entry[1]]


def deciding_entry(preferences: Preferences, category: str, channel: str) -> tuple[str, str] | None:
    """The most special entry that is there: (category, channel), (category, *), (*, channel), (*, *)."""
    for by_category in (category, ANY):
        wanted = preferences.channels.get(by_category, {})
        for by_channel in (channel, ANY):
            if by_channel in wanted:
                return by_category, by_channel
    return None
