"""Names to addresses, within a deadline: `getaddrinfo` has no time-out of its own."""

from __future__ import annotations

import ipaddress
import socket
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

from app.domain.errors import TransientError
from app.domain.outcome import Reason
from infrastructure.channels.timed_socket import Deadline, IpAddress, timed_out


class Resolver:
    """Looks names up in threads of its own, at most `threads` at a time; one that hangs holds up no caller for long."""

    def __init__(self, threads: int) -> None:
        self._slots = threading.BoundedSemaphore(threads)

    def resolve(self, host: str, deadline: Deadline) -> list[IpAddress]:
        """The host's addresses in the system's order of preference; an address stands for itself.

        Raises TransientError (no such name now) and ProviderTimeoutError.
        """
        try:
            return [ipaddress.ip_address(host)]
        except ValueError:
            pass
        if not self._slots.acquire(timeout=deadline.remaining_s()):
            raise timed_out("resolving the name")
        answer: Future[list[IpAddress]] = Future()
        threading.Thread(target=self._look_up, args=(host, answer), daemon=True, name="resolver").start()
        try:
            return answer.result(deadline.remaining_s())
        except FutureTimeoutError as error:
            raise timed_out("resolving the name") from error
        except (OSError, UnicodeError) as error:
            raise TransientError(Reason.PROVIDER_TRANSIENT, "name not resolved") from error

    def _look_up(self, host: str, answer: Future[list[IpAddress]]) -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            answer.set_exception(error)
        else:
            answer.set_result(list(dict.fromkeys(ipaddress.ip_address(sockaddr[0]) for *_, sockaddr in found)))
        finally:
            self._slots.release()
