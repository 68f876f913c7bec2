"""Where the parts of the embedded set serve `/metrics`: one file a process, as Prometheus' file_sd reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from app.settings import Settings


class Target(msgspec.Struct, frozen=True):
    """An entry of a file_sd file."""

    targets: list[str]
    labels: dict[str, str]


def write_target(settings: Settings, part: str, address: str) -> None:
    """Say where this process of the part is; nothing outside the embedded set, where addresses are set and known."""
    if settings.profile != "embedded":
        return
    folder = _folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    _forget_dead(folder, part)
    path = folder / f"{part}-{os.getpid()}.json"
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode([Target([address], {"part": part})]))
    fresh.replace(path)


def targets(settings: Settings) -> Iterator[tuple[str, str]]:
    """(part, address) of each process that has said so, in order of parts."""
    for path in sorted(_folder(settings).glob("*.json")):
        for target in msgspec.json.decode(path.read_bytes(), type=list[Target]):
            yield target.labels["part"], target.targets[0]


def forget_targets(settings: Settings) -> None:
    """Remove what an earlier set has left."""
    for path in _folder(settings).glob("*.json"):
        path.unlink(missing_ok=True)


def _forget_dead(folder: Path, part: str) -> None:
    """Remove the files of this part's processes that are gone."""
    for path in folder.glob(f"{part}-*.json"):
        pid = path.stem.removeprefix(f"{part}-")
        if pid.isdecimal() and not _is_alive(int(pid)):
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _folder(settings: Settings) -> Path:
    return settings.state_dir / "metrics"
