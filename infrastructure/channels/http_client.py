"""One request over a kept connection, bound by a deadline; what was handed over and what was not is told apart."""

from __future__ import annotations

import contextlib
import http.client
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from app.domain.errors import DeliveryError, InDoubtError, ProviderTimeoutError, TransientError
from app.domain.outcome import Reason
from infrastructure.channels.http_connection import KeptConnections, PinnedConnection, open_connection
from infrastructure.channels.ssrf import Target
from infrastructure.channels.timed_socket import Deadline, IpAddress, timed_out

_LOST = (OSError, http.client.HTTPException, HTTPError)

Addresses = Callable[[Target, Deadline], Sequence[IpAddress]]


class Request(NamedTuple):
    """What is sent to a target."""

    method: str
    body: bytes | None
    headers: dict[str, str]


class HttpAnswer(Struct, frozen=True, kw_only=True):
    """What came back; of the body as much as was wanted and came in time. Names of headers in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _LostError(Exception):
    """The connection ended before the answer; `outcome` is what that means where there is no second try."""

    def __init__(self, outcome: DeliveryError) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


class _StaleError(Exception):
    """A kept connection proved dead."""


class HttpClient:
    """Threads may share it. `addresses` says where a target is, and may refuse it."""

    def __init__(
        self,
        kept: KeptConnections,
        addresses: Addresses,
        tls: ssl.SSLContext,
        *,
        body_bytes: int,
        body_s: float,
        repeats: bool,
    ) -> None:
        """`repeats`: receivers know a repetition, so that what a dead connection may have taken is sent again."""
        self._repeats = repeats
        self._kept = kept
        self._addresses = addresses
        self._tls = tls
        self._body_bytes = body_bytes
        self._body_s = body_s

    def post(self, target: Target, body: bytes, headers: dict[str, str], deadline: Deadline) -> HttpAnswer:
        """One POST; see `request`."""
        return self.request(Request("POST", body, headers), target, deadline)

    def request(self, request: Request, target: Target, deadline: Deadline) -> HttpAnswer:
        """One request; a second one where a kept connection was dead.

        Raises TransientError and ProviderTimeoutError where nothing was handed over, InDoubtError where it was and
        no answer came, and what `addresses` raises.
        """
        if kept := self._kept.take(target):
            with contextlib.suppress(_StaleError):
                return self._send(kept, target, request, deadline, is_kept=True)
        return self._send(self._connect(target, deadline), target, request, deadline, is_kept=False)

    def close(self) -> None:
        """Close the kept connections."""
        self._kept.close()

    def _connect(self, target: Target, deadline: Deadline) -> PinnedConnection:
        """The name is resolved once, and what was checked is what is connected to."""
        addresses = self._addresses(target, deadline)
        try:
            return open_connection(target, addresses, deadline, self._tls)
        except TimeoutError as error:
            raise timed_out("connecting") from error
        except ssl.SSLError as error:
            raise TransientError(Reason.PROVIDER_TRANSIENT, "TLS failed") from error
        except _LOST as error:
            raise TransientError(Reason.PROVIDER_TRANSIENT, "no connection") from error

    def _send(
        self, connection: PinnedConnection, target: Target, request: Request, deadline: Deadline, *, is_kept: bool
    ) -> HttpAnswer:
        connection.deadline = deadline
        try:
            response = _exchange(connection, target.path, request)
        except _LostError as error:
            connection.close()
            if is_kept and (self._repeats or isinstance(error.outcome, TransientError)):
                raise _StaleError from error
            raise error.outcome from error
        except DeliveryError:
            connection.close()
            raise
        return HttpAnswer(status=response.status, headers=response.headers, body=self._read(connection, response))

    def _read(self, connection: PinnedConnection, response: BaseHTTPResponse) -> bytes:
        """The body, if it is short and comes at once: then the connection can be kept, too."""
        found = b""
        try:
            connection.deadline = connection.deadline.within(self._body_s)
            found = response.read(self._body_bytes, decode_content=False)
        except (ProviderTimeoutError, *_LOST):
            connection.close()
            return found
        is_open = connection.sock is not None  # http.client has dropped it after `Connection: close`
        if len(found) < self._body_bytes and is_open:
            self._kept.give(connection)
        else:
            connection.close()
        return found


def _exchange(connection: PinnedConnection, path: str, request: Request) -> BaseHTTPResponse:
    """Send, and wait for the head of the answer. Raises _LostError, ProviderTimeoutError, InDoubtError."""
    is_sent = True
    try:
        connection.request(
            request.method, path, request.body, request.headers, preload_content=False, decode_content=False
        )
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
