"""The running set that is measured: filled with users, fed through Kafka, its processor time by part."""

from __future__ import annotations

import contextlib
import signal
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import psutil
import sqlalchemy as sql
from confluent_kafka.admin import AdminClient, NewTopic

from app.domain.codec import encode
from app.domain.ports import RawRecord
from app.domain.users import Contacts, Preferences
from app.settings import Settings
from bench import events
from infrastructure import wiring
from infrastructure.services.services import all_services
from infrastructure.sql.engine import make_engine
from infrastructure.sql.schema import preferences
from infrastructure.sql.schema import users as users_table
from tests.support.any_stack import Profile
from tests.support.metrics import samples
from tests.support.real_stack import running_real_stack
from tests.support.services import RealServices, running_services
from tests.support.stack import PARTS as EMBEDDED_PARTS
from tests.support.stack import running_stack
from tests.support.stack_client import StackClient, wait_until

#: Limits are counted, and nobody reaches them.
SETTINGS: Final[Mapping[str, str]] = {"LIMIT_USER": "1000000/h", "LOG_LEVEL": "warning"}
#: Of each part one process, so that two cores are shared by few; pools as in the embedded set.
REPLICAS: Final[Mapping[str, int]] = {"router": 1, "dispatcher": 1, "tracker": 1, "scheduler": 1}
#: Children that serve the lane that is measured, in both profiles: those of `worker` and of `worker-low`.
CHILDREN: Final = 4
TRACKED: Final = "notify_tracked_outcomes_total"
STORES: Final = frozenset({"broker", "redis"})
REPLICATION: Final = 3
PUBLISH_AT_ONCE = 1000
PUBLISH_S = 10.0
ROWS_AT_ONCE = 1000
LOOK_S = 0.1
WITHIN_S = 600.0


class Stage(NamedTuple):
    """A running set, its settings, and the services beneath it (None: embedded)."""

    stack: StackClient
    settings: Settings
    services: RealServices | None


class Run(NamedTuple):
    """One measurement. `cpu_s` is the processor time by part, all of them together from the first to the last."""

    deliveries: int
    seconds: float
    cpu_s: Mapping[str, float]

    @property
    def a_second(self) -> float:
        return self.deliveries / self.seconds


@contextmanager
def running_stage(
    profile: Profile, folder: Path, *, replicas: Mapping[str, int] | None = None, **settings: str
) -> Iterator[Stage]:
    """A set with `events.USERS`, until the end of the block. `replicas`: of the real profile, beside `REPLICAS`."""
    given = {**SETTINGS, **settings}
    if profile == "embedded":
        with running_stack(folder, **given) as embedded:
            yield _filled(embedded, None)
        return
    services = running_services()
    with running_real_stack(services, folder, replicas={**REPLICAS, **(replicas or {})}, **given) as real:
        yield _filled(real, services)


def _filled(stack: StackClient, services: RealServices | None) -> Stage:
    stage = Stage(stack, Settings.load(stack.environ), services)
    add_users(stage.settings, 0, events.USERS)
    return stage


def add_users(settings: Settings, first: int, until: int) -> None:
    """Users of these numbers, with contacts and preferences."""
    engine = make_engine(settings.database_url, WITHIN_S)
    contacts, wishes = encode(Contacts()), encode(Preferences(channels={"marketing": {"email": False}}))
    for start in range(first, until, ROWS_AT_ONCE):
        ids = [events.user(number, until) for number in range(start, min(start + ROWS_AT_ONCE, until))]
        with engine.begin() as connection:
            person = {"contacts": contacts, "locale": "en", "timezone": "UTC"}
            connection.execute(sql.insert(users_table), [{"user_id": one, **person} for one in ids])
            connection.execute(sql.insert(preferences), [{"user_id": one, "body": wishes} for one in ids])
    engine.dispose()


def measure(stage: Stage, count: int, users: int = events.USERS, first: int = 0) -> Run:
    """So many events wait in Kafka; how long until the last one's row is in the history. Fails where one is not."""
    records = list(events.raw_records(count, wiring.secret(stage.settings), users=users, first=first))
    with paused(stage.stack, ["router"]):
        publish(stage.settings, records)
        before, cpu_s = tracked(stage.stack), processor_time(stage)
        started_s = time.monotonic()
    wait_until(lambda: tracked(stage.stack) - before >= count, "all is in the history", WITHIN_S, look_s=LOOK_S)
    seconds = time.monotonic() - started_s
    used_s = since(processor_time(stage), cpu_s)
    finals = stage.stack.history.final_deliveries({record.id for record in records})
    missing = {events.delivery_of(record) for record in records} - {key for key, is_ in finals.items() if is_ == "sent"}
    assert not missing, f"{len(missing)} of {count} were not sent"
    return Run(count, seconds, used_s)


def publish(settings: Settings, records: Sequence[RawRecord]) -> None:
    """Write accepted events to Kafka as the HTTP service does."""
    log = wiring.event_log(settings)
    for start in range(0, len(records), PUBLISH_AT_ONCE):
        errors = log.publish(list(records[start : start + PUBLISH_AT_ONCE]), PUBLISH_S)
        assert not any(errors), [error for error in errors if error][:1]


@contextmanager
def own_topic(stage: Stage, partitions: int) -> Iterator[str]:
    """A topic until the end of the block, by its name. The embedded broker makes it when it is written to."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    if stage.services is None:
        yield name
        return
    admin = AdminClient({"bootstrap.servers": stage.settings.kafka_bootstrap})
    for made in admin.create_topics([NewTopic(name, partitions, REPLICATION)]).values():
        made.result()
    try:
        yield name
    finally:
        for gone in admin.delete_topics([name]).values():
            gone.result()


def tracked(stack: StackClient) -> float:
    """Outcomes that trackers have written."""
    others = {part for part, _ in stack.metrics_targets()} - {"tracker"}  # some of them may stand still
    return sum(one.value for _, one in samples(stack, but=others) if one.name == TRACKED)


@contextmanager
def paused(stack: StackClient, parts: Sequence[str]) -> Iterator[None]:
    """These parts stand still until the end of the block. Shorter than Kafka's session time-out, or they lose it."""
    for part in parts:
        stack.signal_all(part, signal.SIGSTOP)
    try:
        yield
    finally:
        for part in parts:
            stack.signal_all(part, signal.SIGCONT)


def parts_of(stack: StackClient) -> list[str]:
    """All parts of the set that are no stores."""
    return [part for part in EMBEDDED_PARTS if part not in STORES]


def processor_time(stage: Stage) -> dict[str, float]:
    """Seconds of processor time that every part, and every store, has used so far."""
    found: defaultdict[str, float] = defaultdict(float)
    for part in [*parts_of(stage.stack), *(STORES if stage.services is None else ())]:
        found[part] += _used(stage.stack.processes(part))
    if stage.services is not None:
        for name, service in all_services(stage.services.layout).items():
            parent = service.process()
            found[name] += _used([parent, *parent.children(recursive=True)] if parent is not None else [])
    return dict(found)


def since(now: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """What came to it, by part."""
    return {part: seconds - before.get(part, 0.0) for part, seconds in now.items()}


def _used(found: Sequence[psutil.Process]) -> float:
    total = 0.0
    for one in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    return total
