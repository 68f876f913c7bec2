"""Channel webhook: a signed POST (Standard Webhooks) to an address checked by the SSRF guard."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime

from app.domain.codec import encode
from app.domain.ports import Message, Receipt
from app.domain.trace import HEADER
from app.settings import Settings
from infrastructure.channels.guarded_post import GuardedPost
from infrastructure.channels.header_value import header_value
from infrastructure.channels.http_answer import judge
from infrastructure.channels.one_by_one import OneByOneProvider
from infrastructure.channels.ssrf import Target
from infrastructure.channels.timed_socket import Deadline
from infrastructure.channels.webhook_signature import WebhookSigner, signing_secret


class WebhookProvider(OneByOneProvider):
    """Port Provider. Threads may share it. Receivers know a repetition by `webhook-id`, the delivery id."""

    name = "webhook"

    def __init__(self, settings: Settings, secret: bytes, tls: ssl.SSLContext | None = None) -> None:
        """`tls` replaces the system's certificate authorities. Raises ConfigError."""
        self.timeout_s = settings.provider_timeout_s
        self._settings = settings
        self._signer = WebhookSigner(signing_secret(settings, secret))
        self._post = GuardedPost(settings, tls)

    def hand_over(self, message: Message, deadline: Deadline) -> Receipt:
        """One POST; a second one where a kept connection was dead, which is harmless to who minds the webhook-id."""
        target = self._post.target(message.address)
        body = _body(message)
        headers = self._signer.headers(header_value(message.delivery_id, "webhook-id"), int(time.time()), body)
        headers |= {"Content-Type": "application/json", "User-Agent": "Notify-Webhook/1"}
        if message.traceparent:
            headers[HEADER] = message.traceparent
        answer = self._post.send(target, body, headers, deadline)
        refusal = judge(answer.status, answer.headers, longest_wait_s=self._settings.retry_cap_s)
        if refusal is not None:
            raise refusal
        return Receipt()

    def check_address(self, address: str) -> str:
        """The URL in normal form. Raises PermanentError (invalid_address, forbidden_address). Resolves no name."""
        return self._post.target(address).url

    def breaker_key(self, address: str) -> str:
        """host:port of the target."""
        return Target.parse(address).authority

    def close(self) -> None:
        """Close the kept connections."""
        self._post.close()


def _body(message: Message) -> bytes:
    at = datetime.fromtimestamp(message.created_at_ms / 1000, UTC)
    data = {
        "notification_id": message.notification_id,
        "delivery_id": message.delivery_id,
        "user_id": message.user_id,
        "category": message.category,
        "subject": message.subject,
        "text": message.text,
        "metadata": message.metadata,
    }
    return encode({"type": message.event_type, "timestamp": at, "data": data})
