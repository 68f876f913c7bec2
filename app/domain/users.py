"""What is known of a user: contacts, locale, timezone, and which notifications they want when."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from app.domain.chat_address import ChatAddress

#: The lengths and patterns told here are checked by `app.domain.user_rules`, which names every fault at once.
_ADDRESS = {"minLength": 1, "maxLength": 2048, "pattern": r"^[^\x00-\x1f\x7f]+$"}
Address = Annotated[str, Meta(extra_json_schema=_ADDRESS)]
Email = Annotated[str, Meta(extra_json_schema=_ADDRESS | {"maxLength": 254, "format": "idn-email"})]
Phone = Annotated[str, Meta(extra_json_schema={"pattern": r"^\+[1-9][0-9]{1,14}$"})]
Webhook = Annotated[str, Meta(extra_json_schema=_ADDRESS | {"pattern": r"^https?://[^\s\x00-\x1f\x7f]+$"})]
Locale = Annotated[str, Meta(extra_json_schema={"pattern": r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,4}$"})]
ClockTime = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]\Z")]


class Contacts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A user's addresses, one a channel. `webhook` is an http(s) URL, `phone` an E.164 number.

    `chat` is a URL in the form of apprise; it is stored and shown sealed, and may be given in that form, too.
    """

    email: Email | None = None
    phone: Phone | None = None
    webhook: Webhook | None = None
    push: Address | None = None
    chat: ChatAddress | None = None


class User(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user as PUT and GET show it. `timezone` is an IANA name."""

    id: str
    contacts: Contacts = Contacts()
    locale: Locale = "en"
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
    """A user as the chain sees them: a user that is not in the store has none but the defaults.

    `version` grows with each change of what is stored; 0 where the store has nothing, None where it did not say.
    """

    user_id: str
    contacts: Contacts = Contacts()
    locale: str = "en"
    timezone: str = "UTC"
    is_known: bool = False
    version: int | None = None
