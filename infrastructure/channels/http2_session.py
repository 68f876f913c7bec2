"""The client's side of HTTP/2 (RFC 9113) without a socket: bytes in, bytes out."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Mapping
from typing import Final

from h2 import events
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hpack import HeaderTuple, NeverIndexedHeaderTuple

from app.domain.errors import InDoubtError
from app.domain.outcome import Reason
from infrastructure.channels.http_client import HttpAnswer
from infrastructure.channels.ssrf import Target

#: RFC 9113, section 4.1: what stands before each frame, and how much of it is the length.
_FRAME_HEAD_BYTES: Final = 9
_LENGTH_BYTES: Final = 3
_PING: Final = b"notified"
#: What of a request is not to fill the table of headers that both sides keep: it differs each time, or is secret.
_NEVER_INDEXED: Final = frozenset({":path", "authorization", "apns-id", "apns-collapse-id", "content-length"})

# It tells every header at DEBUG, and device tokens and bearers are headers.
logging.getLogger("hpack").setLevel(logging.INFO)


class UnusedError(Exception):
    """The other side has not looked at the request, and never will: it may be made again over another connection."""


@dataclasses.dataclass(slots=True)
class Stream:
    """One request, and what has come back so far."""

    status: str = ""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytearray = dataclasses.field(default_factory=bytearray)
    is_over: bool = False
    is_unused: bool = False
    is_reset: bool = False

    @property
    def answer(self) -> HttpAnswer | None:
        """The answer, or what of it has come: the status says what counts. Raises InDoubtError where it is no HTTP."""
        if not self.status or self.is_unused:
            return None
        if not (self.status.isascii() and self.status.isdigit()):
            raise InDoubtError(Reason.IN_DOUBT, "an answer that is no HTTP")
        return HttpAnswer(status=int(self.status), headers=self.headers, body=bytes(self.body))


class Http2Session:
    """For one thread at a time. Bodies are small: each goes in one frame, once both flow control windows have room."""

    def __init__(self, target: Target, *, body_bytes: int) -> None:
        """Of an answer's body no more than `body_bytes` is kept."""
        self.streams: dict[int, Stream] = {}
        self.has_settings = False
        self.is_ending = False
        self.pongs = 0
        self._authority = target.url.removeprefix("https://").partition("/")[0]
        self._body_bytes = body_bytes
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._inbound = bytearray()

    def begin(self) -> None:
        """What is said first."""
        self._h2.initiate_connection()

    def has_room(self, body_bytes: int) -> bool:
        """Whether the other side takes one more request, with a body of this size, now."""
        settings = self._h2.remote_settings
        window = min(self._h2.outbound_flow_control_window, settings.initial_window_size)
        return len(self.streams) < settings.max_concurrent_streams and body_bytes <= window

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Begin a stream. Raises UnusedError where this session has come to its end."""
        fields = {":method": "POST", ":scheme": "https", ":authority": self._authority, ":path": path}
        fields |= {**headers, "content-length": str(len(body))}
        coded = [
            (NeverIndexedHeaderTuple if name in _NEVER_INDEXED else HeaderTuple)(name.encode(), value.encode())
            for name, value in fields.items()
        ]
        try:
            stream_id = self._h2.get_next_available_stream_id()
            self._h2.send_headers(stream_id, coded)
            self._h2.send_data(stream_id, body, end_stream=True)
        except ProtocolError as error:  # its numbers are used up, or it counts otherwise than we do
            self.is_ending = True
            raise UnusedError from error
        self.streams[stream_id] = Stream()
        return stream_id

    def give_up(self, stream_id: int) -> None:
        """Nobody waits for its answer any more."""
        with contextlib.suppress(ProtocolError):
            self._h2.reset_stream(stream_id, ErrorCodes.CANCEL)

    def ping(self) -> None:
        """Ask whether the other side is there: then `pongs` grows."""
        self._h2.ping(_PING)

    def to_send(self) -> bytes:
        """What is to be written now."""
        return self._h2.data_to_send()

    def take(self, data: bytes) -> bool:
        """Take in what was read; False where it is no HTTP/2, after which nothing may be sent."""
        self._inbound += data
        try:
            for frame in self._frames():
                for event in self._h2.receive_data(frame):
                    self._hear(event)
        except ProtocolError:
            return False
        return True

    def _frames(self) -> Iterator[bytes]:
        """One at a time: h2 takes nothing after a GOAWAY in the same bytes, not even answers that were promised."""
        while len(self._inbound) >= _FRAME_HEAD_BYTES:
            end = _FRAME_HEAD_BYTES + int.from_bytes(self._inbound[:_LENGTH_BYTES])
            if end > _FRAME_HEAD_BYTES + self._h2.max_inbound_frame_size:
                raise ProtocolError("a frame larger than agreed")
            if len(self._inbound) < end:
                return
            frame = bytes(self._inbound[:end])
            del self._inbound[:end]
            yield frame

    def _hear(self, event: events.Event) -> None:
        if isinstance(event, events.RemoteSettingsChanged):
            self.has_settings = True
        elif isinstance(event, events.PingAckReceived):
            self.pongs += 1
        elif isinstance(event, events.ConnectionTerminated):
            self._hear_end(event.last_stream_id or 0)
        elif isinstance(event, events.DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self._hear_body(event)
        elif isinstance(event, events.ResponseReceived):
            self._hear_head(event)
        elif isinstance(event, events.StreamReset):
            self._hear_reset(event)
        elif isinstance(event, events.StreamEnded) and event.stream_id in self.streams:
            self.streams[event.stream_id].is_over = True

    def _hear_head(self, event: events.ResponseReceived) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.headers = {
                bytes(name).decode("latin-1"): bytes(value).decode("latin-1") for name, value in event.headers
            }
            stream.status = stream.headers.pop(":status", "")

    def _hear_body(self, event: events.DataReceived) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.body += event.data[: self._body_bytes - len(stream.body)]

    def _hear_reset(self, event: events.StreamReset) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.is_over = stream.is_reset = True
            stream.is_unused = event.error_code == ErrorCodes.REFUSED_STREAM

    def _hear_end(self, last_stream_id: int) -> None:
        """GOAWAY (RFC 9113, section 6.8): what came later is not looked at; what came before is still answered."""
        self.is_ending = True
        for stream_id, stream in self.streams.items():
            if stream_id > last_stream_id:
                stream.is_over = stream.is_unused = True
        # h2 takes the connection to be closed now, and would refuse those answers.
        self._h2.state_machine.state = ConnectionState.CLIENT_OPEN
