"""Who is asking, and whether that has to be known."""

from __future__ import annotations

import flask
import structlog

from app.domain.bind import parse_bind
from app.domain.errors import ConfigError
from app.settings import Settings

ANONYMOUS = "anonymous"

log = structlog.get_logger()


def caller() -> str:
    """The caller of the request at hand: the id of its API key, the same for all where none is asked for.

    Idempotency-Keys of one caller, and the ids made of them, are nothing to another.
    """
    name: str = flask.g.get("caller", ANONYMOUS)
    return name


def caller_is(name: str) -> None:
    """Note the caller of the request at hand."""
    flask.g.caller = name


def check_auth(settings: Settings) -> None:
    """Refuse to start where it was not said that anybody may use the service. Raises ConfigError."""
    bind = parse_bind(settings.http_bind, "NOTIFY_HTTP_BIND")
    if bind.is_loopback or settings.http_auth == "keys":
        return
    if settings.http_auth != "none":
        raise ConfigError(
            f"NOTIFY_HTTP_AUTH must be set to listen on {bind} (NOTIFY_HTTP_BIND): keys asks every caller for an "
            "API key; with none whoever reaches that address may send to anybody"
        )
    log.warning("http_auth_is_none", bind=str(bind))
