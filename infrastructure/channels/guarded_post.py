"""POSTs to URLs of others: past the guard against server-side request forgery, to receivers that know a repetition."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from app.settings import Settings
from infrastructure.channels.http_client import HttpAnswer, HttpClient
from infrastructure.channels.http_connection import KeptConnections
from infrastructure.channels.resolver import Resolver
from infrastructure.channels.ssrf import AddressGuard, Target
from infrastructure.channels.timed_socket import Deadline, IpAddress


class GuardedPost:
    """Threads may share it. The name is resolved once, and what was checked is what is connected to."""

    def __init__(self, settings: Settings, tls: ssl.SSLContext | None = None) -> None:
        """`tls` replaces the system's certificate authorities. Raises ConfigError."""
        self.guard = AddressGuard(settings.webhook_allow)
        self._resolver = Resolver(settings.resolver_threads)
        self._client = HttpClient(
            KeptConnections(settings.webhook_kept, settings.webhook_age_s),
            self._addresses,
            tls or ssl.create_default_context(),
            body_bytes=settings.webhook_response_bytes,
            body_s=settings.webhook_drain_s,
            repeats=True,
        )

    def target(self, url: str) -> Target:
        """Where the URL leads. Raises PermanentError (invalid_address, forbidden_address). Resolves no name."""
        target = Target.parse(url)
        self.guard.check_literal(target.host)
        return target

    def send(self, target: Target, body: bytes, headers: dict[str, str], deadline: Deadline) -> HttpAnswer:
        """See `HttpClient.post`; PermanentError (forbidden_address) where the name leads to no permitted address."""
        return self._client.post(target, body, headers, deadline)

    def close(self) -> None:
        """Close the kept connections."""
        self._client.close()

    def _addresses(self, target: Target, deadline: Deadline) -> Sequence[IpAddress]:
        return self.guard.check(self._resolver.resolve(target.host, deadline))
