"""Channel webhook: a signed POST (Standard Webhooks) to an address checked by the SSRF guard."""

from __future__ import annotations

import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from app.domain.codec import encode
from app.domain.ports import Message, Receipt
from app.domain.trace import HEADER
from app.settings import Settings
from infrastructure.channels.header_value import header_value
from infrastructure.channels.http_answer import judge
from infrastructure.channels.http_client import HttpClient
from infrastructure.channels.http_connection import KeptConnections
from infrastructure.channels.one_by_one import OneByOneProvider
from infrastructure.channels.resolver import Resolver
from infrastructure.channels.ssrf import AddressGuard, Target
from infrastructure.channels.timed_socket import Deadline, IpAddress
from infrastructure.channels.webhook_signature import WebhookSigner, signing_secret


class WebhookProvider(OneByOneProvider):
    """Port Provider. Threads may share it. Receivers know a repetition by `webhook-id`, the delivery id."""

    name = "webhook"

    def __init__(self, settings: Settings, secret: bytes, tls: ssl.SSLContext | None = None) -> None:
        """`tls` replaces the system's certificate authorities. Raises ConfigError."""
        self.timeout_s = settings.provider_timeout_s
        self._settings = settings
        self._guard = AddressGuard(settings.webhook_allow)
        self._signer = WebhookSigner(signing_secret(settings, secret))
        self._resolver = Resolver(settings.resolver_threads)
        self._client = HttpClient(
            KeptConnections(settings.webhook_kept, settings.webhook_age_s),
            self._addresses,
            tls or ssl.create_default_context(),
            body_bytes=settings.webhook_response_bytes,
            body_s=settings.webhook_drain_s,
            repeats=True,
        )

    def hand_over(self, message: Message, deadline: Deadline) -> Receipt:
        """One POST; a second one where a kept connection was dead, which is harmless to who minds the webhook-id."""
        target = self._target(message.address)
        body = _body(message)
        headers = self._signer.headers(header_value(message.delivery_id, "webhook-id"), int(time.time()), body)
        headers |= {"Content-Type": "application/json", "User-Agent": "Notify-Webhook/1"}
        if message.traceparent:
            headers[HEADER] = message.traceparent
        answer = self._client.post(target, body, headers, deadline)
        refusal = judge(answer.status, answer.headers, longest_wait_s=self._settings.retry_cap_s)
        if refusal is not None:
            raise refusal
        return Receipt()

    def check_address(self, address: str) -> str:
        """The URL in normal form. Raises PermanentError (invalid_address, forbidden_address). Resolves no name."""
        return self._target(address).url

    def breaker_key(self, address: str) -> str:
        """host:port of the target."""
        return Target.parse(address).authority

    def close(self) -> None:
        """Close the kept connections."""
        self._client.close()

    def _target(self, address: str) -> Target:
        target = Target.parse(address)
        self._guard.check_literal(target.host)
        return target

    def _addresses(self, target: Target, deadline: Deadline) -> Sequence[IpAddress]:
        return self._guard.check(self._resolver.resolve(target.host, deadline))


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
