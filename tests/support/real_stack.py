"""The real set as processes: what infrastructure/docker-compose.yml describes, on the services without containers."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil

from infrastructure.cassandra.schema import STEPS
from infrastructure.services.layout import HOST
from infrastructure.services.redis import servers as redis_servers
from infrastructure.services.service import accepts
from tests.support.compose import ComposeService, load_services, localised
from tests.support.keeper import Keeper, Kept, name_of_replicas
from tests.support.ports import free_port
from tests.support.real_history import RealHistory
from tests.support.real_reset import reset
from tests.support.real_stored import stored
from tests.support.services import RealServices
from tests.support.stack_client import (
    POOLS,
    ROOT,
    StackClient,
    ask,
    is_alive,
    processes_of,
    running,
    wait_until,
)

DATABASE = "notify_set"
#: Of this version's tables: those of another are never found in it.
KEYSPACE = f"notify_set_{zlib.crc32(repr(STEPS).encode()):08x}"
START_S = 150.0
STEP_S = 120.0
RESTART_S = 60.0
#: How long another set on the same services is waited for.
OTHERS_S = 900.0
SECRETS: Mapping[str, str] = {
    "NOTIFY_SECRET_KEY": "0f" * 32,
    "REDIS_PASSWORD": "unusedhere",
    "MYSQL_PASSWORD": "unusedhere",
    "MYSQL_ROOT_PASSWORD": "unusedhere",
    "FLOWER_PASSWORD": "seen",
}
#: Who stops when; all in a group together.
STOP_ORDER = (
    ("api",),
    ("router",),
    ("dispatcher",),
    POOLS,
    ("scheduler", "tracker", "callbacks", "flower", "mailbox"),
)


class RealStack(StackClient):
    """One set in `folder`. `settings` are NOTIFY_* without the prefix, for every part. Ports stay over a restart.

    `replicas` overrides how many of a part run; 0 leaves it out, as is left out what the file has for a profile only.
    `addresses` overrides where stores are.
    """

    profile = "real"
    history: RealHistory

    def __init__(
        self,
        services: RealServices,
        folder: Path,
        *,
        replicas: Mapping[str, int] | None = None,
        addresses: Mapping[str, str] | None = None,
        python_path: Path | None = None,
        **settings: str,
    ) -> None:
        self.services = services
        self.folder = folder
        self.log_path = folder / "up.log"
        self.port, self.mailbox_port, self.flower_port = free_port(), free_port(), free_port()
        self.redis_port = services.layout.redis_broker_port
        self.smtp_port = free_port()
        self._addresses = self._places() | dict(addresses or {})
        caller = {key: value for key, value in os.environ.items() if not key.startswith("NOTIFY_")}  # noqa: TID251 - the set runs in the caller's environment, less its settings
        self._outer = caller | ({"PYTHONPATH": str(python_path)} if python_path else {})
        self._settings = {f"NOTIFY_{name}": value for name, value in settings.items()}
        self._described = load_services(SECRETS)
        self._replicas = dict(replicas or {})
        self._keeper: Keeper | None = None
        self._held: IO[str] | None = None
        self._metrics: dict[str, str] = {}
        self.environ = self._environ(self._described["api"], "operator")
        self.history = RealHistory(self.environ)

    # its life

    def start(self) -> None:
        """Empty the stores, run the steps, start all parts and wait until they are ready."""
        self._start(is_fresh=True)

    def start_again(self) -> None:
        """The steps and the parts, on stores as they are."""
        self._start(is_fresh=False)

    def _start(self, *, is_fresh: bool) -> None:
        self._lock()
        if is_fresh:
            reset(self.services, DATABASE, KEYSPACE)
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        keeper = self._keeper = Keeper(ROOT, self.log_path)
        running.append(self)
        try:
            keeper.once([self._kept(one, one.name) for one in self._described.values() if one.is_step], STEP_S)
        except RuntimeError as error:
            raise AssertionError(f"{error}:\n{self.tail()}") from error
        parts = [
            self._kept(service, f"{service.name}-{number + 1}" if count > 1 else service.name)
            for service in self._described.values()
            if not service.is_step
            for count in [self._replicas.get(service.name, 0 if service.is_optional else service.replicas)]
            for number in range(count)
        ]
        keeper.keep(parts)
        try:
            wait_until(lambda: all(part.times_ready for part in parts), "all are ready", START_S)
        except AssertionError as error:
            missing = [part.name for part in parts if not part.times_ready]
            raise AssertionError(f"{error}, but for {missing}:\n{self.tail()}") from None

    def stop(self) -> int:
        """Stop it part by part; how many had to be killed. Fails where anything it started is left running."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return 0
        running.remove(self)
        sessions = {kept.process.pid for kept in keeper.all() if kept.process is not None}
        names = {name for one in keeper.names() for name in (one, name_of_replicas(one))}
        killed = keeper.stop([[name for name in group if name in names] for group in STOP_ORDER])
        self.history.close()
        left = [one for one in processes_of(sessions) if is_alive(one)]
        for one in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        assert not left, f"left running: {left}"
        return len(killed)

    def _lock(self) -> None:
        """One set at a time stands on the services: the names of topics are the product's."""
        if self._held is None:
            self._held = (self.services.layout.folder / "set.lock").open("w")
            wait_until(lambda: _is_locked(self._held), "no other set stands on the services", OTHERS_S, look_s=0.5)

    def close(self) -> None:
        """Let another set stand on the services, which empties them: there is nothing left to start again."""
        self.history.close()
        held, self._held = self._held, None
        if held is not None:
            held.close()

    @property
    def is_running(self) -> bool:
        return self._keeper is not None

    # its parts

    def add(self, part: str) -> str:
        """Start one more of a part while the others run, and wait until it is ready; its name."""
        number = len(self.keeper.parts(part)) + 1
        more = self._kept(self._described[part], f"{part}-{number}")
        self.keeper.keep([more])
        wait_until(lambda: more.times_ready, f"{more.name} is ready", START_S)
        return more.name

    def take_away(self, name: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop one for good, by this signal."""
        self.keeper.forget(name, number)

    def checks(self) -> dict[str, tuple[list[str], dict[str, str]]]:
        """Command line and environment of the health check of every process that has one, by its name."""
        return {
            name: (localised(service, self._addresses | self._own(name)).check, self._environ(service, name))
            for name in self.keeper.names()
            for service in [self._described[name_of_replicas(name)]]
            if service.check
        }

    def process(self, part: str) -> psutil.Process:
        """The part's (first) process, as soon as it runs (again)."""

        def find() -> psutil.Process | None:
            for kept in self.keeper.parts(part):
                if kept.process is not None and kept.process.poll() is None:
                    return psutil.Process(kept.process.pid)
            return None

        found: psutil.Process = wait_until(find, f"{part} runs", RESTART_S)
        return found

    def processes(self, part: str) -> list[psutil.Process]:
        """Those of all replicas, and what they started; none of a part that was left out."""
        found: list[psutil.Process] = []
        if self._replicas.get(part) == 0:
            return found
        for kept in self.keeper.parts(part):
            if kept.process is not None and kept.process.poll() is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    parent = psutil.Process(kept.process.pid)
                    found += [parent, *parent.children(recursive=True)]
        return found

    def children(self, pool: str) -> list[psutil.Process]:
        """The children of a pool of workers."""
        return [child for child in self.process(pool).children() if is_alive(child)]

    def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the own process of each replica of the part a signal; `router-1` is one replica."""
        for kept in self.keeper.parts(part):
            if kept.process is not None and kept.process.poll() is None:
                kept.process.send_signal(number)

    def times_ready(self, part: str) -> int:
        """How often all replicas of the part have become ready since the start."""
        return min(kept.times_ready for kept in self.keeper.parts(part))

    def wait_ready(self, part: str, times: int) -> None:
        """Until it has become ready so many times."""
        wait_until(lambda: self.times_ready(part) >= times, f"{part} is ready ({times})", RESTART_S)

    @property
    def keeper(self) -> Keeper:
        assert self._keeper is not None, "the set does not run"
        return self._keeper

    @contextmanager
    def redis_frozen(self) -> Iterator[None]:
        """Both servers are stopped as long as the block lasts."""
        servers = redis_servers(self.services.layout)
        for one in servers:
            one.send(signal.SIGSTOP)
        try:
            yield
        finally:
            for one in servers:
                one.send(signal.SIGCONT)

    # what it says and stores

    def endpoints(self) -> dict[str, str]:
        """The addresses of its environment."""
        return {name.removeprefix("NOTIFY_").lower(): value for name, value in self.environ.items()}

    def metrics_targets(self) -> Sequence[tuple[str, str]]:
        """What each process has logged, of those that still listen there."""
        told = [(part, json.loads(line)["bind"]) for part, line in self.lines() if '"metrics_listening"' in line]
        latest = {address: part for part, address in told}
        return [(part, address) for address, part in latest.items() if accepts(int(address.rpartition(":")[2]))]

    def stored(self) -> bytes:
        """All rows of all tables of MariaDB and Cassandra."""
        return stored(self.environ["NOTIFY_DATABASE_URL"], self.services.cassandra, KEYSPACE)

    def _flower_user(self) -> str:
        return f"flower:{SECRETS['FLOWER_PASSWORD']}"

    # from the description to this machine

    def _places(self) -> dict[str, str]:
        layout = self.services.layout
        brokers = {f"kafka-{node + 1}:9092": f"{HOST}:{layout.kafka_port + node}" for node in range(3)}
        return brokers | {
            "redis-broker:6379": f"{HOST}:{layout.redis_broker_port}",
            "redis-state:6379": f"{HOST}:{layout.redis_state_port}",
            "mysql:3306": f"{HOST}:{layout.mariadb_port}",
            "cassandra:9042": self.services.cassandra,
            "mailbox:1025": f"{HOST}:{self.smtp_port}",
            "0.0.0.0:1025": f"{HOST}:{self.smtp_port}",
            "0.0.0.0:8080": f"{HOST}:{self.port}",
            "0.0.0.0:8025": f"{HOST}:{self.mailbox_port}",
            "0.0.0.0:5555": f"{HOST}:{self.flower_port}",
        }

    def _own(self, name: str) -> dict[str, str]:
        """What each replica has for itself."""
        folder = self.folder / "parts" / name
        folder.mkdir(parents=True, exist_ok=True)
        self._metrics.setdefault(name, f"{HOST}:{free_port()}")
        return {"0.0.0.0:9464": self._metrics[name], "/run/notify": str(folder), "/var/lib/notify": str(folder)}

    def _environ(self, service: ComposeService, name: str) -> dict[str, str]:
        """The service's environment as it is written there, with addresses of here; stores ask no password."""
        environment = localised(service, self._addresses | self._own(name)).environment
        found = {key: re.sub(r"://:?[^@/]*@", "://", value) for key, value in environment.items()}
        if "NOTIFY_DATABASE_URL" in found:
            found["NOTIFY_DATABASE_URL"] = f"{self.services.database}/{DATABASE}"
            address = self._addresses["cassandra:9042"]
            found["NOTIFY_HISTORY_URL"] = f"cassandra://{address}/{KEYSPACE}?rf=1"
        return self._outer | found | self._settings

    def _kept(self, service: ComposeService, name: str) -> Kept:
        argv = localised(service, self._addresses | self._own(name)).argv
        mark = self.folder / "parts" / name / "ready" / service.name

        def is_ready() -> bool:
            if service.name == "api":
                return _answers(self.port, "/readyz")
            if service.name in ("flower", "mailbox"):
                return _answers(self.flower_port if service.name == "flower" else self.mailbox_port, "/")
            return mark.exists()

        return Kept(
            name, argv, self._environ(service, name), is_ready, before_start=lambda: mark.unlink(missing_ok=True)
        )


def _is_locked(file: IO[str] | None) -> bool:
    assert file is not None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _answers(port: int, path: str) -> bool:
    try:
        return ask(port, "GET", path).status < 500
    except OSError:
        return False


@contextmanager
def running_real_stack(
    services: RealServices,
    folder: Path,
    *,
    replicas: Mapping[str, int] | None = None,
    addresses: Mapping[str, str] | None = None,
    python_path: Path | None = None,
    **settings: str,
) -> Iterator[RealStack]:
    """A set until the end of the block; stopped, and nothing left, also where the block fails."""
    stack = RealStack(services, folder, replicas=replicas, addresses=addresses, python_path=python_path, **settings)
    try:
        stack.start()
        yield stack
    finally:
        try:
            killed = stack.stop()
        finally:
            stack.close()
    assert not killed, "a part did not stop by itself"
