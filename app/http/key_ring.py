"""API keys in memory: a copy of all that are valid, kept fresh by a thread, so that no request asks SQL."""

from __future__ import annotations

import time
from collections.abc import Mapping
from threading import Condition, Thread
from typing import Final

import structlog

from app.domain.api_key import ApiKey, is_token_of, token_id
from app.domain.errors import StoreUnavailableError
from app.domain.ports import ApiKeys
from app.http.key_uses import KeyUses

#: How often, at most, keys that are not known make the copy be refreshed, seconds.
ASK_EVERY_S: Final = 1.0
#: Longest wait of the request that asked for it, and of any request before there is a first copy, seconds.
WAIT_S: Final = 1.0
#: How often the times of last use are written, seconds.
NOTE_EVERY_S: Final = 60.0

log = structlog.get_logger()


class KeyRing:
    """The keys as last known: with the store away they stay as they are. `secret` is the service's."""

    def __init__(self, store: ApiKeys, secret: bytes, *, refresh_s: float, note_every_s: float = NOTE_EVERY_S) -> None:
        self._store = store
        self._secret = secret
        self._refresh_s = refresh_s
        self._uses = KeyUses(store, every_s=note_every_s)
        self._keys: Mapping[str, ApiKey] | None = None
        self._changed = Condition()
        self._refreshes = 0
        self._is_asked = self._is_closed = self._is_away = False
        self._ask_again_s = 0.0

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        Thread(target=self._run, name="key-ring", daemon=True).start()

    def close(self) -> None:
        """End the thread after what it has in hand."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def find(self, token: str) -> ApiKey | None:
        """The key, if it is valid. Raises StoreUnavailableError while no keys are known at all."""
        key_id = token_id(token)
        if key_id is None:
            return None
        key = self._known().get(key_id)
        if key is None and self._is_refreshed_for_this():
            key = self._known().get(key_id)
        if key is None or not is_token_of(key, token, self._secret):
            return None
        self._uses.note(key_id)
        return key

    def _known(self) -> Mapping[str, ApiKey]:
        if self._keys is None:
            with self._changed:
                self._changed.wait_for(lambda: self._keys is not None, WAIT_S)
        if self._keys is None:
            raise StoreUnavailableError("SQL: API keys could not be read yet")
        return self._keys

    def _is_refreshed_for_this(self) -> bool:
        """Have the copy refreshed and wait for it, where nobody did so within the last second.

        Whoever else brings an unknown key meanwhile does not wait: strangers must not hold all threads.
        """
        with self._changed:
            if time.monotonic() < self._ask_again_s:
                return False
            self._ask_again_s = time.monotonic() + ASK_EVERY_S
            before = self._refreshes
            self._is_asked = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._refreshes > before, WAIT_S)

    def _run(self) -> None:
        while not self._is_closed:
            keys = None
            try:
                keys = {key.id: key for key in self._store.list() if not key.revoked_at_ms}
                self._uses.write_due()
            except Exception as error:  # noqa: BLE001 - the thread must live: a key revoked later is to be refused
                self._note_away(error)
            else:
                self._is_away = False
            self._renew(keys)

    def _renew(self, keys: Mapping[str, ApiKey] | None) -> None:
        """Take the keys over, if there are any news, and wait until the next refresh is due or asked for."""
        with self._changed:
            self._keys = self._keys if keys is None else keys
            self._refreshes += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_asked or self._is_closed, self._refresh_s)
            self._is_asked = False

    def _note_away(self, error: Exception) -> None:
        """Log that the store went, not every try."""
        if not self._is_away:
            log.warning("api_keys_not_refreshed", error=type(error).__name__, reason=str(error))
        self._is_away = True
