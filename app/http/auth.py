"""Who is asking. API keys are not there yet: whoever can reach the service may use it."""

from __future__ import annotations

import structlog

from app.domain.bind import parse_bind
from app.domain.errors import ConfigError
from app.settings import Settings

log = structlog.get_logger()


def caller() -> str:
    """The caller of the request at hand; Idempotency-Keys of one caller are nothing to another."""
    return "anonymous"


def check_auth(settings: Settings) -> None:
    """Refuse to start where it was not said that anybody may use the service. Raises ConfigError."""
    bind = parse_bind(settings.http_bind, "NOTIFY_HTTP_BIND")
    if settings.http_auth == "keys":
        raise ConfigError("NOTIFY_HTTP_AUTH: API keys are not there yet; the only choice is none")
    if bind.is_loopback:
        return
    if settings.http_auth != "none":
        raise ConfigError(
            f"NOTIFY_HTTP_AUTH must be set to none to listen on {bind} (NOTIFY_HTTP_BIND): "
            "whoever reaches that address may then send to anybody"
        )
    log.warning("http_auth_is_none", bind=str(bind))
