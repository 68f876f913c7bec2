"""The belief that a set which is nearly always empty is so: asked for once in a while, not at each use."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class KnownEmpty:
    """Whether anything was ever added: that nothing was is believed for `believed_s`; that something was, for good."""

    def __init__(self, believed_s: float) -> None:
        self._believed_s = believed_s
        self._until = 0.0
        self._filled_at = math.inf

    def is_empty(self, is_filled: Callable[[], bool]) -> bool:
        """The belief, or what `is_filled` says now."""
        if self._filled_at < math.inf or self.is_known:
            return self._filled_at == math.inf
        asked_at = time.monotonic()
        if is_filled():
            self._filled_at = asked_at
        self._until = asked_at + self._believed_s
        return self._filled_at == math.inf

    @property
    def is_known(self) -> bool:
        """Whether it is believed to be empty without asking."""
        return self._filled_at == math.inf and time.monotonic() < self._until

    def filled(self) -> bool:
        """Something was added. Whether all processes know that something was: none believes the contrary any more."""
        self._filled_at = min(self._filled_at, time.monotonic())
        return time.monotonic() > self._filled_at + self._believed_s
