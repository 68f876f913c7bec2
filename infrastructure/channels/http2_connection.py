"""One HTTP/2 connection that many threads call over at a time, each within its own deadline.

One of those who wait reads for all of them, and hands that on when it goes. Nobody is held up by another: the lock is
held for what is done in memory and for writing what the socket takes at once, and never while somebody waits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from app.domain.errors import DeliveryError, InDoubtError, ProviderTimeoutError, TransientError
from app.domain.outcome import Reason
from infrastructure.channels.http2_session import Http2Session, UnusedError
from infrastructure.channels.http_client import HttpAnswer
from infrastructure.channels.ssrf import Target
from infrastructure.channels.timed_socket import Deadline, IpAddress, timed_out
from infrastructure.channels.tls_socket import connect_tls, wait_for

_PROTOCOL: Final = "h2"
#: A TLS record: written as a whole or not at all, so that it is known what went out.
_RECORD_BYTES: Final = 16 * 1024
#: A connection that was silent for so long is asked whether it still stands before it is used ...
SILENT_S: Final = 30.0
#: ... and has so long to say so.
PING_S: Final = 2.0


@dataclasses.dataclass(slots=True, eq=False)
class _Waiter:
    is_done: Callable[[], bool]
    turn: threading.Condition


class Http2Connection:
    """Threads may share it. Made by `open_http2`."""

    def __init__(self, sock: ssl.SSLSocket, session: Http2Session) -> None:
        self._sock = sock
        self._session = session
        self._lock = threading.Lock()
        self._waiters: list[_Waiter] = []
        self._is_reading = False
        self._outbound = bytearray()
        self._queued = self._written = 0
        self._is_ended = False
        self._is_retired = False
        self._opened_at_s = self._heard_at_s = time.monotonic()

    def begin(self, deadline: Deadline) -> None:
        """Greet, and wait for the settings of the other side, which bound what it takes at a time.

        Raises TransientError where it speaks something else, ProviderTimeoutError.
        """
        if self._sock.selected_alpn_protocol() != _PROTOCOL:
            raise TransientError(Reason.PROVIDER_TRANSIENT, "no HTTP/2")
        with self._locked(deadline):
            self._session.begin()
            self._push()
            self._wait(lambda: self._session.has_settings or self._is_ended, deadline)
            if self._is_ended:
                raise TransientError(Reason.PROVIDER_TRANSIENT, "no HTTP/2")

    def is_usable(self, age_s: float, deadline: Deadline) -> bool:
        """Whether a request may be made over it: it stands, is not older, and has not been told to end.

        Raises ProviderTimeoutError.
        """
        with self._locked(deadline):
            if not self._is_reading:
                while self._take():
                    pass
                self._wake()
            now_s = time.monotonic()
            if now_s - self._opened_at_s > age_s:
                self._is_retired = True
            elif self._is_good and now_s - self._heard_at_s > SILENT_S:
                self._ping(deadline.within(PING_S))
            self._close_if_left()
            return self._is_good

    def post(self, path: str, headers: Mapping[str, str], body: bytes, deadline: Deadline) -> HttpAnswer:
        """One POST; names of headers are in small letters. Raises UnusedError where the other side will not look at it.

        Raises TransientError and ProviderTimeoutError where it was not handed over, InDoubtError where it was and no
        answer came.
        """
        with self._locked(deadline):
            try:
                self._wait(lambda: not self._is_good or self._session.has_room(len(body)), deadline)
                if not self._is_good:
                    raise UnusedError
                stream_id = self._session.post(path, headers, body)
                try:
                    self._push()
                    return self._answer(stream_id, self._queued, deadline)
                finally:
                    del self._session.streams[stream_id]
                    self._wake()  # there is room for another
            finally:
                self._close_if_left()

    def retire(self) -> None:
        """Take no further requests; close when those under way have ended."""
        with self._lock:
            self._is_retired = True
            self._wake()
            self._close_if_left()

    @property
    def _is_good(self) -> bool:
        return not (self._is_ended or self._is_retired or self._session.is_ending)

    def _answer(self, stream_id: int, end_mark: int, deadline: Deadline) -> HttpAnswer:
        """`end_mark`: how many bytes are to be written until the request is handed over."""
        stream = self._session.streams[stream_id]
        try:
            self._wait(lambda: stream.is_over or self._is_ended, deadline)
        except ProviderTimeoutError:
            raise self._given_up(stream_id, end_mark) from None
        answer = stream.answer
        if answer is not None:
            return answer
        if stream.is_unused:
            raise UnusedError
        if self._written < end_mark:
            raise TransientError(Reason.PROVIDER_TRANSIENT, "connection lost while sending")
        raise InDoubtError(Reason.IN_DOUBT, "no answer, stream reset" if stream.is_reset else "no answer")

    def _given_up(self, stream_id: int, end_mark: int) -> DeliveryError:
        """The time is over. Whoever comes next gets another connection: this one may be dead without a word."""
        self._is_retired = True
        if self._written < end_mark:
            self._end()  # or what is left of it would go out later
            return timed_out("sending")
        self._session.give_up(stream_id)
        self._push()
        return InDoubtError(Reason.IN_DOUBT, "no answer in time")

    def _ping(self, deadline: Deadline) -> None:
        awaited = self._session.pongs + 1
        self._session.ping()
        self._push()
        try:
            self._wait(lambda: not self._is_good or self._session.pongs >= awaited, deadline)
        except ProviderTimeoutError:
            self._is_retired = True

    # waiting, with the lock held

    @contextlib.contextmanager
    def _locked(self, deadline: Deadline) -> Iterator[None]:
        if not self._lock.acquire(timeout=deadline.remaining_s()):
            raise timed_out("waiting for the connection")
        try:
            yield
        finally:
            self._lock.release()

    def _wait(self, is_done: Callable[[], bool], deadline: Deadline) -> None:
        """Until it is so. One reads, the others sleep; who leaves wakes one to read on. Raises ProviderTimeoutError."""
        waiter = _Waiter(is_done, threading.Condition(self._lock))
        self._waiters.append(waiter)
        try:
            while not is_done():
                left_s = deadline.remaining_s()
                if self._is_reading:
                    waiter.turn.wait(left_s)
                else:
                    self._read(deadline)
        finally:
            self._waiters.remove(waiter)
            if self._waiters and not self._is_reading:
                self._waiters[0].turn.notify()

    def _read(self, deadline: Deadline) -> None:
        """Take in what comes next, and let the lock go for as long as nothing does."""
        self._is_reading = True
        try:
            if not self._take():
                has_more = bool(self._outbound)
                self._lock.release()
                try:
                    wait_for(self._sock, deadline, to_write=has_more)
                finally:
                    self._lock.acquire()
                self._push()
                self._take()
        finally:
            self._is_reading = False
        self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if waiter.is_done():
                waiter.turn.notify()

    # the socket, without waiting

    def _take(self) -> bool:
        """Whether something was there to be read; the end of the connection is something."""
        if self._is_ended:
            return False
        try:
            data = self._sock.recv(_RECORD_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            data = b""
        self._heard_at_s = time.monotonic()
        if data and self._session.take(data):
            self._push()
        else:
            self._end()
        return True

    def _push(self) -> None:
        """Write as much of what there is to say as the socket takes."""
        data = self._session.to_send()
        self._queued += len(data)
        self._outbound += data
        while self._outbound and not self._is_ended:
            try:
                written = self._sock.send(self._outbound[:_RECORD_BYTES])
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                self._end()
                return
            self._written += written
            del self._outbound[:written]

    def _end(self) -> None:
        """Nothing comes and nothing goes any more. It is closed when nobody reads it."""
        self._is_ended = self._is_retired = True
        with contextlib.suppress(OSError):
            # Of the TCP connection, which wakes who reads it: that of TLS would wait for the other side.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        self._wake()

    def _close_if_left(self) -> None:
        if self._is_good or self._session.streams:
            return
        if not self._is_ended:
            self._end()
        if not self._is_reading:
            self._sock.close()


def open_http2(
    target: Target, addresses: Sequence[IpAddress], tls: ssl.SSLContext, deadline: Deadline, *, body_bytes: int
) -> Http2Connection:
    """A connection that stands. `tls` offers h2 by ALPN. Raises TransientError, ProviderTimeoutError."""
    sock = connect_tls(target, addresses, tls, deadline)
    connection = Http2Connection(sock, Http2Session(target, body_bytes=body_bytes))
    try:
        connection.begin(deadline)
    except BaseException:
        sock.close()
        raise
    return connection
