"""The real set as processes: what infrastructure/docker-compose.yml describes, on the services without containers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil

from infrastructure.services.layout import HOST
from tests.support.compose import ComposeService, load_services, localised
from tests.support.keeper import Keeper, Kept
from tests.support.real_history import RealHistory
from tests.support.real_reset import reset
from tests.support.redis_server import free_port
from tests.support.services import RealServices
from tests.support.stack_client import ROOT, StackClient, ask, wait_until

DATABASE = "notify_set"
KEYSPACE = "notify_set"
START_S = 150.0
STEP_S = 120.0
RESTART_S = 60.0
#: How long another set on the same services is waited for.
OTHERS_S = 900.0
TAIL_LINES = 60
POOLS = ("worker-high", "worker", "worker-low")
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
    ("scheduler", "tracker", "flower", "mailbox"),
)


class RealStack(StackClient):
    """One set in `folder`. `settings` are NOTIFY_* without the prefix, for every part. Ports stay over a restart.

    `replicas` overrides how many of a part run; 0 leaves it out. `addresses` overrides where stores are.
    """

    profile = "real"

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
        self.state = folder / "state"
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
        self._log_start = 0
        self._held: IO[str] | None = None
        self.metrics: dict[str, str] = {}
        self.environ = self._environ(self._described["api"], "operator")
        self.history = RealHistory(self.environ)

    # its life

    def start(self, *, fresh: bool = True) -> None:
        """Empty the stores (`fresh`), run the steps, start all parts and wait until they are ready."""
        self._lock()
        if fresh:
            reset(self.services, DATABASE, KEYSPACE)
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        keeper = self._keeper = Keeper(ROOT, self.log_path)
        steps = [one for one in self._described.values() if one.is_step]
        for step in steps:
            argv = localised(step, self._addresses | self._own(step.name)).argv
            code = keeper.once(step.name, argv, self._environ(step, step.name), STEP_S)
            assert code == 0, f"{step.name} ended with {code}:\n{self.tail()}"
        parts = [
            self._kept(service, f"{service.name}-{number + 1}" if count > 1 else service.name)
            for service in self._described.values()
            if not service.is_step
            for count in [self._replicas.get(service.name, service.replicas)]
            for number in range(count)
        ]
        keeper.keep(parts)
        wait_until(lambda: all(part.times_ready for part in parts), f"all are ready:\n{self.tail()}", START_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it part by part; 0 where none had to be killed."""
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            self._unlock()
            return 0
        names = {name for one in keeper.names() for name in (one, one.rpartition("-")[0])}
        killed = keeper.stop([[name for name in group if name in names] for group in STOP_ORDER])
        self.history.close()
        self._unlock()
        return len(killed)

    def _lock(self) -> None:
        """One set at a time stands on the services: the names of topics are the product's."""
        if self._held is None:
            self._held = (self.services.layout.folder / "set.lock").open("w")
            wait_until(lambda: _is_locked(self._held), "no other set stands on the services", OTHERS_S, look_s=0.5)

    def _unlock(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            held.close()

    @property
    def is_running(self) -> bool:
        return self._keeper is not None

    # its parts

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
        """All processes of the part: its replicas, and what they started."""
        found: list[psutil.Process] = []
        for kept in self.keeper.parts(part):
            if kept.process is not None and kept.process.poll() is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    parent = psutil.Process(kept.process.pid)
                    found += [parent, *parent.children(recursive=True)]
        return found

    def children(self, pool: str) -> list[psutil.Process]:
        """The children of a pool of workers."""
        return [child for child in self.process(pool).children() if _is_alive(child)]

    def kill(self, part: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the own process of each replica of the part a signal; `router-1` is one replica."""
        for kept in self.keeper.parts(part):
            if kept.process is not None and kept.process.poll() is None:
                kept.process.send_signal(number)

    def kill_child(self, pool: str) -> None:
        """kill -9 of one worker child; the pool's parent makes another."""
        wait_until(lambda: self.children(pool), f"{pool} has children")[0].kill()

    def signal_all(self, part: str, number: signal.Signals) -> None:
        """The same signal to every process of a part."""
        for one in self.processes(part):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)

    def signal_workers(self, number: signal.Signals) -> None:
        """The same signal to every process of every pool."""
        for pool in POOLS:
            self.signal_all(pool, number)

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

    # what it says

    def log(self) -> str:
        """What was printed since the last start."""
        with self.log_path.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")

    def tail(self) -> str:
        return "\n".join(self.log().splitlines()[-TAIL_LINES:])

    def endpoints(self) -> dict[str, str]:
        """Where its parts can be reached, by the names of settings."""
        return {name.removeprefix("NOTIFY_").lower(): value for name, value in self.environ.items()}

    def flower(self, path: str) -> Any:
        """JSON of Flower's API."""
        return ask(self.flower_port, "GET", path, headers={"Authorization": f"Basic {self.flower_auth()}"}).json

    def flower_auth(self) -> str:
        """What Flower asks for, encoded for the header."""
        return b64encode(f"flower:{SECRETS['FLOWER_PASSWORD']}".encode()).decode()

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
        self.metrics.setdefault(name, f"{HOST}:{free_port()}")
        return {"0.0.0.0:9464": self.metrics[name], "/run/notify": str(folder), "/var/lib/notify": str(folder)}

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
        killed = stack.stop()
    assert not killed, "a part did not stop by itself"


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
