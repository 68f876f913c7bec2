"""GET of what Amazon SNS points to: certificates, and the page that confirms a subscription."""

from __future__ import annotations

import http.client
import ssl
from http import HTTPStatus
from typing import Final

from urllib3.exceptions import HTTPError

from app.domain.errors import DeliveryError, StoreUnavailableError
from app.settings import Settings
from infrastructure.channels.http_connection import open_connection
from infrastructure.channels.resolver import Resolver
from infrastructure.channels.ssrf import Target
from infrastructure.channels.timed_socket import Deadline

_MOST_BYTES: Final = 64 * 1024


class SnsFetch:
    """One connection a call: it is needed once a certificate. Threads may share it."""

    def __init__(self, settings: Settings, tls: ssl.SSLContext | None = None) -> None:
        """`tls` replaces the system's certificate authorities."""
        self._resolver = Resolver(settings.resolver_threads)
        self._timeout_s = settings.store_timeout_s
        self._tls = tls or ssl.create_default_context()

    def __call__(self, url: str) -> bytes:
        """The body. Follows no redirect. Raises StoreUnavailableError."""
        try:
            status, body = self._get(Target.parse(url), Deadline(self._timeout_s))
        except (DeliveryError, OSError, http.client.HTTPException, HTTPError) as error:
            raise StoreUnavailableError(f"SNS: no answer ({type(error).__name__})") from error
        if status != HTTPStatus.OK:
            raise StoreUnavailableError(f"SNS: HTTP {status}")
        return body

    def _get(self, target: Target, deadline: Deadline) -> tuple[int, bytes]:
        connection = open_connection(target, self._resolver.resolve(target.host, deadline), deadline, self._tls)
        connection.deadline = deadline
        try:
            connection.request("GET", target.path, preload_content=False, decode_content=False)
            response = connection.getresponse()
            return response.status, response.read(_MOST_BYTES, decode_content=False)
        finally:
            connection.close()
