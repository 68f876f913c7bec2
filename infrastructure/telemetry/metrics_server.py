"""`/metrics` of a process that serves no HTTP otherwise, on an address of its own."""

from __future__ import annotations

import errno

import structlog
from prometheus_client import CollectorRegistry, start_http_server

from app.domain.bind import Bind, parse_bind
from app.domain.errors import ConfigError
from app.settings import PREFIX, Settings
from infrastructure.telemetry.targets import write_target

VARIABLE = f"{PREFIX}METRICS_BIND"
#: How many ports are tried, from the one that is set on: several processes of a machine may have the same setting.
PORTS = 32

_log = structlog.get_logger()


def serve_metrics(settings: Settings, part: str, registry: CollectorRegistry) -> Bind | None:
    """Serve them from a thread; the address (None: the setting is empty). Raises ConfigError where none can be had."""
    if not settings.metrics_bind:
        return None
    bind = _listen(parse_bind(settings.metrics_bind, VARIABLE, any_port=True), registry)
    _log.info("metrics_listening", part=part, bind=str(bind))
    write_target(settings, part, str(bind))
    return bind


def _listen(wanted: Bind, registry: CollectorRegistry) -> Bind:
    for port in range(wanted.port, wanted.port + PORTS):
        try:
            server, _ = start_http_server(port, wanted.host, registry)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigError(f"{VARIABLE}: {wanted} cannot be used: {error.strerror or error}") from error
        else:
            return Bind(wanted.host, int(server.server_port))
    raise ConfigError(f"{VARIABLE}: {wanted} and the {PORTS - 1} ports behind it are taken")
