"""What the providers that are an HTTP API share: the connection, the terms, and for SMS the number."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

import msgspec

from app.domain.channel import CHANNEL_BY_NAME
from app.domain.errors import ConfigError, PermanentError
from app.domain.ports import Message, ProviderTerms
from app.domain.provider_file import Entry
from app.settings import Settings
from infrastructure.channels.http_client import HttpClient
from infrastructure.channels.http_connection import KeptConnections
from infrastructure.channels.one_by_one import OneByOneProvider
from infrastructure.channels.phone_number import checked_number
from infrastructure.channels.resolver import Resolver
from infrastructure.channels.ssrf import Target
from infrastructure.channels.timed_socket import Deadline, IpAddress

#: Most that is read of an API's answer.
ANSWER_BYTES = 64 * 1024
_ID_LENGTH = 200


def carried_ids(message: Message) -> dict[str, str]:
    """What the provider's reports about the message will have: its delivery is found by it, and whom to tell."""
    ids = {"delivery_id": message.delivery_id, "notification_id": message.notification_id}
    return {**ids, "key_id": message.key_id} if message.key_id else ids


def timeout_of(entry: Entry, settings: Settings) -> float:
    """Seconds of the longest call."""
    return entry.timeout_s or settings.provider_timeout_s


def terms_of(entry: Entry, settings: Settings) -> ProviderTerms:
    """How the provider is used, as the file says."""
    slow_s = entry.slow_s or timeout_of(entry, settings) / 2
    return ProviderTerms(
        weight=entry.weight, slow_s=slow_s, timeout_high_s=entry.timeout_high_s or 0.0, rate=entry.limit
    )


class ApiProvider(OneByOneProvider):
    """Part of port Provider for an HTTP API. Threads may share it.

    What may have been taken is not posted again here, whether or not the API knows a repetition.
    """

    def __init__(self, entry: Entry, settings: Settings, tls: ssl.SSLContext | None = None) -> None:
        self.name = entry.name
        self.timeout_s = timeout_of(entry, settings)
        self.terms = terms_of(entry, settings)
        self.longest_wait_s = settings.retry_cap_s
        self._resolver = Resolver(settings.resolver_threads)
        # As many as there are calls at a time, or each burst would open new ones.
        kept = max(settings.webhook_kept, CHANNEL_BY_NAME[entry.channel].concurrency)
        self.client = HttpClient(
            KeptConnections(kept, settings.webhook_age_s),
            self._addresses,
            tls or ssl.create_default_context(),
            body_bytes=ANSWER_BYTES,
            body_s=settings.webhook_drain_s,
            repeats=False,
        )

    def breaker_key(self, address: str) -> str:
        """The provider's name."""
        return self.name

    def close(self) -> None:
        """Close the kept connections."""
        self.client.close()

    def _addresses(self, target: Target, deadline: Deadline) -> Sequence[IpAddress]:
        return self._resolver.resolve(target.host, deadline)


class SmsApiProvider(ApiProvider):
    """Half of port Provider for an SMS API."""

    def __init__(self, entry: Entry, settings: Settings, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(entry, settings, tls)
        self._region = settings.sms_region

    def check_address(self, address: str) -> str:
        """The number in E.164. Raises PermanentError (invalid_address). Asks nobody."""
        return checked_number(address, self._region)


def api_target(url: str, name: str, key: str = "url") -> Target:
    """The operator's URL, which the file has by this key. Raises ConfigError, which does not quote it."""
    try:
        return Target.parse(url)
    except PermanentError as error:
        raise ConfigError(f"provider {name}: {key} is not an http(s) URL without a user in it") from error


def answer_field(body: bytes, path: str) -> str:
    """A text or number of a JSON answer by its dotted path; empty where it is not there."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    for key in path.split("."):
        if not isinstance(found, dict) or key not in found:
            return ""
        found = found[key]
    return str(found)[:_ID_LENGTH] if isinstance(found, (str, int)) and not isinstance(found, bool) else ""
