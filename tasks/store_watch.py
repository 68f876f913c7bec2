"""A store that did not answer is left alone until it does: whoever cannot wait for it goes on without at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from app.domain.errors import StoreUnavailableError

_log = structlog.get_logger()

#: Seconds between two looks whether the store is back.
PAUSE_S: Final = 2.0


class StoreWatch:
    """Whether the store answers, as this process knows. `probe` asks it something; it raises while the store is away.

    The looking is done by a thread that is there while the store is away, so that no batch waits for a time limit but
    the one that found out. Safe between threads.
    """

    def __init__(self, probe: Callable[[], object], pause_s: float = PAUSE_S) -> None:
        self._probe = probe
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._is_away = False

    def check(self) -> None:
        """Raise StoreUnavailableError while the store is away."""
        if self._is_away:
            raise StoreUnavailableError("did not answer a moment ago")

    def lost(self) -> None:
        """The store did not answer."""
        with self._lock:
            if self._is_away:
                return
            self._is_away = True
        threading.Thread(target=self._look, name="store-watch", daemon=True).start()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """For the block that asks the store: raises at once while it is away, and notes where it turns out to be."""
        self.check()
        try:
            yield
        except StoreUnavailableError:
            self.lost()
            raise

    def _look(self) -> None:
        try:
            while not self._is_back():
                pass
        finally:
            self._is_away = False

    def _is_back(self) -> bool:
        time.sleep(self._pause_s)
        try:
            self._probe()
        except StoreUnavailableError:
            return False
        _log.info("store_is_back")
        return True


class NoWatch:
    """For a store that is asked whatever it said before."""

    @contextmanager
    def asking(self) -> Iterator[None]:
        """As the block goes."""
        yield


NO_WATCH: Final = NoWatch()
