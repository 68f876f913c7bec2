"""How far a file was sent: a small JSON file beside it, replaced after each batch that was answered."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from app.commands.sending.tally import Tally
from app.domain.codec import encode
from app.domain.errors import ConfigError

_VERSION = 1


class FileState(Struct, frozen=True):
    """What tells that a file has not been changed."""

    size: int
    changed_ns: int
    inode: int


class Progress(Struct, frozen=True, kw_only=True):
    """Everything up to `offset` (bytes) and `line` was answered. `rejects_bytes`: how long the rejects were then."""

    v: int = _VERSION
    name: str
    file: FileState
    offset: int = 0
    line: int = 0
    rejects_bytes: int = 0
    tally: Tally = msgspec.field(default_factory=Tally)


class ProgressFile:
    """The file; losing it only means that all lines are posted again, and recognised by their keys."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self, name: str, file: FileState) -> Progress:
        """Where to go on; at the beginning, where the file was changed or sent under another name since."""
        fresh = Progress(name=name, file=file)
        try:
            found = msgspec.json.decode(self._path.read_bytes(), type=Progress)
        except FileNotFoundError:
            return fresh
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigError(f"{self._path} is no progress file: {error}") from error
        return found if (found.v, found.name, found.file) == (_VERSION, name, file) else fresh

    def save(self, progress: Progress) -> None:
        """Replace it whole: whoever is killed here leaves the old or the new."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        try:
            fresh.write_bytes(encode(progress))
            fresh.replace(self._path)
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be written: {error.strerror}; --progress names another") from error


def state_of(descriptor: int) -> FileState:
    """The state of an open file."""
    about = os.fstat(descriptor)
    return FileState(about.st_size, about.st_mtime_ns, about.st_ino)
