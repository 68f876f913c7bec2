"""POSTs to one HTTP/2 server over one kept connection, which is replaced when it ends, grows old or stays silent."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Mapping
from typing import Final

from app.domain.errors import TransientError
from app.domain.outcome import Reason
from infrastructure.channels.http2_connection import Http2Connection, open_http2
from infrastructure.channels.http2_session import UnusedError
from infrastructure.channels.http_client import Addresses, HttpAnswer
from infrastructure.channels.ssrf import Target
from infrastructure.channels.timed_socket import Deadline, timed_out

#: Long, for servers of push services take frequent new connections for an attack; not for ever, to follow DNS.
_AGE_S: Final = 3600.0


class Http2Client:
    """Threads may share it, and the connection: as many requests run over it at a time as the server allows."""

    def __init__(self, target: Target, addresses: Addresses, tls: ssl.SSLContext, *, body_bytes: int) -> None:
        """`target` is https; `tls` is nobody else's, for it is made to offer HTTP/2 alone.

        Of an answer's body no more than `body_bytes` is kept.
        """
        tls.set_alpn_protocols(["h2"])
        self._target = target
        self._addresses = addresses
        self._tls = tls
        self._body_bytes = body_bytes
        self._current: Http2Connection | None = None
        self._opening = threading.Lock()

    def post(self, path: str, headers: Mapping[str, str], body: bytes, deadline: Deadline) -> HttpAnswer:
        """One POST; a second one where the server has not looked at it.

        Raises TransientError and ProviderTimeoutError where nothing was handed over, InDoubtError where it was and no
        answer came.
        """
        with contextlib.suppress(UnusedError):
            return self._connection(deadline).post(path, headers, body, deadline)
        try:
            return self._connection(deadline).post(path, headers, body, deadline)
        except UnusedError as error:
            raise TransientError(Reason.PROVIDER_TRANSIENT, "refused by the connection") from error

    def close(self) -> None:
        """Close the connection, once the requests under way have ended."""
        current, self._current = self._current, None
        if current is not None:
            current.retire()

    def _connection(self, deadline: Deadline) -> Http2Connection:
        """The one there is, if it may be used, else a new one, which one thread opens for all."""
        current = self._current
        if current is not None and current.is_usable(_AGE_S, deadline):
            return current
        if not self._opening.acquire(timeout=deadline.remaining_s()):
            raise timed_out("waiting for a connection")
        try:
            if self._current is None or self._current is current:
                addresses = self._addresses(self._target, deadline)
                self._current = open_http2(self._target, addresses, self._tls, deadline, body_bytes=self._body_bytes)
            return self._current
        finally:
            self._opening.release()
