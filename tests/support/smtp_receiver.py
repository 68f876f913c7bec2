"""A real SMTP server for tests that does at each step what a test tells it."""
# ruff: noqa: N802 - aiosmtpd finds the commands by these names

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from tests.support.ports import free_port

HANG = "hang"
DROP = "drop"
HALF = "half"
HANG_S = 30.0


@dataclass
class SmtpReceiver:
    """What came in, and what is to happen next: a reply, HANG, DROP, or at `data` HALF (dropped within the text)."""

    port: int
    mails: list[Envelope] = field(default_factory=list)
    connections: int = 0
    commands: list[str] = field(default_factory=list)
    logins: list[LoginPassword] = field(default_factory=list)
    tls: list[bool] = field(default_factory=list)
    _script: defaultdict[str, deque[str]] = field(default_factory=lambda: defaultdict(deque))

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def then(self, step: str, *behaviours: str) -> None:
        """At the next times of this step (mail, rcpt, data, end, noop) do these instead of accepting."""
        self._script[step].extend(behaviours)

    async def act(self, server: SMTP, step: str) -> str:
        """Note the step; what the script does instead of accepting. The caller gives a reply to the end of data."""
        self.commands.append(step)
        behaviour = self._script[step].popleft() if self._script[step] else ""
        if behaviour == HANG:
            await asyncio.sleep(HANG_S)
        if behaviour == HALF:
            await server.push("354 go on")
            await server._reader.readline()
        if behaviour in (HANG, DROP, HALF):
            assert server.transport is not None
            server.transport.abort()
        elif behaviour and step != "end":
            await server.push(behaviour)
        return behaviour

    async def handle_DATA(self, server: SMTP, session: object, envelope: Envelope) -> str:
        if behaviour := await self.act(server, "end"):
            return behaviour
        self.mails.append(envelope)
        return f"250 2.0.0 OK: queued as Q{len(self.mails)}"


class _Scripted(SMTP):
    receiver: SmtpReceiver

    async def _handle_client(self) -> None:
        self.receiver.connections += 1
        await super()._handle_client()

    async def smtp_MAIL(self, arg: str) -> None:
        self.receiver.tls.append(self._tls_protocol is not None)
        if not await self.receiver.act(self, "mail"):
            await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str) -> None:
        if not await self.receiver.act(self, "rcpt"):
            await super().smtp_RCPT(arg)

    async def smtp_DATA(self, arg: str) -> None:
        if not await self.receiver.act(self, "data"):
            await super().smtp_DATA(arg)

    async def smtp_RSET(self, arg: str) -> None:
        if not await self.receiver.act(self, "rset"):
            await super().smtp_RSET(arg)

    async def smtp_NOOP(self, arg: str) -> None:
        if not await self.receiver.act(self, "noop"):
            await super().smtp_NOOP(arg)


class _Server(Controller):
    def __init__(self, receiver: SmtpReceiver, tls: ssl.SSLContext | None, *, login: bool, idle_s: float) -> None:
        self._receiver = receiver
        self._options = {"tls_context": tls, "timeout": idle_s}
        if login:
            self._options |= {"authenticator": self._authenticate, "auth_require_tls": False}
        super().__init__(receiver, hostname="127.0.0.1", port=receiver.port)

    def factory(self) -> SMTP:
        server = _Scripted(self._receiver, loop=self.loop, **self._options)
        server.receiver = self._receiver
        return server

    def _authenticate(
        self, _server: SMTP, _session: object, _envelope: object, _mechanism: str, data: LoginPassword
    ) -> AuthResult:
        self._receiver.logins.append(data)
        return AuthResult(success=data.password == b"right", handled=False)


@contextmanager
def smtp_receiver(
    *, tls: ssl.SSLContext | None = None, login: bool = False, idle_s: float = 60.0
) -> Iterator[SmtpReceiver]:
    """A running server."""
    receiver = SmtpReceiver(free_port())
    server = _Server(receiver, tls, login=login, idle_s=idle_s)
    server.start()
    receiver.connections = 0  # the controller's own, when it starts
    receiver.commands.clear()
    try:
        yield receiver
    finally:
        server.stop()
