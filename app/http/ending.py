"""What ends a program elsewhere would end only one request's thread here: then the server process is to end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import flask
import structlog

from app.http.problems import RETRY_AFTER_S, UNAVAILABLE, respond

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()


def end_process() -> None:
    """Stop as when told to: requests under way are answered. Whoever watches the process starts it again."""
    os.kill(os.getpid(), signal.SIGTERM)


def install(app: flask.Flask, end: Callable[[], None] = end_process) -> None:
    """Answer a request that raises SystemExit with 503, readiness among them, and `end` once."""
    app.wsgi_app = _Ending(app.wsgi_app, end)  # type: ignore[method-assign]  # as Flask's documentation has it


class _Ending:
    def __init__(self, wsgi: WSGIApplication, end: Callable[[], None]) -> None:
        self._wsgi = wsgi
        self._end = end
        self._lock = threading.Lock()
        self._is_ending = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self._wsgi(environ, start_response)
        except SystemExit as error:
            self._end_once(str(error.code))
        problem = UNAVAILABLE.problem("The service starts again; try again later.", retry_after_s=RETRY_AFTER_S)
        return respond(problem)(environ, start_response)

    def _end_once(self, why: str) -> None:
        with self._lock:
            is_first, self._is_ending = not self._is_ending, True
        if is_first:
            log.critical("http_ends", error=why)
            self._end()
