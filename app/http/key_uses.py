"""When API keys were last used: noted in memory by requests, written now and then by the thread of the key ring."""

from __future__ import annotations

import time
from threading import Lock

from app.domain.clock import now_ms
from app.domain.ports import ApiKeys


class KeyUses:
    """The uses since they were last written. Safe between threads."""

    def __init__(self, store: ApiKeys, *, every_s: float) -> None:
        self._store = store
        self._every_s = every_s
        self._due_s = time.monotonic() + every_s
        self._uses: dict[str, int] = {}
        self._lock = Lock()

    def note(self, key_id: str) -> None:
        """The key is used now."""
        with self._lock:
            self._uses[key_id] = now_ms()

    def write_due(self) -> None:
        """Write what was noted, once every `every_s`. Raises StoreUnavailableError; then it is kept for the next."""
        if time.monotonic() < self._due_s:
            return
        self._due_s = time.monotonic() + self._every_s
        with self._lock:
            uses, self._uses = self._uses, {}
        try:
            self._store.note_uses(uses)
        except Exception:
            with self._lock:
                self._uses = uses | self._uses
            raise
