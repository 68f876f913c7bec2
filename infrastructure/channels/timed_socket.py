"""Sockets whose every step is bound by one deadline, however slowly the other side drips."""

from __future__ import annotations

import contextlib
import io
import socket
import time
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import IO, Protocol, cast

from app.domain.errors import ProviderTimeoutError
from app.domain.outcome import Reason

IpAddress = IPv4Address | IPv6Address

_SEND_CHUNK_BYTES = 16 * 1024  # a TLS record: a longer write would get the whole time-out for each of its records


class Deadline:
    """The point in time by which a provider call must have ended."""

    def __init__(self, timeout_s: float) -> None:
        self._at = time.monotonic() + timeout_s

    def remaining_s(self) -> float:
        """Seconds left, above 0. Raises ProviderTimeoutError."""
        remaining = self._at - time.monotonic()
        if remaining <= 0:
            raise timed_out()
        return remaining

    def within(self, timeout_s: float) -> Deadline:
        """A deadline after `timeout_s`, or this one where that is earlier."""
        return Deadline(min(timeout_s, self.remaining_s()))


class Timed(Protocol):
    """What owns a socket and knows the deadline of the call under way."""

    deadline: Deadline


def timed_out(step: str = "") -> ProviderTimeoutError:
    """The error for a deadline that has passed."""
    return ProviderTimeoutError(Reason.PROVIDER_TRANSIENT, f"timed out {step}".rstrip())


def timed_reader(sock: socket.socket, owner: Timed) -> IO[bytes]:
    """What `sock.makefile("rb")` returns, reading within the owner's deadline. Reads raise ProviderTimeoutError."""
    return io.BufferedReader(_TimedReader(sock, owner))


def send_all(sock: socket.socket, data: bytes, deadline: Deadline) -> None:
    """`sock.sendall` within the deadline. Raises ProviderTimeoutError, OSError: then the end was not sent."""
    view = memoryview(data)
    with _as_provider_timeout():
        for start in range(0, len(view), _SEND_CHUNK_BYTES):
            sock.settimeout(deadline.remaining_s())
            sock.sendall(view[start : start + _SEND_CHUNK_BYTES])


def connect(addresses: Sequence[IpAddress], port: int, deadline: Deadline) -> socket.socket:
    """A TCP connection to the first of the addresses that answers. Raises ProviderTimeoutError, OSError."""
    last_error = OSError("no address")
    with _as_provider_timeout():
        for address in addresses:
            try:
                sock = socket.create_connection((str(address), port), timeout=deadline.remaining_s())
            except TimeoutError:
                raise
            except OSError as error:
                last_error = error
                continue
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(deadline.remaining_s())
            return sock
    raise last_error


class _TimedReader(io.RawIOBase):
    def __init__(self, sock: socket.socket, owner: Timed) -> None:
        self._sock = sock
        self._owner = owner
        self._raw = cast("io.RawIOBase", sock.makefile("rb", buffering=0))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]  # what BufferedReader passes
        with _as_provider_timeout():
            self._sock.settimeout(self._owner.deadline.remaining_s())
            return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


@contextlib.contextmanager
def _as_provider_timeout() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise timed_out() from error
