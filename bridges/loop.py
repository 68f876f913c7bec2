"""How every bridge runs: turn after turn until it is told to stop; a store that is away is waited for."""

from __future__ import annotations

import math
import signal
import threading
import time
from typing import Protocol

import structlog

from app.domain.errors import StoreUnavailableError
from app.domain.meter import METER
from app.domain.metric_catalogue import BRIDGE_WAITS
from app.settings import Settings
from infrastructure.embedded.ready import BEAT_S, mark_ready

_log = structlog.get_logger()

#: Wait after a store failed; it doubles up to the second.
_PAUSE_S = 0.2
_PAUSE_CAP_S = 2.0


class Bridge(Protocol):
    """One loop between two systems. `turn` may raise StoreUnavailableError: nothing is lost, it is called again."""

    name: str

    def turn(self) -> None:
        """Do what there is to do, waiting a little where there is nothing."""

    def is_ready(self) -> bool:
        """Whether it has its place in its group."""

    def close(self) -> None:
        """Leave the group and wait for what is under way."""


class Stop:
    """Set by SIGTERM and SIGINT, or by hand."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def on_signals(self) -> Stop:
        """Listen to the process's signals; only from its main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._event.set())
        return self

    def set(self) -> None:
        """Stop."""
        self._event.set()

    @property
    def is_set(self) -> bool:
        """Whether to stop."""
        return self._event.is_set()

    def pause(self, seconds: float) -> None:
        """Wait, at most until told to stop."""
        self._event.wait(seconds)


def run(bridge: Bridge, settings: Settings, stop: Stop) -> None:
    """Turn until told to stop, then close."""
    pause_s = _PAUSE_S
    is_placed = False
    marked_at = -math.inf
    _log.info("bridge_started", bridge=bridge.name)
    try:
        while not stop.is_set:
            try:
                bridge.turn()
                pause_s = _PAUSE_S
            except StoreUnavailableError as error:
                _log.warning("bridge_waits", bridge=bridge.name, error=str(error), pause_s=pause_s)
                METER.count(BRIDGE_WAITS, (bridge.name,))
                stop.pause(pause_s)
                pause_s = min(pause_s * 2, _PAUSE_CAP_S)
            is_placed = is_placed or bridge.is_ready()
            if is_placed and time.monotonic() - marked_at >= BEAT_S:
                mark_ready(settings, bridge.name)
                marked_at = time.monotonic()
    finally:
        started_at = time.monotonic()
        bridge.close()
        _log.info("bridge_stopped", bridge=bridge.name, took_s=round(time.monotonic() - started_at, 2))
