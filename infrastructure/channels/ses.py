"""Email by Amazon SES (https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html)."""

from __future__ import annotations

import ssl
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from msgspec import structs

from app.domain.codec import encode
from app.domain.errors import DeliveryError, ThrottledError, TransientError
from app.domain.outcome import Reason
from app.domain.ports import Message, Receipt
from app.domain.provider_file import SesEntry
from app.settings import Settings
from infrastructure.channels.api_provider import answer_field, api_target, carried_ids
from infrastructure.channels.aws_signature import AwsSigner
from infrastructure.channels.email_api import (
    QUOTA_WAIT_S,
    RATE_WAIT_S,
    USER_AGENT,
    EmailApiProvider,
    credential,
    error_word,
)
from infrastructure.channels.email_message import build_email
from infrastructure.channels.http_answer import judge_api
from infrastructure.channels.http_client import HttpAnswer
from infrastructure.channels.timed_socket import Deadline

_PATH = "/v2/email/outbound-emails"

#: Types of errors (without `Exception`), those of SendEmail and those common to AWS, that are about the account or the
#: settings, and not about the message: another provider may be better off, and all is well once somebody has mended it.
_ABOUT_US = {
    "AccountSuspended",
    "SendingPaused",
    "MailFromDomainNotVerified",
    "LimitExceeded",
    "NotFound",
    "AccessDenied",
    "NotAuthorized",
    "OptInRequired",
    "ExpiredToken",
    "InvalidClientTokenId",
    "UnrecognizedClient",
    "MissingAuthenticationToken",
    "IncompleteSignature",
    "InvalidSignature",
    "SignatureDoesNotMatch",
    "RequestExpired",
}
#: How messages of MessageRejected and BadRequestException begin that are about the settings, too.
_ABOUT_US_TOO = ("Email address is not verified", "Configuration set")
_THROTTLED = {"TooManyRequests", "Throttling", "Throttled", "RequestThrottled"}
#: https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html
_DAILY_QUOTA = "Daily message quota exceeded"


class SesProvider(EmailApiProvider):
    """Port Provider. The receipt's id is SES's MessageId, which the mail then has in place of ours."""

    def __init__(
        self,
        entry: SesEntry,
        access_key_id: str,
        secret_access_key: str,
        session_token: str,
        settings: Settings,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Raises ConfigError for an endpoint that is no URL, and for credentials that cannot be any."""
        super().__init__(entry, settings, tls)
        root = api_target(entry.endpoint or f"https://email.{entry.region}.amazonaws.com", entry.name, "endpoint")
        self._target = structs.replace(root, path=_PATH)
        self._signer = AwsSigner(
            region=entry.region,
            service="ses",
            access_key_id=credential(access_key_id, "access_key_id", entry.name),
            secret_access_key=credential(secret_access_key, "secret_access_key", entry.name),
            session_token=credential(session_token, "session_token", entry.name) if session_token else "",
        )
        self._headers = {"Host": urlsplit(self._target.url).netloc, "Content-Type": "application/json"}
        self._more = {"ConfigurationSetName": entry.configuration_set} if entry.configuration_set else {}

    def hand_over(self, message: Message, deadline: Deadline) -> Receipt:
        """One POST of the mail that SMTP would carry. Raises DeliveryError."""
        body = encode(self._request(message))
        headers = self._signer.signed("POST", _PATH, self._headers, body, datetime.now(UTC))
        answer = self.client.post(self._target, body, headers | {"User-Agent": USER_AGENT}, deadline)
        refusal = judge_api(answer.status, answer.headers, longest_wait_s=self.longest_wait_s)
        if refusal is not None:
            raise _told(refusal, answer)
        return Receipt(provider_id=answer_field(answer.body, "MessageId"))

    def _request(self, message: Message) -> dict[str, Any]:
        mail = build_email(message, self.sender, self.sender_domain)
        return {
            "Content": {"Raw": {"Data": b64encode(mail).decode()}},
            "Destination": {"ToAddresses": [self.check_address(message.address)]},
            # Of both, letters, digits, - and _ are allowed.
            "EmailTags": [{"Name": name, "Value": value} for name, value in carried_ids(message).items()],
        } | self._more


def _told(refusal: DeliveryError, answer: HttpAnswer) -> DeliveryError:
    """What AWS's type of error says beside the status."""
    kind, text = _kind(answer), answer_field(answer.body, "message") or answer_field(answer.body, "Message")
    refusal.detail = f"HTTP {answer.status}, {kind}" if kind else refusal.detail
    if kind.removesuffix("Exception") in _THROTTLED and not isinstance(refusal, ThrottledError):
        wait_s = QUOTA_WAIT_S if text.startswith(_DAILY_QUOTA) else RATE_WAIT_S
        return ThrottledError(Reason.PROVIDER_THROTTLED, refusal.detail, retry_after_s=wait_s)
    if kind.removesuffix("Exception") in _ABOUT_US or text.startswith(_ABOUT_US_TOO):
        return TransientError(Reason.PROVIDER_TRANSIENT, f"{refusal.detail}: account or settings")
    return refusal


def _kind(answer: HttpAnswer) -> str:
    """The type of error: in the header or in the body, maybe with a namespace before and a URL after it.

    https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization
    """
    given = (
        answer.headers.get("x-amzn-errortype")
        or answer_field(answer.body, "__type")
        or answer_field(answer.body, "code")
    )
    return error_word(given.partition(":")[0].rpartition("#")[2].strip())
