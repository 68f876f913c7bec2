"""`manage.py bridge`: the loops between HTTP's topic, the lanes, Celery and the history."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

import click

from app.settings import Settings, settings
from bridges.gauges import serve_bridges
from bridges.loop import Bridge, Stop, run
from bridges.topic_check import warn_of_topics
from infrastructure import wiring
from infrastructure.telemetry.logs import configure_logs


def _router(config: Settings) -> Bridge:
    from bridges.router import Router

    return Router(config)


def _dispatcher(config: Settings) -> Bridge:
    from bridges.dispatcher import Dispatcher

    return Dispatcher(config)


def _tracker(config: Settings) -> Bridge:
    from bridges.tracker import Tracker

    return Tracker(config)


def _scheduler(config: Settings) -> Bridge:
    from bridges.scheduler import Scheduler

    return Scheduler(config)


def _callbacks(config: Settings) -> Bridge:
    from bridges.callbacks import Callbacks

    return Callbacks(config)


_BRIDGES: dict[str, Callable[[Settings], Bridge]] = {
    "router": _router,
    "dispatcher": _dispatcher,
    "tracker": _tracker,
    "scheduler": _scheduler,
    "callbacks": _callbacks,
}
#: Those that would lose most by topics that keep too little.
_CHECKS_TOPICS = ("router", "dispatcher")


@click.group()
def bridge() -> None:
    """Run a bridge: router, dispatcher, tracker, scheduler, callbacks, or all of them in one process."""
    configure_logs(settings())
    wiring.check_retention(settings())


def _command(name: str) -> click.Command:
    def start() -> None:
        if name in _CHECKS_TOPICS:
            warn_of_topics(settings())
        made = _BRIDGES[name](settings())
        serve_bridges([made], settings(), name)
        run(made, settings(), Stop().on_signals())

    return click.Command(name, callback=start, help=f"Run the {name}.")


for _name in _BRIDGES:
    bridge.add_command(_command(_name))


@bridge.command("all")
def run_all() -> None:
    """Run all bridges in one process: for small installations. Callbacks only where NOTIFY_HTTP_AUTH is keys."""
    config, stop = settings(), Stop().on_signals()
    failed: list[str] = []
    warn_of_topics(config)
    made = [build(config) for name, build in _BRIDGES.items() if name != "callbacks" or config.has_callbacks]
    serve_bridges(made, config, "bridges")
    threads = [threading.Thread(target=_run_and_stop, args=(one, config, stop, failed), name=one.name) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(1)


def _run_and_stop(one: Bridge, config: Settings, stop: Stop, failed: list[str]) -> None:
    """One bridge of several: where it fails, all end, so that whoever watches the process starts it again."""
    failed.append(one.name)
    try:
        run(one, config, stop)
        failed.remove(one.name)
    finally:
        stop.set()


@bridge.command("evacuate")
def evacuate() -> None:
    """Park what is left in Kafka: the embedded broker keeps nothing over a stop."""
    from bridges.evacuation import evacuate as park_all

    click.echo(f"parked {park_all(settings())} deliveries")
