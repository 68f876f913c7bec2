"""What Resend's webhooks post (https://resend.com/docs/dashboard/webhooks/event-types), signed as Svix does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from app.domain.clock import now_ms
from app.domain.provider_file import ResendEntry
from app.domain.report import ReceiptRequest, Report, ReportKind
from app.domain.violation import decode_input
from app.settings import Settings
from infrastructure.channels.email_reports import EMAIL, bounce_kind, email_or_none, time_ms, words
from infrastructure.channels.webhook_signature import WebhookVerifier

#: What is said of a mail that was taken; of `email.bounced` more is told.
_KINDS: Final[Mapping[str, ReportKind]] = {
    "email.delivered": ReportKind.DELIVERED,
    "email.bounced": ReportKind.HARD_BOUNCE,
    "email.suppressed": ReportKind.HARD_BOUNCE,
    "email.complained": ReportKind.COMPLAINT,
    "email.failed": ReportKind.REFUSED,
}


class _Head(Struct, frozen=True):
    """As much as all events have."""

    type: str


class _Bounce(Struct, frozen=True, rename="camel"):
    type: str = ""
    sub_type: str = ""


class _Mail(Struct, frozen=True):
    """`tags` is an object, and was an array of `name` and `value`."""

    email_id: str
    to: list[str] = []
    tags: dict[str, str] | list[dict[str, str]] | None = None
    bounce: _Bounce | None = None


class _Event(Struct, frozen=True):
    type: str
    data: _Mail
    created_at: str = ""


_head = msgspec.json.Decoder(_Head)
_event = msgspec.json.Decoder(_Event)


class ResendReceipts:
    """Port ReceiptReader. The ids stand in the mail's tags."""

    def __init__(self, entry: ResendEntry, signing_secret: str, settings: Settings) -> None:
        """Raises ConfigError for a secret that is none."""
        self._verifier = WebhookVerifier(signing_secret, f"provider {entry.name}: signing_secret")
        self._settings = settings

    def read(self, request: ReceiptRequest) -> Sequence[Report]:
        """See `app.domain.ports.ReceiptReader`."""
        self._verifier.check(request.headers, request.body, now_s=now_ms() // 1000)
        kind = _KINDS.get(decode_input(request.body, _head).type)
        if kind is None:
            return []
        event = decode_input(request.body, _event)
        mail, bounce = event.data, event.data.bounce or _Bounce(type="Permanent")
        if event.type == "email.bounced":
            kind = bounce_kind(bounce.type, bounce.sub_type)
        tags = _tags(mail.tags)
        return [
            Report(
                kind=kind,
                channel=EMAIL,
                at_ms=time_ms(event.created_at),
                address=email_or_none(mail.to[0], self._settings) if len(mail.to) == 1 else "",
                notification_id=tags.get("notification_id", ""),
                delivery_id=tags.get("delivery_id", ""),
                key_id=tags.get("key_id", ""),
                provider_id=mail.email_id,
                detail=words(bounce.type, bounce.sub_type) if event.data.bounce else "",
            )
        ]


def _tags(told: Any) -> dict[str, str]:
    if isinstance(told, list):
        return {one.get("name", ""): one.get("value", "") for one in told}
    return told or {}
