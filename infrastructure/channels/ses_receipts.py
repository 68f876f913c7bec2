"""What Amazon SES publishes to an SNS topic, by the event destination of a configuration set.

https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from app.domain.provider_file import SesEntry
from app.domain.report import InvalidSignatureError, ReceiptRequest, Report, ReportKind
from app.domain.violation import decode_input
from app.settings import Settings
from infrastructure.channels.email_reports import EMAIL, bounce_kind, email_or_none, time_ms, words
from infrastructure.channels.sns import NOTIFICATION, SUBSCRIPTION, Fetch, SnsMessage, SnsVerifier, is_amazons

log = structlog.get_logger(__name__)

#: A report that takes a complaint back, or says that a mail was none.
_NOT_SPAM: Final = "not-spam"


class _Address(Struct, frozen=True):
    address: str = msgspec.field(name="emailAddress", default="")
    status: str = ""


class _Bounce(Struct, frozen=True, rename="camel"):
    bounce_type: str
    bounce_sub_type: str = ""
    bounced_recipients: list[_Address] = []
    timestamp: str = ""


class _Complaint(Struct, frozen=True, rename="camel"):
    complained_recipients: list[_Address] = []
    complaint_feedback_type: str | None = None
    timestamp: str = ""


class _Delivery(Struct, frozen=True):
    recipients: list[str] = []
    timestamp: str = ""


class _Mail(Struct, frozen=True, rename="camel"):
    message_id: str
    destination: list[str] = []
    tags: dict[str, list[str]] = {}
    timestamp: str = ""


class _Event(Struct, frozen=True, rename="camel"):
    """`notificationType` is the word of notifications about an identity; those have no tags, and are none of ours."""

    mail: _Mail | None = None
    event_type: str = ""
    bounce: _Bounce | None = None
    complaint: _Complaint | None = None
    delivery: _Delivery | None = None


_envelope = msgspec.json.Decoder(SnsMessage)
_event = msgspec.json.Decoder(_Event)


class SesReceipts:
    """Port ReceiptReader. The ids stand in the mail's tags; what another topic says is not believed."""

    def __init__(self, entry: SesEntry, settings: Settings, fetch: Fetch) -> None:
        self._name = entry.name
        self._topic_arn = entry.topic_arn
        self._settings = settings
        self._fetch = fetch
        self._verifier = SnsVerifier(fetch)

    def read(self, request: ReceiptRequest) -> Sequence[Report]:
        """See `app.domain.ports.ReceiptReader`. Confirms the topic's subscription when SNS asks for it."""
        message = decode_input(request.body, _envelope)
        if message.topic_arn != self._topic_arn:
            # Anybody can have a topic, and SNS signs for all of them.
            raise InvalidSignatureError("TopicArn is not the topic_arn of the file of providers")
        self._verifier.check(message)
        if message.kind == SUBSCRIPTION:
            self._confirm(message.subscribe_url or "")
        elif message.kind != NOTIFICATION:
            log.warning("sns_unsubscribed", provider=self._name)
        elif message.message.startswith("{"):  # else a greeting, when the topic is set up
            return list(self._reports(decode_input(message.message.encode(), _event)))
        return []

    def _confirm(self, url: str) -> None:
        if not is_amazons(url):
            raise InvalidSignatureError("SubscribeURL does not lead to sns.<region>.amazonaws.com")
        self._fetch(url)
        log.info("sns_subscribed", provider=self._name)

    def _reports(self, event: _Event) -> Iterator[Report]:
        mail = event.mail
        if mail is None:
            return
        if event.bounce is not None and event.event_type == "Bounce":
            yield from self._bounced(mail, event.bounce)
        elif event.complaint is not None and event.event_type == "Complaint":
            yield from self._complained(mail, event.complaint)
        elif event.delivery is not None and event.event_type == "Delivery":
            addresses = event.delivery.recipients
            yield self._report(ReportKind.DELIVERED, mail, addresses, event.delivery.timestamp)
        elif event.event_type == "Reject":
            yield self._report(ReportKind.REFUSED, mail, mail.destination, mail.timestamp, "Reject")

    def _bounced(self, mail: _Mail, bounce: _Bounce) -> Iterator[Report]:
        kind = bounce_kind(bounce.bounce_type, bounce.bounce_sub_type)
        addresses = [one.address for one in bounce.bounced_recipients]
        detail = words(bounce.bounce_type, bounce.bounce_sub_type)
        yield self._report(kind, mail, addresses, bounce.timestamp, detail)

    def _complained(self, mail: _Mail, complaint: _Complaint) -> Iterator[Report]:
        kind = complaint.complaint_feedback_type or ""
        if kind != _NOT_SPAM:
            addresses = [one.address for one in complaint.complained_recipients]
            yield self._report(ReportKind.COMPLAINT, mail, addresses, complaint.timestamp, words(kind))

    def _report(
        self, kind: ReportKind, mail: _Mail, addresses: Sequence[str], timestamp: str, detail: str = ""
    ) -> Report:
        """Our mails have one recipient each: of several nobody knows who it was."""
        return Report(
            kind=kind,
            channel=EMAIL,
            at_ms=time_ms(timestamp),
            address=email_or_none(addresses[0], self._settings) if len(addresses) == 1 else "",
            notification_id=_tag(mail.tags, "notification_id"),
            delivery_id=_tag(mail.tags, "delivery_id"),
            key_id=_tag(mail.tags, "key_id"),
            provider_id=mail.message_id,
            detail=detail,
        )


def _tag(tags: Mapping[str, list[str]], name: str) -> str:
    return next(iter(tags.get(name, [])), "")
