"""How a bridge or a pool says that it does its work: a file named after it in the state folder, touched as it goes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import structlog

from app.settings import Settings

#: Between two touches, seconds.
BEAT_S: Final = 5.0

_log = structlog.get_logger()


def ready_path(settings: Settings, name: str) -> Path:
    """The file of the process of this name."""
    return settings.state_dir / "ready" / name


def mark_ready(settings: Settings, name: str) -> None:
    """Say that this process does its work now: a bridge has its place and turns, a worker consumes.

    Outside the embedded set only where the state folder is there: whoever wants to ask (`manage.py ready`) gives each
    process one. A folder that cannot be written to is logged: no work ends because nobody can be told of it.
    """
    if settings.profile != "embedded" and not settings.state_dir.is_dir():
        return
    path = ready_path(settings, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        _log.warning("not_marked_ready", part=name, error=error.strerror)


def was_ready_within(settings: Settings, name: str, seconds: float) -> bool:
    """Whether the process of this name has said so that lately."""
    try:
        touched_at_s = ready_path(settings, name).stat().st_mtime
    except OSError:
        return False
    return time.time() - touched_at_s < seconds
