"""TLS over sockets that never block: what is to be waited for is waited for within a deadline."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Sequence

from app.domain.errors import TransientError
from app.domain.outcome import Reason
from infrastructure.channels.ssrf import Target
from infrastructure.channels.timed_socket import Deadline, IpAddress, connect, timed_out


def connect_tls(
    target: Target, addresses: Sequence[IpAddress], tls: ssl.SSLContext, deadline: Deadline
) -> ssl.SSLSocket:
    """A connection that stands, and does not block. Raises TransientError, ProviderTimeoutError."""
    try:
        plain = connect(addresses, target.port, deadline)
    except OSError as error:
        raise TransientError(Reason.PROVIDER_TRANSIENT, "no connection") from error
    plain.setblocking(False)
    sock = tls.wrap_socket(plain, server_hostname=target.host, do_handshake_on_connect=False)
    try:
        while not _has_shaken_hands(sock, deadline):
            pass
    except OSError as error:
        sock.close()
        raise TransientError(Reason.PROVIDER_TRANSIENT, "TLS failed") from error
    except BaseException:
        sock.close()
        raise
    return sock


def wait_for(sock: socket.socket, deadline: Deadline, *, to_read: bool = True, to_write: bool = False) -> None:
    """Until the socket is ready for one of them. Raises ProviderTimeoutError."""
    poll = select.poll()
    poll.register(sock, (select.POLLIN if to_read else 0) | (select.POLLOUT if to_write else 0))
    if not poll.poll(deadline.remaining_s() * 1000):
        raise timed_out()


def _has_shaken_hands(sock: ssl.SSLSocket, deadline: Deadline) -> bool:
    try:
        sock.do_handshake()
    except ssl.SSLWantReadError:
        wait_for(sock, deadline)
        return False
    except ssl.SSLWantWriteError:
        wait_for(sock, deadline, to_read=False, to_write=True)
        return False
    return True
