"""A backlog in Kafka with the workers stopped: what it costs Celery's Redis and the dispatchers, then drained.

`python -m bench.backlog [--deliveries 1000000]`, on the services of infrastructure/services. Exit code 1: Redis took
more than 64 MB, the dispatchers grew, or something was lost.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import click
import redis

from app.domain.ids import delivery_id
from bench.stage import tracked
from infrastructure.services.layout import HOST
from tests.support.catalogue import write_catalogue
from tests.support.page import machine, version, write_between
from tests.support.real_stack import RealStack, running_real_stack
from tests.support.services import RealServices, running_services
from tests.support.stack_client import ROOT, wait_until

PAGE = ROOT / "docs" / "reliability.md"
REDIS_BYTES = 64 * 1024 * 1024
#: Dispatchers may grow by so much of what they had with the first tenth of the backlog; once workers go on, of what
#: they had in the first fifth of that time.
GROWTH = 0.10
EARLY = 5
EVENTS_A_REQUEST = 1000
CHANNELS = ("log", "in_app")
USERS = 20_000
DRAIN_WITHIN_S = 3000.0
LOOK_S = 5.0
TRACKED_WITHIN_S = 300.0


class Look(NamedTuple):
    """One look at what a backlog costs."""

    at_s: float
    accepted: int
    redis_bytes: int
    dispatcher_bytes: int


@click.command()
@click.option("--deliveries", default=1_000_000, show_default=True, type=click.IntRange(min=1000))
def backlog(deliveries: int) -> None:
    """Post them while the workers stand still, look at memory, let the workers go on, and count."""
    services = running_services()
    with tempfile.TemporaryDirectory(prefix="backlog-") as name:
        folder = Path(name)
        catalogue = str(write_catalogue(folder))
        with running_real_stack(services, folder, CATALOGUE=catalogue, LIMIT_USER="", LOG_LEVEL="warning") as stack:
            problems = _run(stack, services, deliveries)
    for problem in problems:
        click.echo(f"fell short: {problem}")
    sys.exit(1 if problems else 0)


def _run(stack: RealStack, services: RealServices, deliveries: int) -> list[str]:
    stack.signal_workers(signal.SIGSTOP)
    looks: list[Look] = []
    started_s = time.monotonic()
    accepted: list[str] = []
    try:
        accepted = _post(stack, services, deliveries, looks)
        posted_s = time.monotonic() - started_s
        _wait_routed(stack)
        looks.append(_look(stack, services, started_s, len(accepted)))
        _show(looks[-1])
    finally:
        stack.signal_workers(signal.SIGCONT)
    drain_started_s = time.monotonic()
    drained: list[Look] = []
    lost = _drain(stack, accepted, lambda: drained.append(_look(stack, services, started_s, len(accepted))))
    drain_s = time.monotonic() - drain_started_s
    return _tell(looks, drained, len(accepted), posted_s, drain_s, lost)


def _post(stack: RealStack, services: RealServices, deliveries: int, looks: list[Look]) -> list[str]:
    """Post low events with one delivery on each of `CHANNELS`; the delivery ids by `notification user`."""
    accepted: list[str] = []
    started_s = look_at_s = time.monotonic()
    number = 0
    while len(accepted) * len(CHANNELS) < deliveries:
        events = []
        for _ in range(EVENTS_A_REQUEST):
            number += 1
            options = {"priority": "low", "channels": list(CHANNELS)}
            user = f"backlog-{number % USERS}"
            events.append(
                {
                    "user_id": user,
                    "event_type": "load_low",
                    "content": "Something happened",
                    "options": options,
                    "idempotency_key": f"backlog-{number}",
                }
            )
        accepted += _post_all(stack, events)
        if time.monotonic() > look_at_s:
            looks.append(_look(stack, services, started_s, len(accepted)))
            _show(looks[-1])
            look_at_s = time.monotonic() + LOOK_S
    return accepted


def _post_all(stack: RealStack, events: Sequence[dict[str, object]]) -> list[str]:
    """Until all are accepted."""
    body = b"\n".join(json.dumps(event).encode() for event in events)
    while True:
        answer = stack.request("POST", "/api/v1/notifications/batch", body, {"Content-Type": "application/x-ndjson"})
        if answer.status == 202:
            return [
                f"{item['id']} {event['user_id']}" for item, event in zip(answer.json["items"], events, strict=True)
            ]
        assert answer.status in (207, 503), answer
        time.sleep(0.5)


def _wait_routed(stack: RealStack) -> None:
    """Until the routers have passed everything on to the lanes."""

    def is_routed() -> bool:
        shown = stack.manage("queues", "--all", "--json")
        rows = {row["lane"]: row for row in json.loads(shown.stdout or "[]")}
        return bool(rows) and all(not row["kafka"] for lane, row in rows.items() if "raw" in lane)

    wait_until(is_routed, "all is routed", DRAIN_WITHIN_S, look_s=LOOK_S)


def _look(stack: RealStack, services: RealServices, started_s: float, accepted: int) -> Look:
    client = redis.Redis(host=HOST, port=services.layout.redis_broker_port)
    used = int(client.info("memory")["used_memory"])
    client.close()
    resident = sum(one.memory_info().rss for one in stack.processes("dispatcher"))
    return Look(time.monotonic() - started_s, accepted * len(CHANNELS), used, resident)


def _show(look: Look) -> None:
    click.echo(
        f"{look.at_s:6.0f} s  {look.accepted:>8} deliveries  redis-broker {look.redis_bytes / 2**20:6.1f} MB"
        f"  dispatchers {look.dispatcher_bytes / 2**20:6.1f} MB"
    )


def _drain(stack: RealStack, accepted: Sequence[str], look: Callable[[], None]) -> int:
    """Wait until nothing waits, and look now and then; how many of the deliveries are not final in the history."""

    def is_idle() -> bool:
        look()
        shown = stack.manage("queues", "--json")
        return shown.returncode == 0 and shown.stdout.strip() == "[]"

    wait_until(is_idle, "all is drained", DRAIN_WITHIN_S, look_s=LOOK_S)
    deliveries = len(accepted) * len(CHANNELS)
    wait_until(lambda: tracked(stack) >= deliveries, "all is in the history", DRAIN_WITHIN_S, look_s=LOOK_S)
    ids = {delivery_id(*line.split(" "), channel): line.split(" ")[0] for line in accepted for channel in CHANNELS}
    missing = ids.keys() - stack.history.final_deliveries().keys()
    # What was recorded twice was counted for another.
    until_s = time.monotonic() + TRACKED_WITHIN_S
    while missing and time.monotonic() < until_s:
        time.sleep(LOOK_S)
        missing -= stack.history.final_deliveries({ids[key] for key in missing}).keys()
    return len(missing)


def _tell(
    looks: Sequence[Look], drained: Sequence[Look], accepted: int, posted_s: float, drain_s: float, lost: int
) -> list[str]:
    deliveries = accepted * len(CHANNELS)
    early = next(look for look in looks if look.accepted >= deliveries / 10).dispatcher_bytes
    most = _most(looks)
    early_drained, most_drained = _most(drained[: max(1, len(drained) // EARLY)]), _most(drained)
    redis_most, redis_drained = (max(look.redis_bytes for look in some) for some in (looks, drained))
    text = (
        f"Version {version()}, {datetime.now(UTC):%Y-%m-%d}, {machine()}; `python -m bench.backlog`.\n\n"
        "| | |\n| --- | --- |\n"
        f"| deliveries posted while the workers stood still | {deliveries:,} in {posted_s:.0f} s |\n"
        f"| redis-broker at most, while workers stood still, and as they went on "
        f"| {_mb(redis_most)}, {_mb(redis_drained)} |\n"
        f"| both dispatchers at a tenth of the backlog, and at most while workers stood still "
        f"| {_mb(early)}, {_mb(most)} |\n"
        f"| both dispatchers at most in the first fifth of the time that workers went on, and at most "
        f"| {_mb(early_drained)}, {_mb(most_drained)} |\n"
        f"| drained in | {drain_s:.0f} s ({deliveries / drain_s:,.0f} deliveries/s) |\n"
        f"| lost | {lost} |"
    )
    click.echo(text)
    write_between(PAGE, "backlog", text)
    problems = []
    if max(redis_most, redis_drained) > REDIS_BYTES:
        problems.append(f"redis-broker took {_mb(max(redis_most, redis_drained))}")
    for before, after in ((early, most), (early_drained, most_drained)):
        if after / before - 1 > GROWTH:
            problems.append(f"the dispatchers grew from {_mb(before)} to {_mb(after)}")
    if lost:
        problems.append(f"{lost} lost")
    return problems


def _most(looks: Sequence[Look]) -> int:
    return max(look.dispatcher_bytes for look in looks)


def _mb(size: int) -> str:
    return f"{size / 2**20:.1f} MB"


if __name__ == "__main__":
    backlog()
