"""What Twilio posts: status callbacks, and messages that came in, of which STOP and START matter.

https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
https://www.twilio.com/docs/messaging/guides/webhook-request
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs, parse_qsl, urlsplit

from app.domain.clock import now_ms
from app.domain.provider_file import TwilioEntry
from app.domain.report import PATH, InvalidSignatureError, ReceiptRequest, Report, ReportKind
from app.domain.violation import WHOLE, MalformedInputError, Violation
from app.settings import Settings
from infrastructure.channels.normal_address import normal_or_none
from infrastructure.channels.twilio import CALLED_AGAIN

HEADER: Final = "x-twilio-signature"
SMS: Final = "sms"
#: Words that Twilio obeys as well, alone in a message (https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out).
STOP_WORDS: Final = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
START_WORDS: Final = frozenset({"START", "YES", "UNSTOP"})

_UNDELIVERED: Final = {"undelivered", "failed"}
#: Error codes (https://www.twilio.com/docs/api/errors): no such number, or none that takes SMS.
_NO_NUMBER: Final = {"30005", "30006"}
#: The phone was off, or nobody knows.
_FOR_NOW: Final = {"30003", "30008"}
#: The recipient has sent STOP to this sender.
_STOPPED: Final = "21610"
_MOST_FIELDS: Final = 200
_PORTS: Final = {"https": 443, "http": 80}

Fields = Sequence[tuple[str, str]]


class TwilioReceipts:
    """Port ReceiptReader. The ids stand in the callback's URL, which is signed with the form."""

    def __init__(self, entry: TwilioEntry, auth_token: str, settings: Settings) -> None:
        self._url = f"{settings.public_url.rstrip('/')}{PATH}{entry.name}"
        self._token = auth_token
        self._settings = settings

    def read(self, request: ReceiptRequest) -> Sequence[Report]:
        """See `app.domain.ports.ReceiptReader`."""
        fields = _form(request.body)
        url = f"{self._url}?{request.query}" if request.query else self._url
        signature = request.headers.get(HEADER, "")
        # Whether Twilio signs what stands behind the # is not documented: nothing else can stand there.
        if not any(is_signed(self._token, one, fields, signature) for one in (url, url + CALLED_AGAIN)):
            raise InvalidSignatureError("X-Twilio-Signature is not that of NOTIFY_PUBLIC_URL, this path and this form")
        given = dict(reversed(fields))
        status = given.get("MessageStatus") or given.get("SmsStatus") or ""
        if status == "received":
            return list(self._said(given))
        return list(self._status(status, given, _ids(request.query)))

    def _status(self, status: str, given: Mapping[str, str], ids: Mapping[str, str]) -> Iterator[Report]:
        code = given.get("ErrorCode", "")
        if status == "delivered":
            yield self._report(ReportKind.DELIVERED, given, ids)
        elif status in _UNDELIVERED:
            if code == _STOPPED:
                yield from self._answer(ReportKind.STOP, given.get("To", ""))
            yield self._report(_kind(code), given, ids, f"code {code}" if code.isdecimal() else "")

    def _report(self, kind: ReportKind, given: Mapping[str, str], ids: Mapping[str, str], detail: str = "") -> Report:
        return Report(
            kind=kind,
            channel=SMS,
            at_ms=now_ms(),  # it tells no time
            address=self._address(given.get("To", "")),
            provider_id=given.get("MessageSid", ""),
            detail=detail,
            **ids,
        )

    def _said(self, given: Mapping[str, str]) -> Iterator[Report]:
        """What a person has written to us; Twilio names it where the messaging service has words of its own."""
        word = (given.get("OptOutType") or given.get("Body", "")).strip().upper()
        for kind, known in ((ReportKind.STOP, STOP_WORDS), (ReportKind.START, START_WORDS)):
            if word in known:
                yield from self._answer(kind, given.get("From", ""))

    def _answer(self, kind: ReportKind, number: str) -> Iterator[Report]:
        address = self._address(number)
        if address:
            yield Report(kind=kind, channel=SMS, at_ms=now_ms(), address=address)

    def _address(self, number: str) -> str:
        """Empty for what is not reached by SMS: `whatsapp:+44...` is a number to those who look for digits."""
        return normal_or_none(SMS, number, self._settings) if number.startswith("+") else ""


def is_signed(token: str, url: str, fields: Fields, signature: str) -> bool:
    """Whether Twilio's signature is that of the URL and the form: of the URL with a port and without.

    https://www.twilio.com/docs/usage/webhooks/webhooks-security
    """
    return any(
        hmac.compare_digest(twilio_signature(token, one, fields).encode(), signature.encode()) for one in _forms(url)
    )


def twilio_signature(token: str, url: str, fields: Collection[tuple[str, str]]) -> str:
    """The signature of a POST of these fields."""
    said = url + "".join(name + value for name, value in sorted(set(fields)))
    return b64encode(hmac.digest(token.encode(), said.encode(), "sha1")).decode()


def _forms(url: str) -> Iterator[str]:
    yield url
    parts = urlsplit(url)
    host, colon, _ = parts.netloc.partition(":")
    place = host if colon else f"{host}:{_PORTS.get(parts.scheme, 0)}"
    yield f"{parts.scheme}://{place}{url.partition(parts.netloc)[2]}"


def _form(body: bytes) -> Fields:
    """Raises MalformedInputError."""
    try:
        return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise MalformedInputError([Violation(WHOLE, "is not a form in UTF-8")]) from error


def _ids(query: str) -> dict[str, str]:
    found = parse_qs(query)
    return {name: found.get(name, [""])[0] for name in ("delivery_id", "notification_id", "key_id")}


def _kind(code: str) -> ReportKind:
    if code in _NO_NUMBER:
        return ReportKind.HARD_BOUNCE
    return ReportKind.SOFT_BOUNCE if code in _FOR_NOW else ReportKind.REFUSED
