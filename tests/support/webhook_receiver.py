"""A real HTTP server for tests that answers webhooks as a test tells it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

Answer = Callable[["_Handler"], None]


class Request(NamedTuple):
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    client_port: int


@dataclass
class WebhookReceiver:
    """What came in, and the answers to come; without one it says 204."""

    port: int = 0
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)
    answers: deque[Answer] = field(default_factory=deque)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook?a=1"

    def then(self, *answers: Answer) -> None:
        """Answer the next requests so."""
        self.answers.extend(answers)


def status(code: int, **headers: str) -> Answer:
    """This status with these headers (`retry_after` is Retry-After) and no body."""

    def answer(handler: _Handler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def answering(code: int, body: bytes, **headers: str) -> Answer:
    """This status with this body, said to be JSON."""

    def answer(handler: _Handler) -> None:
        handler.send_response(code)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def garbage(handler: _Handler) -> None:
    """What is no HTTP."""
    handler.close_connection = True
    handler.wfile.write(b"\x00\xff nonsense\r\n\r\n")


def hang(handler: _Handler) -> None:
    """No answer."""
    handler.receiver.released.wait()
    handler.close_connection = True


def drop(handler: _Handler) -> None:
    """Hang up without an answer."""
    handler.close_connection = True


def drip(handler: _Handler) -> None:
    """A byte of the status line every 50 ms, for ever."""
    handler.close_connection = True
    while not handler.receiver.released.wait(0.05):
        try:
            handler.wfile.write(b"H")
        except OSError:
            return


def huge(handler: _Handler) -> None:
    """200 with a body that goes on as long as somebody reads it."""
    handler.close_connection = True
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 40))
    handler.end_headers()
    try:
        while not handler.receiver.released.is_set():
            handler.wfile.write(b"x" * 65536)
    except OSError:
        pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: WebhookReceiver

    def do_POST(self) -> None:
        self._take(self.rfile.read(int(self.headers["Content-Length"])))

    def do_GET(self) -> None:
        self._take(b"")

    def _take(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        receiver = self.receiver
        receiver.requests.append(Request(self.path, headers, body, self.client_address[1]))
        answer = receiver.answers.popleft() if receiver.answers else status(204)
        answer(self)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self._connections: list[socket.socket] = []

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.append(request)
        super().process_request(request, client_address)

    def hang_up(self) -> None:
        """Connections that are kept would live on."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested."""


@contextmanager
def webhook_receiver(tls: ssl.SSLContext | None = None) -> Iterator[WebhookReceiver]:
    """A running server."""
    receiver = WebhookReceiver(scheme="https" if tls else "http")
    server = _Quiet(type("Handler", (_Handler,), {"receiver": receiver}))
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    receiver.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.released.set()
        server.shutdown()
        server.server_close()
        server.hang_up()
