"""An address in the form that all providers of its channel give it."""

from __future__ import annotations

from app.domain.errors import PermanentError
from app.settings import Settings
from infrastructure.channels.email_address import checked_email


def normal_address(channel: str, address: str, settings: Settings) -> str:
    """For email and SMS. Raises PermanentError (invalid_address). Asks nobody."""
    if channel == "email":
        return checked_email(address)
    # Only here: phone numbers' rules take memory that mail can do without.
    from infrastructure.channels.phone_number import checked_number

    return checked_number(address, settings.sms_region)


def normal_or_none(channel: str, address: str, settings: Settings) -> str:
    """The same, empty for what is no address."""
    try:
        return normal_address(channel, address, settings)
    except PermanentError:
        return ""
