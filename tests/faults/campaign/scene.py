"""What a fault can reach: the set, the services beneath it, the providers, the load."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis

from infrastructure.services.layout import HOST
from infrastructure.services.service import Service
from infrastructure.services.services import all_services
from tests.support.account import Window
from tests.support.load import Load, Sent
from tests.support.providers import StandIns
from tests.support.real_stack import RealStack
from tests.support.services import RealServices
from tests.support.stack_client import wait_until

UP_S = 120.0


@dataclass(kw_only=True)
class Scene:
    """`scale` shortens how long faults last: 1 in the campaign, less in its quick form.

    `windows`: the moments at which something was taken away or came back, for the account.
    """

    stack: RealStack
    services: RealServices
    providers: StandIns
    load: Load
    scale: float = 1.0
    windows: list[Window] = field(default_factory=list)
    _probe: Future[Sent] | None = None

    def seconds(self, wanted: float) -> float:
        """How long a fault of so many seconds lasts here."""
        return wanted * self.scale

    def send_probe(self) -> None:
        """Post the high event that is timed now, in the background; once a round."""
        if self._probe is None:
            poster = ThreadPoolExecutor(1)  # not as a context: its end would wait until the probe is accepted
            self._probe = poster.submit(self.load.post_one, self.load.event("high", "email"))
            poster.shutdown(wait=False)

    def probe_s(self, within_s: float) -> float:
        """Seconds from its first POST to its provider's yes."""
        assert self._probe is not None, "no probe was sent"
        return self.load.seconds_to_provider(self._probe.result(), within_s)

    @contextmanager
    def breaking(self) -> Iterator[None]:
        """What is done in the block is the moment of a fault."""
        from_s = time.monotonic()
        yield
        self.windows.append(Window(from_s, time.monotonic()))

    # parts of the service

    def kill(self, part: str) -> None:
        """kill -9 of every replica's own process; what keeps them starts each again."""
        times = self.stack.times_ready(part)
        with self.breaking():
            self.stack.kill(part)
        self.send_probe()
        self.stack.wait_ready(part, times + 1)

    def kill_child(self, pool: str) -> None:
        """kill -9 of one worker child."""
        with self.breaking():
            self.stack.kill_child(pool)
        self.send_probe()

    def stand_still(self, part: str, seconds: float) -> None:
        """SIGSTOP of every process of the part, SIGCONT later: a zombie that believes in what it knew."""
        with self.breaking():
            self.stack.signal_all(part, signal.SIGSTOP)
        try:
            time.sleep(self.seconds(seconds))
        finally:
            with self.breaking():
                self.stack.signal_all(part, signal.SIGCONT)

    # services

    def service(self, name: str) -> Service:
        return all_services(self.services.layout)[name]

    def kill_service(self, name: str) -> None:
        """kill -9, and start again at once, as a container engine would."""
        with self.breaking():
            self.service(name).kill()
        self.send_probe()
        self.service(name).start()

    @contextmanager
    def down(self, *names: str) -> Iterator[None]:
        """Killed for as long as the block lasts."""
        try:
            for name in names:
                self.service(name).kill()
            yield
        finally:
            for name in names:
                self.service(name).spawn()
            for name in names:
                self.service(name).wait()

    @contextmanager
    def hanging(self, name: str) -> Iterator[None]:
        """Stopped for as long as the block lasts: it takes connections, says nothing, and forgets nothing."""
        self.service(name).send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.service(name).send(signal.SIGCONT)
            self.service(name).wait()

    def flush(self, name: str) -> None:
        """FLUSHALL of one of the two Redis servers."""
        with self.breaking():
            self.redis(name).flushall()
        self.send_probe()

    def redis(self, name: str) -> redis.Redis:
        """A client of one of the two servers."""
        layout = self.services.layout
        port = layout.redis_broker_port if name == "redis-broker" else layout.redis_state_port
        return redis.Redis(host=HOST, port=port)

    @contextmanager
    def half_open(self, *proxies: str) -> Iterator[None]:
        """Connections through these proxies stay, and no byte comes through, in either direction."""
        for proxy in proxies:
            for stream in ("upstream", "downstream"):
                toxic = {"name": stream, "type": "timeout", "stream": stream, "attributes": {"timeout": 0}}
                self._toxiproxy("POST", f"/proxies/{proxy}/toxics", toxic)
        try:
            yield
        finally:
            for proxy in proxies:
                for stream in ("upstream", "downstream"):
                    self._toxiproxy("DELETE", f"/proxies/{proxy}/toxics/{stream}")

    def is_kafka_whole(self) -> bool:
        """Whether every partition has all its replicas in sync."""
        from confluent_kafka.admin import AdminClient

        try:
            topics = AdminClient({"bootstrap.servers": self.services.kafka}).list_topics(timeout=5.0).topics
        except Exception:  # noqa: BLE001 - asked again
            return False
        parts = [part for topic in topics.values() for part in topic.partitions.values()]
        return bool(parts) and all(len(part.isrs) == len(part.replicas) for part in parts)

    def wait_kafka_whole(self) -> None:
        wait_until(self.is_kafka_whole, "all replicas are in sync", UP_S, look_s=0.5)

    def _toxiproxy(self, method: str, path: str, body: Any = None) -> None:
        request = urllib.request.Request(
            f"http://{HOST}:{self.services.layout.toxiproxy_port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10.0):  # noqa: S310 - http on loopback
            pass
