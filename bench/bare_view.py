"""The least a Flask view can do with an event: read its JSON, and answer 202.

`python -m bench.bare_view PORT WORKERS`
"""

from __future__ import annotations

import sys

import flask
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.mp import MPServer

from app.settings import settings


def create() -> flask.Flask:
    """The application."""
    app = flask.Flask(__name__)

    @app.post("/api/v1/notifications")
    def accept() -> tuple[dict[str, str], int]:
        flask.request.get_json()
        return {"id": "00000000-0000-0000-0000-000000000000", "status": "accepted"}, 202

    return app


def main(port: int, workers: int) -> None:
    """Serve with the options of the HTTP service."""
    MPServer(
        "bench.bare_view:create",
        factory=True,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=settings().http_threads,
        websockets=False,
        log_access=False,
        log_level=LogLevels.error,
    ).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
