"""Provider tokens of APNs: ES256, used again for as long as Apple wants them to be, and renewed before they end.

https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from app.domain.errors import ConfigError
from infrastructure.channels import es256

#: Apple refuses tokens older than an hour, and more than one new one in 20 minutes.
_AGE_S: Final = 40 * 60.0
_BETWEEN_REFUSALS_S: Final = 20 * 60.0


class ProviderTokens:
    """The token of the moment. Threads may share it."""

    def __init__(self, key: str, *, key_id: str, team_id: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`key` is the text of the .p8 file. Raises ConfigError for one that cannot sign, which does not quote it."""
        try:
            self._key = es256.read_key(key)
        except ValueError as error:
            raise ConfigError(f"key {error}") from error
        self._key_id = key_id
        self._team_id = team_id
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._value = ""
        self._made_at_s = 0.0
        self._refused_at_s: float | None = None

    def value(self) -> str:
        """The token to show."""
        with self._lock:
            if not self._value or self._monotonic() - self._made_at_s > _AGE_S:
                self._renew()
            return self._value

    def refuse(self, value: str) -> bool:
        """It was not taken; whether there is another one to show now.

        One refusal in 20 minutes brings a new one: what is refused again is refused for its key, which no renewal
        mends, and Apple counts them.
        """
        with self._lock:
            if value != self._value:
                return True
            now_s = self._monotonic()
            if self._refused_at_s is not None and now_s - self._refused_at_s < _BETWEEN_REFUSALS_S:
                return False
            self._refused_at_s = now_s
            self._renew()
            return True

    def _renew(self) -> None:
        claims = {"iss": self._team_id, "iat": int(time.time())}
        self._value = es256.signed(self._key, claims, kid=self._key_id)
        self._made_at_s = self._monotonic()
