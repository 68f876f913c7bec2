"""Channel chat: Slack, Discord, Teams, Telegram and the long tail, by apprise, one URL a call."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.domain.errors import PermanentError
from app.domain.outcome import Reason
from app.domain.ports import Message, Receipt
from app.settings import Settings
from infrastructure.channels.http_client import HttpClient
from infrastructure.channels.http_connection import KeptConnections
from infrastructure.channels.one_by_one import OneByOneProvider
from infrastructure.channels.resolver import Resolver
from infrastructure.channels.ssrf import AddressGuard, Target
from infrastructure.channels.timed_socket import Deadline, IpAddress
from infrastructure.sealing import Sealing

if TYPE_CHECKING:
    from infrastructure.channels.chat_library import ChatLibrary, NotifyBase

#: Most that is read of a service's answer.
_ANSWER_BYTES = 64 * 1024


class ChatProvider(OneByOneProvider):
    """Port Provider. Threads may share it. An address is a chat URL, sealed or not; it is opened here alone."""

    name = "apprise"

    def __init__(self, settings: Settings, secret: bytes, tls: ssl.SSLContext | None = None) -> None:
        """`tls` replaces the system's certificate authorities. Raises ConfigError."""
        self.timeout_s = settings.provider_timeout_s
        self._longest_wait_s = settings.retry_cap_s
        self._allowed = frozenset(settings.chat_schemas.split(","))
        self._sealing = Sealing(secret)
        self._guard = AddressGuard(settings.webhook_allow)
        self._resolver = Resolver(settings.resolver_threads)
        self._client = HttpClient(
            KeptConnections(settings.webhook_kept, settings.webhook_age_s),
            self._addresses,
            tls or ssl.create_default_context(),
            body_bytes=_ANSWER_BYTES,
            body_s=settings.webhook_drain_s,
            repeats=False,
        )

    def hand_over(self, message: Message, deadline: Deadline) -> Receipt:
        """One message to one URL. Raises DeliveryError."""
        title, text = message.subject.strip(), message.text.strip()
        if not title and not text:
            raise PermanentError(Reason.INVALID_CONTENT, "nothing to show")
        # Only here, as the library: most processes can do without what it needs.
        from infrastructure.channels.chat_exchange import Exchange

        exchange = Exchange(self._client, deadline, self._longest_wait_s)
        if self._library.say(self._service(message.address), title, text, exchange):
            return Receipt()
        raise exchange.refusal()

    def check_address(self, address: str) -> str:
        """The address as it is. Raises PermanentError (invalid_address, forbidden_address). Resolves no name."""
        self._service(address)
        return address

    def breaker_key(self, address: str) -> str:
        """The service; with its host where it is somebody's own, never with a token."""
        return self._library.place(self._service(address))

    def close(self) -> None:
        """Close the kept connections."""
        self._client.close()

    @functools.cached_property
    def _library(self) -> ChatLibrary:
        # Only where it is used: it takes time and memory that others can do without.
        from infrastructure.channels.chat_library import ChatLibrary

        return ChatLibrary()

    def _service(self, address: str) -> NotifyBase:
        return self._library.service(self._sealing.open(address), self._allowed)

    def _addresses(self, target: Target, deadline: Deadline) -> Sequence[IpAddress]:
        return self._guard.check(self._resolver.resolve(target.host, deadline))
