"""What is told of an event that nobody has sent: an answer of the HTTP service, and of `manage.py explain --json`.

Where a store does not answer, `unknown` says which, and what depends on it is left out.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from app.domain.lane import Priority
from app.domain.rfc3339 import Rfc3339
from app.domain.sms_segments import Encoding

#: `open`: it would wait for a store that is away. `held`: its lane would, and `then` says for what.
ForeseenStatus = Literal["sent", "parked", "suppressed", "failed", "expired", "open", "held"]
Source = Literal["options", "catalogue"]


class Told(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Part of an explanation; what is at its default is left out."""


class ChosenPriority(Told, frozen=True, kw_only=True, rename={"source": "from"}):
    """The priority in force, and who says so."""

    value: Priority
    source: Source


class ChosenChannels(Told, frozen=True, kw_only=True, rename={"source": "from"}):
    """The channels in force, and who says so."""

    value: tuple[str, ...]
    source: Source


class ChosenTtl(Told, frozen=True, kw_only=True, rename={"source": "from"}):
    """The time to live in force in seconds, and who says so."""

    value: int
    source: Source


class UserSeen(Told, frozen=True, kw_only=True):
    """What is stored of the user; for one that is not, the defaults hold."""

    is_known: bool | None = None
    locale: str | None = None
    timezone: str | None = None
    unknown: str = ""


class ProviderSeen(Told, frozen=True, kw_only=True):
    """Who hands the channel's messages over; `disabled` are those of them that an operator has switched off."""

    is_configured: bool
    name: str = ""
    disabled: tuple[str, ...] = ()
    unknown: str = ""


class AddressSeen(Told, frozen=True, kw_only=True, rename={"source": "from"}):
    """Whether there is an address, and where; it is never told whole. `problem` is what the provider has against it.

    `suppressed`: why nothing is sent there (`hard_bounce`, `stop` and the like); empty where it is not suppressed.
    `last_known`: it is the user's, from a copy, because SQL does not answer.
    """

    is_found: bool | None = None
    source: Literal["options", "user", "user_id", "last_known"] | None = None
    masked: str = ""
    problem: str = ""
    suppressed: str = ""
    unknown: str = ""


class QuietHoursSeen(Told, frozen=True, kw_only=True):
    """The user's quiet hours on the clock of `timezone`; `until` where they hold now."""

    start: str
    end: str
    timezone: str
    until: Rfc3339 | None = None


class PreferencesSeen(Told, frozen=True, kw_only=True):
    """What the user wants. `entry` is the category and channel that decide; without one it is wanted.

    `is_ignored`: the event type is critical, and none of this is looked at.
    """

    is_ignored: bool
    is_wanted: bool | None = None
    entry: tuple[str, str] | None = None
    muted_until: Rfc3339 | None = None
    quiet_hours: QuietHoursSeen | None = None
    unknown: str = ""


class LimitState(Told, frozen=True, kw_only=True):
    """A limit as the delivery would find it: how many may go now, and when the next may where none may."""

    limit: str
    rate: str
    left: int
    next_at: Rfc3339 | None = None


class LimitStates(Told, frozen=True, kw_only=True):
    """The limits of one kind that concern a delivery; none where none is set."""

    limits: tuple[LimitState, ...] = ()
    unknown: str = ""


class BreakerSeen(Told, frozen=True, kw_only=True):
    """The provider's breaker, or the target host's."""

    state: Literal["closed", "open", "half_open"] | None = None
    open_until: Rfc3339 | None = None
    unknown: str = ""


class SmsSeen(Told, frozen=True, kw_only=True):
    """What an SMS is sent as. `units` are septets of GSM-7 or UTF-16 units of UCS-2, `characters` those of Unicode."""

    encoding: Encoding
    characters: int
    units: int
    segments: int


class Content(Told, frozen=True, kw_only=True):
    """The templates, filled in; or why they cannot be. `sms` is there where an SMS would be made of them."""

    subject: str = ""
    text: str = ""
    html: str = ""
    sms: SmsSeen | None = None
    problem: str = ""


class Foreseen(Told, frozen=True, kw_only=True):
    """What would happen now. `then` is what the steps would decide if nothing held the lane."""

    status: ForeseenStatus
    reason: str = ""
    detail: str = ""
    until: Rfc3339 | None = None
    then: Foreseen | None = None


class DeliveryExplanation(Struct, frozen=True, kw_only=True):
    """One channel: all that is looked at, and the verdict."""

    channel: str
    lane: str
    provider: ProviderSeen
    address: AddressSeen
    preferences: PreferencesSeen
    user_limits: LimitStates
    lane_limits: LimitStates
    breaker: BreakerSeen
    content: Content
    verdict: Foreseen


class Explanation(Struct, frozen=True, kw_only=True):
    """What would become of a valid event that came now. `verdict` is there where it yields no delivery."""

    at: Rfc3339
    user_id: str
    event_type: str
    is_named: bool
    category: str
    critical: bool
    priority: ChosenPriority
    channels: ChosenChannels
    ttl_s: ChosenTtl
    expires_at: Rfc3339
    user: UserSeen
    deliveries: tuple[DeliveryExplanation, ...]
    verdict: Foreseen | None = None
