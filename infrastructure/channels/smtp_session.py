"""One connection to an SMTP server that carries one message after the other (RFC 5321)."""

from __future__ import annotations

import contextlib
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from typing import IO

from app.domain.errors import InDoubtError, PermanentError, ProviderTimeoutError, TransientError
from app.domain.outcome import Reason
from infrastructure.channels.smtp_url import SmtpUrl
from infrastructure.channels.timed_socket import Deadline, IpAddress, connect, send_all, timed_reader

Reply = tuple[int, bytes]

_GO_AHEAD = 354
_CLOSING = 421
_ASKS_LOGIN = 530  # about our settings, not about the message
_QUEUE_ID = re.compile(r"(?:queued as|id=|\bok:?)\s*<?([\w.:@-]*\d[\w.:@-]*)", re.IGNORECASE)
_QUEUE_ID_MAX = 128
_LEADING_DOT = re.compile(rb"^\.", re.MULTILINE)


class SessionLostError(TransientError):
    """The connection is gone, and the server has not taken the message."""


class SmtpSession:
    """Ready for messages once made; `is_open` is False after anything that leaves the dialogue in doubt."""

    def __init__(self, url: SmtpUrl, addresses: list[IpAddress], deadline: Deadline) -> None:
        """Connect, greet, secure, log in. Raises TransientError, also for a refusal: it concerns no message."""
        self.opened_at_s = self.used_at_s = time.monotonic()
        self._needs_reset = False
        self._smtp = _TimedSmtp(url.host, deadline)
        try:
            with self._step("connect"):
                self._open(url, addresses)
        except BaseException:
            self.close()
            raise

    @property
    def is_open(self) -> bool:
        """Whether another message may be tried on it."""
        return self._smtp.sock is not None

    def answers(self, deadline: Deadline) -> bool:
        """Whether the server still answers (NOOP); closes the session where it does not."""
        self._smtp.deadline = deadline
        try:
            with self._step("noop"):
                self._expect(self._smtp.noop(), "noop")
        except (TransientError, PermanentError):
            self.close()
        return self.is_open

    def begin(self, sender: str, deadline: Deadline) -> None:
        """The first command of a message. Raises SessionLostError, TransientError, PermanentError."""
        self._smtp.deadline = deadline
        with self._step("mail"):
            if self._needs_reset:
                self._expect(self._smtp.docmd("rset"), "rset")
                self._needs_reset = False
            self._expect(self._smtp.mail(sender), "mail")
            self._needs_reset = True

    def finish(self, recipient: str, content: bytes) -> str:
        """The rest of a message; the server's id for it, where it tells one. Raises DeliveryError."""
        with self._step("rcpt"):
            self._expect(self._smtp.rcpt(recipient), "rcpt")
        with self._step("data"):
            self._expect(self._smtp.docmd("data"), "data", _GO_AHEAD)
            self._smtp.send(_LEADING_DOT.sub(b"..", content) + b".\r\n")
        reply = self._verdict()
        self._needs_reset = False
        self.used_at_s = time.monotonic()
        self._expect(reply, "end of data")
        match = _QUEUE_ID.search(reply[1].decode("ascii", "replace"))
        return match[1][:_QUEUE_ID_MAX] if match else ""

    def close(self) -> None:
        """Say goodbye without waiting for an answer."""
        if self.is_open:
            with contextlib.suppress(OSError, smtplib.SMTPException, ProviderTimeoutError):
                self._smtp.putcmd("quit")
        self._smtp.close()

    def _open(self, url: SmtpUrl, addresses: list[IpAddress]) -> None:
        smtp = self._smtp
        sock = connect(addresses, url.port, smtp.deadline)
        smtp.sock = _tls_context(url).wrap_socket(sock, server_hostname=url.host) if url.is_tls else sock
        _welcome(smtp.getreply(), "greeting")
        _welcome(smtp.ehlo(), "ehlo")
        if not url.is_tls and smtp.has_extn("starttls"):
            smtp.starttls(context=_tls_context(url))
            _welcome(smtp.ehlo(), "ehlo")
        if url.user:
            if not isinstance(smtp.sock, ssl.SSLSocket) and not all(address.is_loopback for address in addresses):
                raise TransientError(Reason.PROVIDER_TRANSIENT, "server offers no TLS to send the password by")
            smtp.login(url.user, url.password)

    def _verdict(self) -> Reply:
        """The answer to the end of data. Without one the message may have been taken."""
        try:
            reply = self._smtp.getreply()
        except (ProviderTimeoutError, smtplib.SMTPException, OSError) as error:
            self._smtp.close()
            raise InDoubtError(Reason.IN_DOUBT, "no answer to the end of data") from error
        if reply[0] < 0:
            self._smtp.close()
            raise InDoubtError(Reason.IN_DOUBT, "unreadable answer to the end of data")
        return reply

    def _expect(self, reply: Reply, step: str, wanted: int = 250) -> None:
        code = reply[0]
        if code == wanted or (wanted != _GO_AHEAD and 200 <= code < 300):  # noqa: PLR2004 - RFC 5321: 2yz is yes
            return
        detail = f"{code} at {step}"
        if code == _CLOSING or code < 0:
            self._smtp.close()
            raise SessionLostError(Reason.PROVIDER_TRANSIENT, detail)
        if 500 <= code < 600 and code != _ASKS_LOGIN:  # noqa: PLR2004 - RFC 5321: 5yz is no for good
            raise PermanentError(Reason.PROVIDER_REJECTED, detail)
        raise TransientError(Reason.PROVIDER_TRANSIENT, detail)

    @contextlib.contextmanager
    def _step(self, step: str) -> Iterator[None]:
        try:
            yield
        except ProviderTimeoutError as error:
            self._smtp.close()
            raise ProviderTimeoutError(error.reason, f"timed out at {step}") from error
        except TimeoutError as error:
            self._smtp.close()
            raise ProviderTimeoutError(Reason.PROVIDER_TRANSIENT, f"timed out at {step}") from error
        except smtplib.SMTPAuthenticationError as error:
            self._smtp.close()
            raise TransientError(Reason.PROVIDER_TRANSIENT, f"{error.smtp_code} at login") from error
        except (smtplib.SMTPException, OSError) as error:
            self._smtp.close()
            raise SessionLostError(Reason.PROVIDER_TRANSIENT, f"connection lost at {step}") from error


class _TimedSmtp(smtplib.SMTP):
    """smtplib, except that each read and write has what is left of the call's time."""

    def __init__(self, host: str, deadline: Deadline) -> None:
        self.deadline = deadline
        super().__init__(local_hostname=socket.gethostname())  # its own default is a name look-up
        self._host = host  # what STARTTLS checks the certificate for

    def send(self, s: str | bytes) -> None:  # type: ignore[override]  # no other kind is sent here
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("not connected")
        send_all(self.sock, s.encode("ascii") if isinstance(s, str) else s, self.deadline)

    def getreply(self) -> Reply:
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("not connected")
        if self.file is None:
            self.file: IO[bytes] | None = timed_reader(self.sock, self)
        return super().getreply()


def _welcome(reply: Reply, step: str) -> None:
    if not 200 <= reply[0] < 300:  # noqa: PLR2004 - RFC 5321: 2yz is yes
        raise TransientError(Reason.PROVIDER_TRANSIENT, f"{reply[0]} at {step}")


def _tls_context(url: SmtpUrl) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not url.is_tls and not url.user:
        # Opportunistic: who could forge the certificate could as well hide that STARTTLS is offered (RFC 7435).
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
