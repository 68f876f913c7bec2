"""HTTP connections to addresses that are already settled, bound by a deadline, and kept for the next call."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from socket import socket
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection

from infrastructure.channels.ssrf import Target
from infrastructure.channels.timed_socket import Deadline, IpAddress, connect, send_all, timed_reader


class PinnedConnection(HTTPConnection):
    """Connects to the given addresses and to nothing else; names serve for the Host header and the certificate."""

    addresses: Sequence[IpAddress]
    deadline: Deadline
    origin: str
    opened_at_s: float

    def _new_conn(self) -> socket:
        return connect(self.addresses, self.port or self.default_port, self.deadline)

    def send(self, data: Any) -> None:
        """Write within the deadline. Raises ProviderTimeoutError, OSError."""
        if self.sock is None:
            self.connect()
        send_all(self.sock, data, self.deadline)

    def response_class(self, sock: socket, method: str | None = None) -> http.client.HTTPResponse:  # type: ignore[override]  # http.client only calls it
        """The response, read within the deadline from its first byte."""
        response = http.client.HTTPResponse(sock, method=method)
        response.fp.close()
        response.fp = timed_reader(sock, self)  # type: ignore[assignment]  # all that is asked of it is to read
        return response


class PinnedTlsConnection(PinnedConnection, HTTPSConnection):
    """The same over TLS."""


def open_connection(
    target: Target, addresses: Sequence[IpAddress], deadline: Deadline, tls: ssl.SSLContext
) -> PinnedConnection:
    """A connection that stands. Raises ProviderTimeoutError, OSError (TLS errors among them)."""
    connection = (
        PinnedTlsConnection(target.host, target.port, ssl_context=tls)
        if target.scheme == "https"
        else PinnedConnection(target.host, target.port)
    )
    connection.addresses, connection.deadline = addresses, deadline
    connection.origin, connection.opened_at_s = target.origin, time.monotonic()
    try:
        connection.connect()
    except BaseException:
        connection.close()
        raise
    return connection


class KeptConnections:
    """Idle connections, the newest used first. Threads may share it."""

    def __init__(self, limit: int, age_s: float) -> None:
        """`age_s` is how long a connection may be used since it was opened."""
        self._idle: deque[PinnedConnection] = deque()
        self._limit = limit
        self._age_s = age_s
        self._lock = threading.Lock()

    def take(self, target: Target) -> PinnedConnection | None:
        """An idle connection to the target that still stands, or None."""
        while connection := self._newest(target.origin):
            if time.monotonic() - connection.opened_at_s < self._age_s and connection.is_connected:
                return connection
            connection.close()
        return None

    def give(self, connection: PinnedConnection) -> None:
        """Keep it for the next call; the longest idle one goes where there are too many."""
        with self._lock:
            self._idle.append(connection)
            surplus = self._idle.popleft() if len(self._idle) > self._limit else None
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        """Close all that are idle."""
        with self._lock:
            idle, self._idle = self._idle, deque()
        for connection in idle:
            connection.close()

    def _newest(self, origin: str) -> PinnedConnection | None:
        with self._lock:
            connection = next((one for one in reversed(self._idle) if one.origin == origin), None)
            if connection is not None:
                self._idle.remove(connection)
            return connection
