"""Where the services are: their folder and ports."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

HOST = "127.0.0.1"
BROKERS = (1, 2, 3)
LAYOUT_FILE = "services.json"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The folder of programs, data and logs, and the ports on 127.0.0.1.

    A port with several users is the first of as many: broker 2 of Kafka listens on `kafka_port + 1`.
    """

    folder: Path
    kafka_port: int = 9192
    kafka_controller_port: int = 9492
    #: Where brokers listen for what comes through toxiproxy, and where toxiproxy takes it.
    kafka_proxied_port: int = 9292
    kafka_toxic_port: int = 9392
    redis_broker_port: int = 6391
    redis_broker_toxic_port: int = 6491
    redis_state_port: int = 6392
    redis_state_toxic_port: int = 6492
    mariadb_port: int = 3391
    cassandra_port: int = 9142
    cassandra_storage_port: int = 7191
    toxiproxy_port: int = 8474

    def data(self, name: str) -> Path:
        """A service's own folder, made where it is missing."""
        made = self.folder / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    def jars(self, name: str) -> Path:
        """The Java libraries of a service."""
        return self.folder / "lib" / name

    def save(self) -> None:
        """Write it down for those who use the services."""
        values = dataclasses.asdict(self) | {"folder": str(self.folder)}
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / LAYOUT_FILE).write_text(json.dumps(values, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Layout | None:
        """The layout the services of this folder were last started with, or None."""
        path = folder / LAYOUT_FILE
        if not path.is_file():
            return None
        values = json.loads(path.read_text())
        return cls(**(values | {"folder": folder}))
