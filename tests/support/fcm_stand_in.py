"""FCM and Google's token endpoint, as their documentation says: a real HTTP server that answers as a test tells it."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from app.domain.codec import encode

PROJECT = "shop-1"
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"

#: Status, body, headers; None: hang up without an answer.
Answer = tuple[int, bytes, dict[str, str]] | None


class Sent(NamedTuple):
    """One request to messages:send."""

    token: str
    message: dict[str, Any]
    headers: dict[str, str]
    path: str
    client_port: int


@dataclass
class FcmStandIn:
    """What came in. `dead` tokens are UNREGISTERED; `by_token` and `answers` come before that, one a request."""

    port: int = 0
    latency_s: float = 0.0
    token_life_s: float = 3600.0
    dead: set[str] = field(default_factory=set)
    by_token: dict[str, deque[Answer]] = field(default_factory=dict)
    answers: deque[Answer] = field(default_factory=deque)
    token_answers: deque[Answer] = field(default_factory=deque)
    sent: list[Sent] = field(default_factory=list)
    assertions: list[str] = field(default_factory=list)
    good_access: set[str] = field(default_factory=set)
    on_send: Callable[[Sent], None] = lambda _sent: None
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    _running: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def calls(self) -> Counter[str]:
        """Requests by token."""
        return Counter(one.token for one in self.sent)

    def forget_access(self) -> None:
        """Every access token that was given out has come to its end."""
        self.good_access.clear()

    def grant(self, assertion: str) -> Answer:
        with self.lock:
            self.assertions.append(assertion)
            if self.token_answers:
                return self.token_answers.popleft()
            value = f"access-{len(self.assertions)}"
            self.good_access.add(value)
        return 200, encode({"access_token": value, "expires_in": self.token_life_s, "token_type": "Bearer"}), {}

    def take(self, sent: Sent) -> Answer:
        with self.lock:
            self.sent.append(sent)
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
        time.sleep(self.latency_s)
        self.on_send(sent)
        with self.lock:
            self._running -= 1
            return self._answer(sent)

    def _answer(self, sent: Sent) -> Answer:
        if sent.headers.get("authorization", "").removeprefix("Bearer ") not in self.good_access:
            return error(401, "UNAUTHENTICATED")
        if planned := self.by_token.get(sent.token):
            return planned.popleft()
        if self.answers:
            return self.answers.popleft()
        if sent.token in self.dead:
            return error(404, "NOT_FOUND", "UNREGISTERED")
        return 200, encode({"name": f"projects/{PROJECT}/messages/{len(self.sent)}"}), {}


def error(status: int, code: str, own: str = "", *, fields: tuple[str, ...] = (), **headers: str) -> Answer:
    """An error as Google tells it; `retry_after` is Retry-After. The message quotes what must not be told on."""
    details: list[dict[str, Any]] = []
    if own:
        details.append({"@type": FCM_ERROR, "errorCode": own})
    if fields:
        wrong = [{"field": one, "description": "…"} for one in fields]
        details.append({"@type": BAD_REQUEST, "fieldViolations": wrong})
    body = {"error": {"code": status, "message": "about token-of-a-phone", "status": code, "details": details}}
    return status, encode(body), {name.replace("_", "-"): value for name, value in headers.items()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    fcm: FcmStandIn

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/token":
            self._write(self.fcm.grant(parse_qs(body.decode())["assertion"][0]))
            return
        message = json.loads(body)["message"]
        headers = {name.lower(): value for name, value in self.headers.items()}
        self._write(self.fcm.take(Sent(message["token"], message, headers, self.path, self.client_address[1])))

    def _write(self, answer: Answer) -> None:
        if answer is None:
            self.close_connection = True
            return
        status, body, headers = answer
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested."""


@contextmanager
def fcm_stand_in(**given: Any) -> Iterator[FcmStandIn]:
    """A running server."""
    fcm = FcmStandIn(**given)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"fcm": fcm}))
    fcm.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield fcm
    finally:
        server.shutdown()
        server.server_close()
