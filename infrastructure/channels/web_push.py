"""Push to browsers: Web Push (RFC 8030), encrypted (RFC 8291), with VAPID (RFC 8292).

Each subscription names its own push service. The URL comes from a browser, so it is reached as webhooks are: past the
SSRF guard, with a breaker for each host.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from msgspec import structs

from app.domain.codec import encode
from app.domain.errors import ConfigError, PermanentError
from app.domain.outcome import Reason
from app.domain.ports import Message, Receipt
from app.domain.provider_file import WebPushEntry
from app.domain.web_subscription import WebSubscription, read_subscription
from app.settings import Settings
from infrastructure.channels.api_provider import ApiProvider
from infrastructure.channels.push_text import LONGEST_S, data_of, left_s, shown, topic_of
from infrastructure.channels.ssrf import AddressGuard, Target
from infrastructure.channels.timed_socket import Deadline, IpAddress
from infrastructure.channels.vapid import Vapid
from infrastructure.channels.web_push_answer import refusal_of
from infrastructure.channels.web_push_encryption import encrypted, public_key

_HTTPS_PORT = 443


class WebPushProvider(ApiProvider):
    """Port Provider. An address is a push subscription (JSON); the receipt has no id that could be told."""

    def __init__(
        self, entry: WebPushEntry, private_key: str, settings: Settings, tls: ssl.SSLContext | None = None
    ) -> None:
        """`tls` replaces the system's certificate authorities. Raises ConfigError."""
        super().__init__(entry, settings, tls)
        self.terms = structs.replace(self.terms, platforms=("webpush",), breaker_per_target=True)
        self._guard = AddressGuard(settings.webhook_allow)
        try:
            self._vapid = Vapid(private_key, entry.subject)
        except ConfigError as error:
            raise ConfigError(f"provider {entry.name}: {error}") from error

    def hand_over(self, message: Message, deadline: Deadline) -> Receipt:
        """One POST. Raises DeliveryError."""
        subscription, target = self._checked(message.address)
        notification = shown(message)._asdict() | {"tag": message.delivery_id}
        content = encode({"notification": notification, "data": data_of(message)})
        body = encrypted(content, p256dh=subscription.p256dh, auth=subscription.auth)
        headers = {
            "Authorization": self._vapid.authorization(_origin(target)),
            "Content-Type": "application/octet-stream",
            "Content-Encoding": "aes128gcm",
            "TTL": str(left_s(message) if message.expires_at_ms else LONGEST_S),
            "Urgency": "high" if message.is_high else "normal",
            "Topic": topic_of(message),
        }
        answer = self.client.post(target, body, headers, deadline)
        refusal = refusal_of(answer, longest_wait_s=self.longest_wait_s)
        if refusal is not None:
            raise refusal
        return Receipt()

    def check_address(self, address: str) -> str:
        """The subscription in its one form. Raises PermanentError (invalid_address, forbidden_address). Asks nobody."""
        return self._checked(address)[0].text

    def breaker_key(self, address: str) -> str:
        """host:port of the push service; the provider's name where there is none."""
        try:
            return Target.parse(read_subscription(address).endpoint).authority
        except (ValueError, PermanentError):
            return self.name

    def _checked(self, address: str) -> tuple[WebSubscription, Target]:
        try:
            subscription = read_subscription(address)
            public_key(subscription.p256dh)
        except ValueError as error:
            raise PermanentError(Reason.INVALID_ADDRESS, "no push subscription") from error
        target = Target.parse(subscription.endpoint)
        self._guard.check_literal(target.host)
        return subscription, target

    def _addresses(self, target: Target, deadline: Deadline) -> Sequence[IpAddress]:
        return self._guard.check(self._resolver.resolve(target.host, deadline))


def _origin(target: Target) -> str:
    """As RFC 6454 writes it, and as a push service compares it: without the port that https has anyway."""
    return target.origin.removesuffix(f":{_HTTPS_PORT}")
