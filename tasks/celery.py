"""The Celery app (`celery -A tasks worker -Q high,medium,low`), and what a worker does when it starts."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

import structlog
from celery import Celery, signals
from celery.exceptions import SecurityWarning

from app.domain.errors import StoreUnavailableError
from app.domain.lane import expand_queues
from app.domain.meter import METER
from app.settings import settings
from infrastructure import wiring
from infrastructure.embedded.ready import BEAT_S, mark_ready
from infrastructure.redis.workers import WORKER_TTL_S
from infrastructure.telemetry.exposition import Exposition, metrics_of
from infrastructure.telemetry.logs import configure_logs
from infrastructure.telemetry.metrics_server import serve_metrics
from tasks import measure
from tasks.context import StepContext, build_context

app = Celery("notify", config_source="celeryconfig")

_log = structlog.get_logger()
_is_leaving = threading.Event()


@functools.cache
def step_context() -> StepContext:
    """What the steps of this process work with, made at the first batch: never before a fork."""
    return build_context(settings())


@functools.cache
def broker_errors() -> tuple[type[Exception], ...]:
    """What the broker's transport raises when it is away."""
    connection = app.connection_for_write()
    found = (*connection.connection_errors, *connection.channel_errors)
    return tuple(kind for kind in found if issubclass(kind, Exception))


# As root Celery prints seven lines for each pool; whoever runs it as root in a container knows.
warnings.filterwarnings("ignore", category=SecurityWarning)


@signals.setup_logging.connect
def _set_up_logs(**_: Any) -> None:
    configure_logs(settings())


@signals.celeryd_after_setup.connect
def _expand_queues(instance: Any, **_: Any) -> None:
    """`-Q high,medium,low`: each priority stands for all its lanes, in the order given."""
    queues = instance.app.amqp.queues
    queues.select(expand_queues(list(queues.consume_from)))


@signals.worker_init.connect
def _before_fork(**_: Any) -> None:
    wiring.preload(settings())
    measure.open_channel()


@signals.worker_ready.connect
def _announce(sender: Any, **_: Any) -> None:
    """Tell the dispatcher of the children here, now and again."""
    registry = wiring.worker_registry(settings())
    queues = list(sender.app.amqp.queues.consume_from)

    def announce() -> None:
        try:
            registry.announce(sender.hostname, queues, sender.pool.num_processes)
        except StoreUnavailableError:
            _log.warning("worker_not_announced", worker=sender.hostname)

    announce()
    # Not in the worker's own loop, which gives out batches: an announcement may have to wait for Redis.
    _repeat(announce, WORKER_TTL_S / 3)
    pool = sender.hostname.partition("@")[0]
    measure.receive()
    serve_metrics(settings(), pool, Exposition(metrics_of("worker")).registry)
    mark_ready(settings(), pool)
    sender.timer.call_repeatedly(BEAT_S, mark_ready, (settings(), pool))


def _repeat(act: Callable[[], None], every_s: float) -> None:
    """Do it again and again, until the worker shuts down."""

    def run() -> None:
        while not _is_leaving.wait(every_s):
            act()

    threading.Thread(target=run, name="announcer", daemon=True).start()


@signals.worker_shutting_down.connect
def _withdraw(sender: Any, **_: Any) -> None:
    _is_leaving.set()
    try:
        wiring.worker_registry(settings()).withdraw(str(sender))
    except StoreUnavailableError:
        _log.warning("worker_not_withdrawn", worker=str(sender))


@signals.worker_process_init.connect
def _after_fork(**_: Any) -> None:
    METER.reset()
    wiring.dispose_after_fork()
    step_context().warm_up()


@signals.worker_process_shutdown.connect
def _before_exit(**_: Any) -> None:
    wiring.close()
