"""The parts of `manage.py up`: what each runs, what it waits for, how urgent it is, and in which order all stop."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from app.commands.worker import worker_argv
from app.domain.bind import parse_bind
from app.settings import PREFIX, Settings
from infrastructure.embedded import kafka, redis
from infrastructure.embedded.checks import accepts, answers_200
from infrastructure.embedded.part import Part, Stage
from infrastructure.embedded.ports import Listener
from infrastructure.embedded.ready import ready_path

API: Final = "api"
MAILBOX: Final = "mailbox"
FLOWER: Final = "flower"
BRIDGES: Final = ("router", "dispatcher", "tracker", "scheduler")
#: The bridge that runs only where somebody may have callbacks.
CALLBACKS: Final = "callbacks"
#: What everything else stands on.
STORES: Final = ("broker", "redis", "migrate")
#: Under load high goes first: what may be late gives way.
NICE: Final = {"worker-low": 10, "worker": 5, "tracker": 5, CALLBACKS: 5, FLOWER: 10}
#: Longest stop of a part, seconds. Workers finish the batch in hand.
QUICK_S: Final = 5.0
BATCH_S: Final = 15.0
#: Longest time for parking what is left: a full broker holds some 100,000 deliveries.
EVACUATE_S: Final = 120.0


def parts(settings: Settings, root: Path, when_broker_ready: Callable[[], None]) -> list[Part]:
    """All parts, in order of start."""
    manage = functools.partial(_manage, root)
    return [
        Part(
            name="broker",
            argv=manage("broker"),
            is_vital=True,
            says_on_death=": the whole set starts again, and events not delivered yet may be lost",
            before_start=lambda: kafka.address_path(settings).unlink(missing_ok=True),
            is_ready=kafka.address_path(settings).is_file,
            when_ready=when_broker_ready,
        ),
        Part(
            name="redis",
            argv=redis.server_argv(redis.find_server(), settings),
            says_on_death=f" (see {redis.log_path(settings)})",
            is_ready=functools.partial(redis.is_up, settings),
            when_ready=functools.partial(redis.empty_broker, settings),
        ),
        Part(name="migrate", argv=manage("migrate", "--demo-user"), is_step=True),
        _served(settings, MAILBOX, manage("mailbox")),
        _served(settings, API, manage("api"), after=STORES),
        *(_marked(settings, name, manage("bridge", name)) for name in _bridges(settings)),
        *(_marked(settings, name, argv) for name, argv in _pools(settings).items()),
        _served(settings, FLOWER, manage("flower"), after=STORES),
    ]


def stop_plan(settings: Settings, root: Path) -> list[Stage]:
    """No new events first; then what is under way gets `drain_s`; what is left then goes to the parked table."""
    manage = functools.partial(_manage, root)
    return [
        Stage(names=[API], within_s=QUICK_S),
        Stage(
            names=["drain"],
            argv=manage("drain"),
            within_s=settings.drain_s + QUICK_S,  # it ends by itself after drain_s
            says=f"waiting up to {settings.drain_s:g} s for deliveries under way",
        ),
        Stage(names=["router"], within_s=QUICK_S),
        Stage(names=["dispatcher", *_pools(settings)], within_s=BATCH_S),
        Stage(names=["scheduler"], within_s=QUICK_S),
        Stage(names=["tracker"], within_s=QUICK_S),
        Stage(names=[CALLBACKS], within_s=settings.callback_timeout_s + QUICK_S),
        Stage(
            names=["evacuate"],
            argv=manage("bridge", "evacuate"),
            within_s=EVACUATE_S,
            says="parking what is left in Kafka",
        ),
        Stage(names=[MAILBOX, FLOWER], within_s=QUICK_S),
        Stage(names=["redis"], within_s=QUICK_S),
        Stage(names=["broker"], within_s=QUICK_S),
    ]


def listeners(settings: Settings) -> list[Listener]:
    """Every address the parts will listen on; Kafka's mock chooses a free one itself."""
    return [
        Listener(API, *_address(settings, "http_bind")),
        Listener(MAILBOX, *_address(settings, "mailbox_bind")),
        Listener(MAILBOX, *_address(settings, "smtp_bind")),
        Listener(FLOWER, *_address(settings, "flower_bind")),
        Listener("redis", redis.HOST, settings.redis_port, f"{PREFIX}REDIS_PORT"),
    ]


def _bridges(settings: Settings) -> Sequence[str]:
    return (*BRIDGES, CALLBACKS) if settings.has_callbacks else BRIDGES


def _pools(settings: Settings) -> dict[str, list[str]]:
    return {
        "worker-high": worker_argv("worker-high", ["high"], settings.children_high),
        "worker": worker_argv("worker", ["high", "medium", "low"], settings.children_all),
        "worker-low": worker_argv("worker-low", ["low", "medium", "high"], 1),
    }


def _served(settings: Settings, name: str, argv: Sequence[str], *, after: Sequence[str] = ()) -> Part:
    """A part that is ready once its address answers."""
    own = [listener for listener in listeners(settings) if listener.part == name]

    def is_ready() -> bool:
        if name == API:
            return answers_200(own[0].host, own[0].port, "/readyz")
        return all(accepts(listener.host, listener.port) for listener in own)

    return Part(name=name, argv=argv, after=after, nice=NICE.get(name, 0), is_ready=is_ready)


def _marked(settings: Settings, name: str, argv: Sequence[str]) -> Part:
    """A part that says so when it is ready."""
    mark = ready_path(settings, name)
    return Part(
        name=name,
        argv=argv,
        after=STORES,
        nice=NICE.get(name, 0),
        before_start=lambda: mark.unlink(missing_ok=True),
        is_ready=mark.exists,
    )


def _address(settings: Settings, field: str) -> tuple[str, int, str]:
    variable = f"{PREFIX}{field.upper()}"
    bind = parse_bind(getattr(settings, field), variable)
    return bind.host, bind.port, variable


def _manage(root: Path, *words: str) -> list[str]:
    return [sys.executable, str(root / "manage.py"), *words]
