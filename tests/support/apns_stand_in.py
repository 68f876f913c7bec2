"""APNs as Apple documents it: a real HTTP/2 server over TLS that checks what it gets and answers as a test tells it."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from infrastructure.channels import es256

TOPIC, TEAM_ID, KEY_ID = "com.example.shop", "TEAM123456", "KEY1234567"
_KEY = ec.generate_private_key(ec.SECP256R1())
#: The .p8 file.
KEY = es256.pem_of(_KEY)

_PATH = re.compile(r"/3/device/(.*)")
_TOKEN = re.compile(r"[0-9a-f]{64}")
_PUSH_TYPES = {"alert", "background", "voip", "complication", "fileprovider", "mdm", "liveactivity", "pushtotalk"}


class Sent(NamedTuple):
    """One request. `connection` counts connections from 1."""

    token: str
    headers: dict[str, str]
    payload: dict[str, Any]
    size: int
    connection: int


#: What a request is answered with: status, body, headers; or something that is done to the connection instead.
Deed = Callable[["Connection", int], None]
Answer = tuple[int, bytes, dict[str, str]] | Deed


@dataclass
class ApnsStandIn:
    """What came in. `by_token` and `answers` come before what the rules say, one a request."""

    port: int = 0
    latency_s: float = 0.0
    #: How many requests a connection takes at a time; with `first_streams` so many until the first good one.
    max_streams: int = 100
    first_streams: int = 0
    dead: set[str] = field(default_factory=set)
    by_token: dict[str, deque[Answer]] = field(default_factory=dict)
    answers: deque[Answer] = field(default_factory=deque)
    #: Provider tokens issued before this (Unix seconds) are too old.
    oldest_iat: float = 0.0
    sent: list[Sent] = field(default_factory=list)
    connections: int = 0
    pings: int = 0
    resets: int = 0
    #: Connections up to this number hear nothing more, and say nothing.
    deaf_up_to: int = 0
    most_at_once: int = 0
    running: int = 0
    open: set[Connection] = field(default_factory=set)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def calls(self) -> Counter[str]:
        """Requests by token."""
        return Counter(one.token for one in self.sent)

    @property
    def provider_tokens(self) -> list[str]:
        """Those that were shown, each once."""
        return list(dict.fromkeys(one.headers["authorization"] for one in self.sent))

    def refuse_tokens(self) -> None:
        """All provider tokens up to now are too old."""
        self.oldest_iat = time.time() + 0.001
        time.sleep(1.001 - time.time() % 1)  # iat is in whole seconds

    def cut_all(self) -> None:
        """Cut the connections there are; returns when they are."""

        def cut() -> None:
            for connection in list(self.open):
                connection.cut()

        self.loop.call_soon_threadsafe(cut)
        while self.open:
            time.sleep(0.005)

    def answer(self, sent: Sent, headers: dict[str, str]) -> Answer:
        if planned := self.by_token.get(sent.token):
            return planned.popleft()
        if self.answers:
            return self.answers.popleft()
        return self._by_the_rules(sent, headers)

    def _by_the_rules(self, sent: Sent, headers: dict[str, str]) -> Answer:
        if fault := self._token_fault(headers.get("authorization", "")):
            return refused(403, fault)
        if sent.token in self.dead:
            return refused(410, "Unregistered", timestamp=1_732_270_000_000)
        if sent.size > 4096:
            return refused(413, "PayloadTooLarge")
        if fault := _header_fault(headers) or _request_fault(sent):
            return refused(400, fault)
        return 200, b"", {"apns-id": headers["apns-id"]}

    def _token_fault(self, authorization: str) -> str:
        scheme, _, token = authorization.partition(" ")
        if scheme != "bearer":
            return "MissingProviderToken"
        try:
            claims = jwt.decode(token, _KEY.public_key(), algorithms=["ES256"], options={"verify_iat": False})
        except jwt.InvalidTokenError:
            return "InvalidProviderToken"
        if claims["iss"] != TEAM_ID or jwt.get_unverified_header(token)["kid"] != KEY_ID:
            return "InvalidProviderToken"
        is_stale = claims["iat"] < self.oldest_iat or abs(time.time() - claims["iat"]) > 3600
        return "ExpiredProviderToken" if is_stale else ""


def refused(status: int, reason: str, *, timestamp: int = 0, **headers: str) -> Answer:
    """An error as Apple tells it; `retry_after` is Retry-After."""
    body: dict[str, Any] = {"reason": reason} | ({"timestamp": timestamp} if timestamp else {})
    return status, json.dumps(body).encode(), {name.replace("_", "-"): value for name, value in headers.items()}


def hang(_connection: Connection, _stream_id: int) -> None:
    """No answer."""


def drop(connection: Connection, _stream_id: int) -> None:
    """Hang up without an answer."""
    connection.hang_up()


def reset(connection: Connection, stream_id: int) -> None:
    """End the one request without an answer."""
    connection.h2.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)


def refuse(connection: Connection, stream_id: int) -> None:
    """Say that it was not looked at."""
    connection.h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)


def go_away(connection: Connection, stream_id: int) -> None:
    """End the connection; this request, and what came later, were not looked at."""
    connection.say_goodbye(stream_id - 2)


def last_answer(connection: Connection, stream_id: int) -> None:
    """End the connection, with an answer still to this request, in the same bytes."""
    connection.say_goodbye(stream_id, then=(stream_id, 200))


def garbage(connection: Connection, _stream_id: int) -> None:
    """What is no HTTP/2."""
    connection.write(b"\x00\xff nonsense\r\n\r\n" * 4)


def half_an_answer(connection: Connection, stream_id: int) -> None:
    """A status, the beginning of a body, and the end of the connection."""
    connection.h2.send_headers(stream_id, [(":status", "400")])
    connection.h2.send_data(stream_id, b'{"reason": "Bad')
    connection.flush()
    connection.hang_up()


def _header_fault(headers: dict[str, str]) -> str:
    """What Apple would say of the headers."""
    with suppress(ValueError):
        uuid.UUID(headers["apns-id"])
        int(headers.get("apns-expiration", "0"))
        if not headers.get("apns-topic"):
            return "MissingTopic"
        if headers["apns-topic"] != TOPIC:
            return "BadTopic"
        if len(headers.get("apns-collapse-id", "").encode()) > 64:
            return "BadCollapseId"
        if headers.get("apns-priority", "10") not in {"1", "5", "10"}:
            return "BadPriority"
        return "" if headers.get("apns-push-type") in _PUSH_TYPES else "InvalidPushType"
    return "BadMessageId"


def _request_fault(sent: Sent) -> str:
    if not _TOKEN.fullmatch(sent.token):
        return "BadDeviceToken"
    return "" if "aps" in sent.payload else "PayloadEmpty"


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, apns: ApnsStandIn) -> None:
        self.apns = apns
        self.number = 0
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        streams = apns.first_streams or apns.max_streams
        self.h2.local_settings = Settings(client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: streams})
        self._is_wide = not apns.first_streams
        self._requests: dict[int, tuple[dict[str, str], bytearray]] = {}
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.apns.connections += 1
        self.number = self.apns.connections
        self.apns.open.add(self)
        self.h2.initiate_connection()
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.apns.open.discard(self)

    def data_received(self, data: bytes) -> None:
        if self.number <= self.apns.deaf_up_to:
            return
        with suppress(ProtocolError):
            for event in self.h2.receive_data(data):
                self._hear(event)
        self.flush()

    def _hear(self, event: events.Event) -> None:
        if isinstance(event, events.RequestReceived):
            self._requests[event.stream_id] = dict(event.headers), bytearray()  # type: ignore[arg-type]
        elif isinstance(event, events.DataReceived):
            self._requests[event.stream_id][1].extend(event.data)
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, events.PingReceived):
            self.apns.pings += 1
        elif isinstance(event, events.StreamReset):
            self.apns.resets += 1
        elif isinstance(event, events.StreamEnded):
            self._begin(event.stream_id)

    def _begin(self, stream_id: int) -> None:
        headers, body = self._requests.pop(stream_id)
        assert headers[":method"] == "POST"
        path = _PATH.fullmatch(headers[":path"])
        payload = json.loads(body) if body else {}
        sent = Sent(path[1] if path else "", headers, payload, len(body), self.number)
        self.apns.sent.append(sent)
        self.apns.running += 1
        self.apns.most_at_once = max(self.apns.most_at_once, self.apns.running)
        answer = self.apns.answer(sent, headers)
        asyncio.get_running_loop().call_later(self.apns.latency_s, self._end, stream_id, answer)

    def _end(self, stream_id: int, answer: Answer) -> None:
        self.apns.running -= 1
        with suppress(ProtocolError):  # who asked may have gone
            if callable(answer):
                answer(self, stream_id)
            else:
                self._answer(stream_id, *answer)
        self.flush()

    def _answer(self, stream_id: int, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.h2.send_headers(stream_id, [(":status", str(status)), *headers.items()], end_stream=not body)
        frame = self.h2.max_outbound_frame_size
        for start in range(0, len(body), frame):
            self.h2.send_data(stream_id, body[start : start + frame], end_stream=start + frame >= len(body))
        if status == 200 and not self._is_wide:
            self._is_wide = True
            self.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: self.apns.max_streams})

    def say_goodbye(self, last_stream_id: int, then: tuple[int, int] | None = None) -> None:
        """GOAWAY; with an answer behind it, which h2 would not send any more."""
        behind = b""
        if then is not None:
            self.flush()
            self.h2.send_headers(then[0], [(":status", str(then[1])), ("apns-id", "x")], end_stream=True)
            behind = self.h2.data_to_send()
        self.h2.close_connection(last_stream_id=max(0, last_stream_id))
        self.write(self.h2.data_to_send() + behind)

    def flush(self) -> None:
        self.write(self.h2.data_to_send())

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def cut(self) -> None:
        """Without a goodbye of TLS."""
        if self._transport is not None:
            self._transport.abort()


@contextmanager
def apns_stand_in(server: ssl.SSLContext, *, alpn: str = "h2", **given: Any) -> Iterator[ApnsStandIn]:
    """A running server. `alpn` is what it speaks, or says that it does."""
    apns = ApnsStandIn(**given)
    server.set_alpn_protocols([alpn])
    loop, ready, stop = apns.loop, threading.Event(), asyncio.Event()

    async def serve() -> None:
        listening = await loop.create_server(lambda: Connection(apns), "127.0.0.1", 0, ssl=server, backlog=128)
        apns.port = listening.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        listening.close()
        for connection in list(apns.open):
            connection.cut()
        await asyncio.sleep(0.05)  # for the transports to end

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    ready.wait()
    try:
        yield apns
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
        loop.close()
