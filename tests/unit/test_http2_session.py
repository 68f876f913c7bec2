"""The client's side of HTTP/2, against a server's side of the same library: bytes out of one go into the other."""

from __future__ import annotations

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings

from app.domain.errors import InDoubtError
from infrastructure.channels.http2_session import Http2Session, UnusedError
from infrastructure.channels.ssrf import Target

TARGET = Target.parse("https://push.example:8443/")
HEADERS = {"authorization": "bearer s3cret", "apns-topic": "com.example"}
BODY_BYTES = 100


class Server:
    """What the session talks to."""

    def __init__(self, **given: int) -> None:
        self.session = Http2Session(TARGET, body_bytes=BODY_BYTES)
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        codes = {SettingCodes[name]: value for name, value in given.items()}
        self.h2.local_settings = Settings(client=False, initial_values=codes)
        self.h2.initiate_connection()
        self.session.begin()

    def hear(self) -> list[events.Event]:
        """What the client has said since."""
        return self.h2.receive_data(self.session.to_send())

    def say(self) -> bool:
        """Tell the client what there is; whether it took it for HTTP/2."""
        return self.session.take(self.h2.data_to_send())

    def answer(self, stream_id: int, status: str = "200", body: bytes = b"") -> None:
        self.h2.send_headers(stream_id, [(":status", status), ("apns-id", "x")], end_stream=not body)
        if body:
            self.h2.send_data(stream_id, body, end_stream=True)


@pytest.fixture
def server() -> Server:
    made = Server()
    assert made.say()
    made.hear()
    return made


def post(server: Server, body: bytes = b"{}") -> int:
    stream_id = server.session.post("/3/device/t0ken", HEADERS, body)
    server.hear()
    return stream_id


def test_a_request_and_its_answer(server: Server) -> None:
    stream_id = server.session.post("/3/device/t0ken", HEADERS, b'{"a": 1}')
    heard = server.hear()
    [request] = [one for one in heard if isinstance(one, events.RequestReceived)]
    assert (
        dict(request.headers)
        == {
            ":method": "POST",
            ":scheme": "https",
            ":authority": "push.example:8443",
            ":path": "/3/device/t0ken",
            "content-length": "8",
        }
        | HEADERS
    )
    [data] = [one for one in heard if isinstance(one, events.DataReceived)]
    assert data.data == b'{"a": 1}'
    server.answer(stream_id, "410", b'{"reason": "Unregistered"}')
    assert server.say()
    stream = server.session.streams[stream_id]
    assert stream.is_over
    assert stream.answer is not None
    assert (stream.answer.status, stream.answer.headers, stream.answer.body) == (
        410,
        {"apns-id": "x"},
        b'{"reason": "Unregistered"}',
    )


def test_paths_and_bearers_are_never_kept_in_the_table_of_headers(server: Server) -> None:
    post(server)
    kept = [bytes(part) for entry in server.session._h2.encoder.header_table.dynamic_entries for part in entry]
    assert b"com.example" in kept
    assert not [one for one in kept if b"s3cret" in one or b"t0ken" in one]


def test_bytes_may_come_one_by_one(server: Server) -> None:
    stream_id = post(server)
    server.answer(stream_id, body=b"{}")
    for byte in server.h2.data_to_send():
        assert server.session.take(bytes([byte]))
    assert server.session.streams[stream_id].is_over


def test_of_a_long_body_no_more_is_kept_than_is_wanted(server: Server) -> None:
    stream_id = post(server)
    server.answer(stream_id, "400", b"x" * 9000)
    assert server.say()
    assert server.session.streams[stream_id].body == b"x" * BODY_BYTES


def test_there_is_room_for_as_many_as_the_server_says() -> None:
    server = Server(MAX_CONCURRENT_STREAMS=2)
    assert not server.session.has_settings
    server.say()
    server.hear()
    assert server.session.has_settings
    first, _ = post(server), post(server)
    assert not server.session.has_room(0)
    server.answer(first)
    server.say()
    del server.session.streams[first]
    assert server.session.has_room(0)


def test_a_body_waits_for_the_window() -> None:
    server = Server(INITIAL_WINDOW_SIZE=10)
    server.say()
    assert (server.session.has_room(10), server.session.has_room(11)) == (True, False)


def test_what_came_after_the_last_of_a_goaway_is_unused_and_what_came_before_is_answered_still(server: Server) -> None:
    first, second = post(server), post(server)
    server.answer(first)
    answer = server.h2.data_to_send()
    server.h2.close_connection(ErrorCodes.NO_ERROR, last_stream_id=first)
    assert server.session.take(server.h2.data_to_send() + answer), "in the same bytes"
    assert server.session.is_ending
    streams = server.session.streams
    assert (streams[second].is_over, streams[second].is_unused, streams[second].answer) == (True, True, None)
    assert streams[first].answer is not None


def test_a_refused_stream_is_unused_and_one_that_was_reset_is_not(server: Server) -> None:
    first, second = post(server), post(server)
    server.h2.reset_stream(first, ErrorCodes.REFUSED_STREAM)
    server.h2.reset_stream(second, ErrorCodes.INTERNAL_ERROR)
    assert server.say()
    streams = server.session.streams
    assert [(streams[one].is_over, streams[one].is_unused) for one in (first, second)] == [(True, True), (True, False)]


def test_when_its_numbers_are_used_up_the_session_has_come_to_its_end(server: Server) -> None:
    server.session._h2.highest_outbound_stream_id = 2**31 - 1
    with pytest.raises(UnusedError):
        server.session.post("/", HEADERS, b"")
    assert server.session.is_ending


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x00\x00\x00\x01\x04\x00\x00\x00\x63", b"\xff" * 20]
)
def test_what_is_no_http2_is_told(server: Server, data: bytes) -> None:
    assert not server.session.take(data)


def test_a_status_that_is_none_is_in_doubt(server: Server) -> None:
    stream_id = post(server)
    server.answer(stream_id, "abc")
    server.say()
    with pytest.raises(InDoubtError, match="no HTTP"):
        _ = server.session.streams[stream_id].answer


def test_a_ping_is_answered_and_its_answer_counted(server: Server) -> None:
    server.session.ping()
    server.hear()
    server.say()
    assert server.session.pongs == 1
    server.h2.ping(b"theirs!!")
    server.say()
    assert [one for one in server.hear() if isinstance(one, events.PingAckReceived)]


def test_what_is_given_up_is_told(server: Server) -> None:
    server.session.give_up(post(server))
    assert [one for one in server.hear() if isinstance(one, events.StreamReset)]


def test_an_answer_to_what_was_given_up_does_no_harm(server: Server) -> None:
    stream_id = post(server)
    server.answer(stream_id, body=b"{}")
    late = server.h2.data_to_send()
    server.session.give_up(stream_id)
    del server.session.streams[stream_id]
    assert server.session.take(late)
    server.hear()
    again = post(server)
    server.answer(again)
    assert server.say()
    assert server.session.streams[again].is_over
