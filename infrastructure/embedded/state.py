"""The state folder of the embedded set: one set at a time, its secrets, and where it can be reached."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app.domain.errors import ConfigError
from app.settings import ENDPOINTS_FILE, Settings
from infrastructure.secret import read_secret

#: A set that was killed needs a moment until its last process is gone, seconds.
LOCK_WAIT_S: Final = 3.0
LOCK_RETRY_S: Final = 0.1
PASSWORD_BYTES: Final = 9
OWNER_ONLY: Final = 0o600
#: What other commands need to reach the running set, beside what they derive by themselves.
SHARED: Final = (
    *("kafka_bootstrap", "broker_url", "redis_url", "database_url", "history_url", "smtp_url"),
    *("secret_key", "flower_auth"),
)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder, made where it is not there, for one set alone. Raises ConfigError where another runs in it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "up.lock").open("w") as lock:
        _lock(lock.fileno(), folder)
        yield


def with_secrets(settings: Settings) -> Settings:
    """The settings with the secrets that are not set: those of the state folder, made once."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    return dataclasses.replace(
        settings,
        secret_key=read_secret(settings).decode(),
        flower_auth=settings.flower_auth
        or _kept(settings.state_dir / "flower_auth", f"flower:{secrets.token_urlsafe(PASSWORD_BYTES)}"),
    )


def write_endpoints(settings: Settings) -> None:
    """Tell other commands where the running set is; readable by the owner alone."""
    path = settings.state_dir / ENDPOINTS_FILE
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    _kept(fresh, json.dumps({name: getattr(settings, name) for name in SHARED}))
    fresh.replace(path)


def remove_endpoints(folder: Path) -> None:
    """The set is not running."""
    (folder / ENDPOINTS_FILE).unlink(missing_ok=True)


def _kept(path: Path, text: str) -> str:
    """What the file has; it is made with this text where there is none."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return text


def _lock(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"a set is running in {folder} already; NOTIFY_STATE_DIR starts another beside it"
                ) from error
            time.sleep(LOCK_RETRY_S)
        else:
            return
