"""Email by Resend (https://resend.com/docs/api-reference/emails/send-email)."""

from __future__ import annotations

import re
import ssl
from http import HTTPStatus
from typing import Any

from msgspec import structs

from app.domain.codec import encode
from app.domain.errors import DeliveryError, InDoubtError, PermanentError, ThrottledError, TransientError
from app.domain.outcome import Reason
from app.domain.ports import Message, Receipt
from app.domain.provider_file import ResendEntry
from app.settings import Settings
from infrastructure.channels.api_provider import answer_field, api_target, carried_ids
from infrastructure.channels.email_api import (
    QUOTA_WAIT_S,
    USER_AGENT,
    EmailApiProvider,
    credential,
    error_word,
)
from infrastructure.channels.email_message import own_headers
from infrastructure.channels.header_value import header_value
from infrastructure.channels.http_answer import judge_api
from infrastructure.channels.http_client import HttpAnswer
from infrastructure.channels.timed_socket import Deadline

#: Names of errors (https://resend.com/docs/api-reference/errors) that are about the account or the settings, whatever
#: the status that comes with them.
_ABOUT_US = {
    "missing_api_key",
    "invalid_api_key",
    "restricted_api_key",
    "suspended_api_key",
    "invalid_access",
    "invalid_permission",
    "invalid_region",
    "invalid_from_address",
}
_QUOTAS = {"daily_quota_exceeded", "monthly_quota_exceeded"}
#: The key was seen in the last 24 h: with another content, or in a call that has no answer yet.
_SEEN_BEFORE = {"invalid_idempotent_request", "concurrent_idempotent_requests"}
_BAD_ADDRESS = re.compile("Invalid [`'\"]to[`'\"] field")


class ResendProvider(EmailApiProvider):
    """Port Provider. Resend knows a repetition by its Idempotency-Key, the delivery id, for 24 h."""

    def __init__(self, entry: ResendEntry, api_key: str, settings: Settings, tls: ssl.SSLContext | None = None) -> None:
        """Raises ConfigError for a URL that is none, and for a key that cannot be one."""
        super().__init__(entry, settings, tls)
        self._target = structs.replace(api_target(entry.url, entry.name), path="/emails")
        self._headers = {
            "Authorization": f"Bearer {credential(api_key, 'api_key', entry.name)}",
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
        }

    def hand_over(self, message: Message, deadline: Deadline) -> Receipt:
        """One POST, its body the same over all tries of a delivery. Raises DeliveryError."""
        body = self._body(message)
        key = {"Idempotency-Key": header_value(message.delivery_id, "Idempotency-Key")}
        answer = self.client.post(self._target, body, self._headers | key, deadline)
        refusal = judge_api(answer.status, _with_wait(answer), longest_wait_s=self.longest_wait_s)
        if refusal is not None:
            raise _told(refusal, answer)
        return Receipt(provider_id=answer_field(answer.body, "id"))

    def _body(self, message: Message) -> bytes:
        """Raises PermanentError (invalid_address, invalid_content)."""
        fields: dict[str, Any] = {
            "from": self.sender,
            "to": [self.check_address(message.address)],
            "subject": header_value(message.subject, "subject"),
            "text": message.text,
            "headers": own_headers(message),
            # Of both, letters, digits, - and _ are allowed.
            "tags": [{"name": name, "value": value} for name, value in carried_ids(message).items()],
        }
        if message.html:
            fields["html"] = message.html
        try:
            return encode(fields)
        except UnicodeEncodeError as error:
            raise PermanentError(Reason.INVALID_CONTENT, "not to be written as JSON") from error


def _with_wait(answer: HttpAnswer) -> dict[str, str]:
    """Its Retry-After, or what stands for it (https://resend.com/docs/api-reference/rate-limit)."""
    wait = answer.headers.get("retry-after") or ""
    if not wait and answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = answer.headers.get("ratelimit-reset") or ""
    return {"retry-after": wait}


def _told(refusal: DeliveryError, answer: HttpAnswer) -> DeliveryError:
    """What Resend's own name for the error says beside the status."""
    name = error_word(answer_field(answer.body, "name"))
    refusal.detail = f"HTTP {answer.status}, {name}" if name else refusal.detail
    if name in _QUOTAS:
        return ThrottledError(Reason.PROVIDER_THROTTLED, refusal.detail, retry_after_s=QUOTA_WAIT_S)
    if name in _SEEN_BEFORE:
        # An earlier call may have been taken; whether it was, or will be, is not told.
        return InDoubtError(Reason.IN_DOUBT, refusal.detail)
    if name in _ABOUT_US:
        return TransientError(Reason.PROVIDER_TRANSIENT, f"{refusal.detail}: account or settings")
    if isinstance(refusal, PermanentError) and _BAD_ADDRESS.match(answer_field(answer.body, "message")):
        return PermanentError(Reason.INVALID_ADDRESS, refusal.detail)
    return refusal
