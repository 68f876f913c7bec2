"""Channel webhook: a signed POST (Standard Webhooks) to an address checked by the SSRF guard."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import time
from datetime import UTC, datetime

from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from app.domain.codec import encode
from app.domain.errors import DeliveryError, InDoubtError, ProviderTimeoutError, TransientError
from app.domain.outcome import Reason
from app.domain.ports import Message, Receipt
from app.domain.trace import HEADER
from app.settings import Settings
from infrastructure.channels.header_value import header_value
from infrastructure.channels.http_connection import KeptConnections, PinnedConnection, open_connection
from infrastructure.channels.one_by_one import OneByOneProvider
from infrastructure.channels.resolver import Resolver
from infrastructure.channels.ssrf import AddressGuard, Target
from infrastructure.channels.timed_socket import Deadline, timed_out
from infrastructure.channels.webhook_answer import judge
from infrastructure.channels.webhook_signature import WebhookSigner, signing_secret

_LOST = (OSError, http.client.HTTPException, HTTPError)


class _LostError(Exception):
    """The connection ended before the answer; `outcome` is what that means where there is no second try."""

    def __init__(self, outcome: DeliveryError) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


class _StaleError(Exception):
    """A kept connection proved dead."""


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
        self._kept = KeptConnections(settings.webhook_kept, settings.webhook_age_s)
        self._tls = tls or ssl.create_default_context()

    def hand_over(self, message: Message, deadline: Deadline) -> Receipt:
        """One POST; a second one where a kept connection was dead, which is harmless to who minds the webhook-id."""
        target = self._target(message.address)
        body = _body(message)
        headers = self._signer.headers(header_value(message.delivery_id, "webhook-id"), int(time.time()), body)
        headers |= {"Content-Type": "application/json", "User-Agent": "Notify-Webhook/1"}
        if message.traceparent:
            headers[HEADER] = message.traceparent
        if kept := self._kept.take(target):
            with contextlib.suppress(_StaleError):
                return self._post(kept, target, body, headers, deadline, is_kept=True)
        return self._post(self._connect(target, deadline), target, body, headers, deadline, is_kept=False)

    def check_address(self, address: str) -> str:
        """The URL in normal form. Raises PermanentError (invalid_address, forbidden_address). Resolves no name."""
        return self._target(address).url

    def breaker_key(self, address: str) -> str:
        """host:port of the target."""
        return Target.parse(address).authority

    def close(self) -> None:
        """Close the kept connections."""
        self._kept.close()

    def _target(self, address: str) -> Target:
        target = Target.parse(address)
        self._guard.check_literal(target.host)
        return target

    def _connect(self, target: Target, deadline: Deadline) -> PinnedConnection:
        """The name is resolved once, and what was checked is what is connected to."""
        addresses = self._guard.check(self._resolver.resolve(target.host, deadline))
        try:
            return open_connection(target, addresses, deadline, self._tls)
        except TimeoutError as error:
            raise timed_out("connecting") from error
        except ssl.SSLError as error:
            raise TransientError(Reason.PROVIDER_TRANSIENT, "TLS failed") from error
        except _LOST as error:
            raise TransientError(Reason.PROVIDER_TRANSIENT, "no connection") from error

    def _post(
        self,
        connection: PinnedConnection,
        target: Target,
        body: bytes,
        headers: dict[str, str],
        deadline: Deadline,
        *,
        is_kept: bool,
    ) -> Receipt:
        connection.deadline = deadline
        try:
            response = _exchange(connection, target.path, body, headers)
        except _LostError as error:
            connection.close()
            if is_kept:
                raise _StaleError from error
            raise error.outcome from error
        except DeliveryError:
            connection.close()
            raise
        if self._drain(connection, response):
            self._kept.give(connection)
        else:
            connection.close()
        refusal = judge(response.status, response.headers, longest_wait_s=self._settings.retry_cap_s)
        if refusal is not None:
            raise refusal
        return Receipt()

    def _drain(self, connection: PinnedConnection, response: BaseHTTPResponse) -> bool:
        """Read the body, which nobody needs, if it is short and comes at once; whether the connection can be kept."""
        limit = self._settings.webhook_response_bytes
        try:
            connection.deadline = connection.deadline.within(self._settings.webhook_drain_s)
            is_read = len(response.read(limit, decode_content=False)) < limit
        except (ProviderTimeoutError, *_LOST):
            return False
        return is_read and connection.sock is not None  # http.client has dropped it after `Connection: close`


def _exchange(connection: PinnedConnection, path: str, body: bytes, headers: dict[str, str]) -> BaseHTTPResponse:
    """Send, and wait for the head of the answer. Raises _LostError, ProviderTimeoutError, InDoubtError."""
    is_sent = True
    try:
        connection.request("POST", path, body, headers, preload_content=False, decode_content=False)
    except ConnectionError:
        is_sent = False  # but it may have answered before it hung up
    except _LOST as error:
        raise _LostError(TransientError(Reason.PROVIDER_TRANSIENT, "connection lost while sending")) from error
    try:
        return connection.getresponse()
    except ProviderTimeoutError as error:
        raise InDoubtError(Reason.IN_DOUBT, "no answer in time") from error
    except _LOST as error:
        outcome = (
            InDoubtError(Reason.IN_DOUBT, "no answer")
            if is_sent
            else TransientError(Reason.PROVIDER_TRANSIENT, "connection lost while sending")
        )
        raise _LostError(outcome) from error


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
