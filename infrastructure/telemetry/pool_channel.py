"""From the children of a worker pool to its parent, which serves `/metrics` for all of them.

Each child sends what it has counted since it last did, one datagram a batch, through a socket made before the fork. So
a counter goes on where a child is replaced, nothing is kept on disk, and a child that dies takes its last batch's
counts with it. A parent that is slow costs no child a wait: what could not be sent goes with the next batch.
"""

from __future__ import annotations

import socket
import threading

import structlog

from app.domain.codec import decode, encode
from app.domain.errors import UndecodableError
from app.domain.meter import Meter, Readings

_log = structlog.get_logger()

#: A pool's series all together are a fraction of it.
_MAX_BYTES = 512 * 1024


class PoolChannel:
    """Made in the parent before it forks."""

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)
        self._sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MAX_BYTES)

    def send(self, meter: Meter) -> None:
        """In a child: hand over what was counted."""
        readings = meter.take()
        if not readings:
            return
        try:
            self._sender.send(encode(readings))
        except OSError:
            meter.add(readings)

    def receive_into(self, meter: Meter) -> None:
        """In the parent: take over what children send, from now on."""
        threading.Thread(target=self._receive, args=(meter,), name="metrics", daemon=True).start()

    def _receive(self, meter: Meter) -> None:
        while True:
            message = self._receiver.recv(_MAX_BYTES)
            try:
                meter.add(decode(message, Readings))
            except (UndecodableError, ValueError):
                _log.warning("metrics_undecodable", bytes=len(message))
