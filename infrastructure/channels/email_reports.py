"""What the email APIs' reports have in common: they all are told by Amazon's words, and by ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parseaddr
from typing import Final

from app.domain.clock import now_ms
from app.domain.report import ReportKind
from app.settings import Settings
from infrastructure.channels.email_api import error_word
from infrastructure.channels.normal_address import normal_or_none

EMAIL: Final = "email"
#: Subtypes of bounces for now that the mail is to blame for, or its sender, and not the address.
_OF_THE_MAIL: Final = {"MessageTooLarge", "ContentRejected", "AttachmentRejected"}


def bounce_kind(kind: str, subtype: str) -> ReportKind:
    """Of `Permanent`, `Transient` or `Undetermined`, and what is below.

    https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html#bounce-types
    """
    if kind == "Permanent":
        return ReportKind.HARD_BOUNCE
    return ReportKind.REFUSED if subtype in _OF_THE_MAIL else ReportKind.SOFT_BOUNCE


def words(*told: str) -> str:
    """What may be told of a report: its plain words, for any other text may quote an address."""
    return ", ".join(filter(None, map(error_word, told)))


def email_or_none(told: str, settings: Settings) -> str:
    """The address of `Anna <anna@example.com>` or of the bare one, in normal form; empty where there is none."""
    return normal_or_none(EMAIL, parseaddr(told)[1], settings)


def time_ms(text: str) -> int:
    """Unix milliseconds; now, where it says no time."""
    try:
        at = datetime.fromisoformat(text)
        return round(at.replace(tzinfo=at.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        return now_ms()
