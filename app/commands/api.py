"""`manage.py api`: the HTTP service."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import click
import structlog
from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.mp import MPServer

from app.domain.bind import Bind, parse_bind
from app.domain.errors import ConfigError
from app.http.auth import check_auth
from app.settings import Settings, settings
from infrastructure import wiring
from infrastructure.embedded.ports import Listener, check_free
from infrastructure.telemetry.logs import configure_logs

TARGET = "app.http.wsgi:create"
BIND = "NOTIFY_HTTP_BIND"
#: A worker of a server that was just killed needs a moment to let go of the port.
PORT_WAIT_S = 1.0
PORT_POLL_S = 0.05

log = structlog.get_logger()


@click.command()
@click.option("--workers", default=1, show_default=True, type=click.IntRange(min=1), help="Processes that answer.")
def api(workers: int) -> None:
    """Run the HTTP service until SIGTERM or SIGINT; requests under way are answered first."""
    current = settings()
    configure_logs(current)
    bind = parse_bind(current.http_bind, BIND)
    check_auth(current)
    wiring.check_retention(current)
    wait_until_free([Listener("the HTTP service", bind.host, bind.port, BIND)])
    make_server(current, bind, workers).serve()


def wait_until_free(listeners: Sequence[Listener]) -> None:
    """Raises ConfigError naming address and setting where an address stays taken.

    The server itself would not tell: it shares its port with whoever has it and allows that.
    """
    until = time.monotonic() + PORT_WAIT_S
    while True:
        try:
            check_free(listeners)
        except ConfigError:
            if time.monotonic() >= until:
                raise
            time.sleep(PORT_POLL_S)
        else:
            return


def make_server(current: Settings, bind: Bind, workers: int) -> MPServer:
    """The server over the application; it starts nothing before `serve`."""
    server = MPServer(
        TARGET,
        factory=True,
        address=bind.host,
        port=bind.port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=current.http_threads,
        websockets=False,
        log_access=False,
        log_level=LogLevels.error,
        respawn_failed_workers=workers > 1,
        workers_kill_timeout=stop_timeout_s(current),
    )
    server.on_startup(lambda: log.info("http_listening", bind=str(bind), workers=workers))
    return server


def stop_timeout_s(current: Settings) -> int:
    """Seconds after which a worker that does not stop is killed: more than its slowest request may take."""
    return math.ceil(current.longest_intake_s) + 1
