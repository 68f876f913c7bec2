"""What is known of a user: contacts, locale, timezone, and which notifications they want when."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

ClockTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z")]


class Contacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A user's addresses, one a channel. `webhook` is an http(s) URL, `phone` an E.164 number."""

    email: str | None = None
    phone: str | None = None
    webhook: str | None = None
    push: str | None = None
    chat: str | None = None


class User(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user as PUT and GET show it. `timezone` is an IANA name."""

    id: str
    contacts: Contacts = Contacts()
    locale: str = "en"
    timezone: str = "UTC"


class QuietHours(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From `start` to `end` on the user's own clock, `HH:MM`; over midnight where end is before start."""

    start: ClockTime
    end: ClockTime


class Preferences(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user wants.

    `channels` maps category -> channel -> wanted; the category or the channel may be `*`. The most special entry
    decides: (category, channel), (category, *), (*, channel), (*, *), else wanted. `muted_until_ms` (Unix
    milliseconds) mutes everything until then.
    """

    channels: dict[str, dict[str, bool]] = {}
    muted_until_ms: int = 0
    quiet_hours: QuietHours | None = None


class Recipient(Struct, frozen=True, kw_only=True):
    """A user as the chain sees them: a user that is not in the store has none but the defaults."""

    user_id: str
    contacts: Contacts = Contacts()
    locale: str = "en"
    timezone: str = "UTC"
    is_known: bool = False
