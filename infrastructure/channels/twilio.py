"""SMS by Twilio's Messages resource (https://www.twilio.com/docs/messaging/api/message-resource)."""

from __future__ import annotations

import ssl
from base64 import b64encode
from typing import Final
from urllib.parse import urlencode

from msgspec import structs

from app.domain.errors import DeliveryError, PermanentError, ThrottledError
from app.domain.outcome import Reason
from app.domain.ports import Message, Receipt
from app.domain.provider_file import TwilioEntry
from app.domain.report import PATH
from app.settings import Settings
from infrastructure.channels.api_provider import SmsApiProvider, answer_field, api_target, carried_ids
from infrastructure.channels.http_answer import judge_api
from infrastructure.channels.sms_text import sms_text
from infrastructure.channels.timed_socket import Deadline

#: Error codes (https://www.twilio.com/docs/api/errors) that say that the number is no good, and not the request.
_BAD_NUMBER = {"21211", "21214", "21217", "21407", "21614"}
_STOPPED = "21610"
_QUEUE_FULL = "21611"
_QUEUE_WAIT_S = 5.0
#: What has Twilio call again, within 15 s, where nobody answers or the history is not that far yet.
#: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
CALLED_AGAIN: Final = "#rc=5&rp=5xx,ct,rt"


class TwilioProvider(SmsApiProvider):
    """Port Provider. The receipt's id is the message's SID."""

    def __init__(
        self, entry: TwilioEntry, auth_token: str, settings: Settings, tls: ssl.SSLContext | None = None
    ) -> None:
        """Raises ConfigError for a URL that is none."""
        super().__init__(entry, settings, tls)
        root = api_target(entry.url, entry.name)
        self._target = structs.replace(root, path=f"/2010-04-01/Accounts/{entry.account_sid}/Messages.json")
        self._from = "MessagingServiceSid" if entry.sender.startswith("MG") else "From"
        self._sender = entry.sender
        # Twilio calls nothing but https, and nobody else should be told what became of a message.
        root_url = settings.public_url.rstrip("/")
        self._callback = f"{root_url}{PATH}{entry.name}" if root_url.startswith("https://") else ""
        basic = b64encode(f"{entry.account_sid}:{auth_token}".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {basic}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }

    def hand_over(self, message: Message, deadline: Deadline) -> Receipt:
        """One POST. Raises DeliveryError."""
        fields = {"To": self.check_address(message.address), "Body": sms_text(message), self._from: self._sender}
        if self._callback:
            fields["StatusCallback"] = f"{self._callback}?{urlencode(carried_ids(message))}{CALLED_AGAIN}"
        answer = self.client.post(self._target, urlencode(fields).encode(), dict(self._headers), deadline)
        refusal = judge_api(answer.status, answer.headers, longest_wait_s=self.longest_wait_s)
        if refusal is not None:
            raise _told(refusal, answer_field(answer.body, "code"))
        return Receipt(provider_id=answer_field(answer.body, "sid"))


def _told(refusal: DeliveryError, code: str) -> DeliveryError:
    """What Twilio's own code says beside the status."""
    detail = f"{refusal.detail}, code {code}" if code else refusal.detail
    if code in _BAD_NUMBER:
        return PermanentError(Reason.INVALID_ADDRESS, detail)
    if code == _STOPPED:
        return PermanentError(Reason.PROVIDER_REJECTED, f"{detail}: the recipient has sent STOP")
    if code == _QUEUE_FULL:
        return ThrottledError(Reason.PROVIDER_THROTTLED, detail, retry_after_s=_QUEUE_WAIT_S)
    refusal.detail = detail
    return refusal
