"""What the gate knows of workers and queues, for a short while."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import structlog

from app.domain.errors import StoreUnavailableError
from app.domain.lane import LANES

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


def channel_bound(children: Mapping[str, int], channel: str, share: float) -> int:
    """How many batches of a network channel may be out: one less than the children that serve all its lanes.

    Where lanes are served by different numbers of children, by the fewest: a batch of high may take any child that
    also serves low, and one of those has to stay free. `share` is this dispatcher's part of the channel's partitions.
    """
    served = [children[lane.queue] for lane in LANES if lane.channel == channel and children.get(lane.queue)]
    return max(1, int((min(served, default=1) - 1) * share))
