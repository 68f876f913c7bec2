"""How a process of the embedded set says that it does its work: a file named after it in the state folder."""

from __future__ import annotations

from pathlib import Path

from app.settings import Settings


def ready_path(settings: Settings, name: str) -> Path:
    """The file of the process of this name."""
    return settings.state_dir / "ready" / name


def mark_ready(settings: Settings, name: str) -> None:
    """Say that this process is ready: a bridge has subscribed, a worker consumes. Harmless outside the embedded set."""
    if settings.profile != "embedded":
        return
    path = ready_path(settings, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
