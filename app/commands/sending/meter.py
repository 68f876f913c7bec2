"""Telling how far it came: a bar on a terminal, else a line from time to time, on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

import click

from app.commands.sending.tally import Tally

_EVERY_S = 5.0


class Meter:
    """To be used as a context. `size` in bytes (0: unknown)."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._bar: Any = None
        self._told_at_s = time.monotonic()
        self._at = 0

    def __enter__(self) -> Meter:
        """Start the bar."""
        if self._size and sys.stderr.isatty():
            self._bar = click.progressbar(length=self._size, label="sending", file=sys.stderr)
            self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)

    def tell(self, offset: int, tally: Tally) -> None:
        """All up to `offset` has its answer."""
        if self._bar is not None:
            self._bar.update(offset - self._at)
        elif time.monotonic() - self._told_at_s >= _EVERY_S:
            self._told_at_s = time.monotonic()
            share = f"{100 * offset // self._size} %, " if self._size else ""
            self.say(f"{share}{tally.lines} lines, {tally.refusals} refused")
        self._at = offset

    def say(self, text: str) -> None:
        """A line of its own."""
        click.echo(f"\n{text}" if self._bar is not None else text, err=True)
