"""Push by Apple's push service, with a provider token.

Protocol: https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

from __future__ import annotations

import ssl
import uuid
from collections.abc import Sequence
from typing import Any, Final

from msgspec import structs

from app.domain.codec import encode
from app.domain.device_rules import normal_token
from app.domain.errors import ConfigError, PermanentError
from app.domain.outcome import Reason
from app.domain.ports import Message, Receipt
from app.domain.provider_file import ApnsEntry
from app.settings import Settings
from infrastructure.channels.api_provider import ANSWER_BYTES, api_target, terms_of, timeout_of
from infrastructure.channels.apns_answer import is_stale_token, refusal_of
from infrastructure.channels.apns_token import ProviderTokens
from infrastructure.channels.http2_client import Http2Client
from infrastructure.channels.http_client import HttpAnswer
from infrastructure.channels.one_by_one import OneByOneProvider
from infrastructure.channels.push_text import data_of, shown
from infrastructure.channels.resolver import Resolver
from infrastructure.channels.ssrf import Target
from infrastructure.channels.timed_socket import Deadline, IpAddress

_HOSTS: Final = {"production": "https://api.push.apple.com", "sandbox": "https://api.sandbox.push.apple.com"}
_COLLAPSE_ID_LENGTH: Final = 64
#: What our apns-ids are derived in.
_IDS: Final = uuid.UUID("5c2cf5ac-7b51-4e9c-9a0e-7d7a4b6f1f0b")


class ApnsProvider(OneByOneProvider):
    """Port Provider. An address is a device token in hexadecimal digits; the receipt's id is the apns-id."""

    def __init__(self, entry: ApnsEntry, key: str, settings: Settings, tls: ssl.SSLContext | None = None) -> None:
        """`tls` replaces the system's certificate authorities. Raises ConfigError."""
        self.name = entry.name
        self.timeout_s = timeout_of(entry, settings)
        self.terms = structs.replace(terms_of(entry, settings), platforms=("apns",))
        self._longest_wait_s = settings.retry_cap_s
        self._topic = entry.topic
        self._resolver = Resolver(settings.resolver_threads)
        target = api_target(entry.url or _HOSTS[entry.environment], entry.name)
        if target.scheme != "https":
            raise ConfigError(f"provider {entry.name}: url must be https, for HTTP/2")
        try:
            self._tokens = ProviderTokens(key, key_id=entry.key_id, team_id=entry.team_id)
        except ConfigError as error:
            raise ConfigError(f"provider {entry.name}: {error}") from error
        self._client = Http2Client(
            target, self._addresses, tls or ssl.create_default_context(), body_bytes=ANSWER_BYTES
        )

    def hand_over(self, message: Message, deadline: Deadline) -> Receipt:
        """One POST; a second one where the provider token had come to its end. Raises DeliveryError."""
        message = structs.replace(message, address=self.check_address(message.address))
        body = encode(_payload(message))
        token = self._tokens.value()
        answer = self._post(message, body, token, deadline)
        if is_stale_token(answer) and self._tokens.refuse(token):
            answer = self._post(message, body, self._tokens.value(), deadline)
        refusal = refusal_of(answer, longest_wait_s=self._longest_wait_s)
        if refusal is not None:
            raise refusal
        return Receipt(provider_id=_apns_id(message))

    def check_address(self, address: str) -> str:
        """The token in small letters. Raises PermanentError (invalid_address). Asks nobody."""
        try:
            return normal_token("apns", address)
        except ValueError as error:
            raise PermanentError(Reason.INVALID_ADDRESS, "no APNs token") from error

    def breaker_key(self, address: str) -> str:
        """The provider's name."""
        return self.name

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _post(self, message: Message, body: bytes, token: str, deadline: Deadline) -> HttpAnswer:
        headers = {
            "authorization": f"bearer {token}",
            "apns-id": _apns_id(message),
            "apns-collapse-id": message.delivery_id[:_COLLAPSE_ID_LENGTH],
            "apns-priority": "10" if message.is_high else "5",
            "apns-push-type": "alert",
            "apns-topic": self._topic,
        }
        if message.expires_at_ms:
            headers["apns-expiration"] = str(message.expires_at_ms // 1000)
        return self._client.post(f"/3/device/{message.address}", headers, body, deadline)

    def _addresses(self, target: Target, deadline: Deadline) -> Sequence[IpAddress]:
        return self._resolver.resolve(target.host, deadline)


def _payload(message: Message) -> dict[str, Any]:
    """At most 4,096 bytes, for the texts are cut. Raises PermanentError (invalid_content)."""
    return {"aps": {"alert": shown(message)._asdict()}, **data_of(message)}


def _apns_id(message: Message) -> str:
    """The same each time the delivery is sent to this device, and another for each device."""
    return str(uuid.uuid5(_IDS, f"{message.delivery_id}/{message.address}"))
