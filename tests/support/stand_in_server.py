"""A provider that does as it is told: `python -m tests.support.stand_in_server KIND JOURNAL`, KIND smtp or webhook.

Prints its port, then obeys lines on standard input, each answered with `ok`: `mode accept|refuse|closed|hang` and
`delay SECONDS` (before each yes). Each yes is a line in the journal: monotonic seconds, delivery id, recipient.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from pathlib import Path

HOST = "127.0.0.1"
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<([^@>]+)@", re.IGNORECASE | re.MULTILINE)
_LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
_WEBHOOK_ID = re.compile(rb"^webhook-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_END_OF_MAIL = b"\r\n.\r\n"


class Behaviour:
    """What all connections do, and where they write what they took."""

    def __init__(self, journal: Path) -> None:
        self.mode = "accept"
        self.delay_s = 0.0
        self.connections: set[Dialogue] = set()
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, delivery_id: bytes, recipient: bytes) -> None:
        """A yes that is about to be said."""
        os.write(self._journal, b"%.6f %s %s\n" % (time.monotonic(), delivery_id, recipient))

    def obey(self, line: str) -> None:
        """A line of standard input. Whoever hangs or is not wanted is hung up on when the mode changes."""
        word, _, value = line.strip().partition(" ")
        if word == "delay":
            self.delay_s = float(value)
            return
        before, self.mode = self.mode, value
        if before == "hang" or value == "closed":
            for connection in list(self.connections):
                connection.hang_up()


class Dialogue(asyncio.Protocol):
    """One connection. Subclasses cut requests off the buffer."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._buffer = b""
        self._is_busy = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.behaviour.connections.add(self)
        if self.behaviour.mode == "closed":
            transport.abort()
        else:
            self.greet()

    def connection_lost(self, exc: Exception | None) -> None:
        self.behaviour.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._go_on()

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def say(self, text: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(text)

    def agree(self, delivery_id: bytes, recipient: bytes, answer: bytes) -> None:
        """Say yes after the delay; what came meanwhile waits."""
        self._is_busy = True
        if self.behaviour.delay_s:
            asyncio.get_running_loop().call_later(
                self.behaviour.delay_s, self._agree_now, delivery_id, recipient, answer
            )
        else:
            self._agree_now(delivery_id, recipient, answer)

    def _agree_now(self, delivery_id: bytes, recipient: bytes, answer: bytes) -> None:
        self._is_busy = False
        if self._transport is None or self._transport.is_closing():
            return
        self.behaviour.note(delivery_id, recipient)
        self.say(answer)
        if self._buffer:
            self._go_on()

    def _go_on(self) -> None:
        while not self._is_busy and self.behaviour.mode != "hang" and self.take():
            pass

    def greet(self) -> None:
        """Say what a client waits for."""

    def take(self) -> bool:
        """Answer one request of the buffer; False where none is complete."""
        raise NotImplementedError


class SmtpDialogue(Dialogue):
    """As much of RFC 5321 as a client needs."""

    _recipient = b"-"
    _is_in_data = False

    def greet(self) -> None:
        if self.behaviour.mode != "hang":
            self.say(b"220 stand-in\r\n")

    def take(self) -> bool:
        end = _END_OF_MAIL if self._is_in_data else b"\r\n"
        request, found, rest = self._buffer.partition(end)
        if not found:
            return False
        self._buffer = rest
        if self._is_in_data:
            self._is_in_data = False
            message_id = _MESSAGE_ID.search(request)
            self.agree(message_id[1] if message_id else b"-", self._recipient, b"250 2.0.0 OK\r\n")
        else:
            self._answer(request)
        return True

    def _answer(self, line: bytes) -> None:
        command = line[:4].upper()
        if command == b"MAIL" and self.behaviour.mode == "refuse":
            self.say(b"451 4.3.0 not now\r\n")
        elif command == b"DATA":
            self._is_in_data = True
            self.say(b"354 go on\r\n")
        elif command == b"QUIT":
            self.say(b"221 bye\r\n")
            if self._transport is not None:
                self._transport.close()
        else:
            if command == b"RCPT":
                self._recipient = line.partition(b"<")[2].partition(b">")[0] or b"-"
            self.say(b"250 OK\r\n")


class WebhookDialogue(Dialogue):
    """As much of RFC 9112 as a client needs."""

    def take(self) -> bool:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        length = int(match[1]) if (match := _LENGTH.search(head)) else 0
        if not found or len(rest) < length:
            return False
        self._buffer = rest[length:]
        if self.behaviour.mode == "refuse":
            self.say(b"HTTP/1.1 503 Not now\r\nContent-Length: 0\r\n\r\n")
            return True
        webhook_id = _WEBHOOK_ID.search(head)
        path = head.split(b" ", 2)[1]
        self.agree(webhook_id[1] if webhook_id else b"-", path, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return True


KINDS: dict[str, type[Dialogue]] = {"smtp": SmtpDialogue, "webhook": WebhookDialogue}


async def serve(kind: str, journal: Path) -> None:
    """Until standard input ends."""
    loop = asyncio.get_running_loop()
    behaviour = Behaviour(journal)
    server = await loop.create_server(lambda: KINDS[kind](behaviour), HOST, 0, backlog=128)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - read by who started it
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        behaviour.obey(line)
        print("ok", flush=True)  # noqa: T201 - read by who started it
    server.close()
    for connection in list(behaviour.connections):
        connection.hang_up()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
