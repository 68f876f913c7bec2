"""Readings of workers and queues that are good for a short while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from app.domain.errors import StoreUnavailableError

_log = structlog.get_logger()

T = TypeVar("T")

#: How long a store is left alone that did not answer: its time-outs stop the loop.
_PAUSE_S = 2.0


class Recent(Generic[T]):
    """A reading that is repeated when it is older than `seconds`; where its store is away, the last one stands."""

    def __init__(self, read: Callable[[], T], seconds: float, first: T) -> None:
        self._read = read
        self._seconds = seconds
        self._value = first
        self._until = 0.0
        #: Whether the last try failed.
        self.is_old = False

    def __call__(self) -> T:
        """The reading."""
        if time.monotonic() >= self._until:
            seconds = self._seconds
            try:
                self._value = self._read()
                self.is_old = False
            except StoreUnavailableError as error:
                _log.warning("dispatcher_goes_by_old_news", error=str(error))
                self.is_old = True
                seconds = max(seconds, _PAUSE_S)
            self._until = time.monotonic() + seconds
        return self._value
