"""Voluntary Application Server Identification (RFC 8292): how push services know whose messages they are."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from app.domain.errors import ConfigError
from infrastructure.channels import es256

#: How long a token is good for, of the 24 hours that are allowed at most; and for how long it is used.
_LIFE_S: Final = 12 * 3600
_USED_S: Final = 6 * 3600.0
#: Most push services whose tokens are kept: there are a handful, and anybody can name others.
_KEPT: Final = 64


class KeyPair(NamedTuple):
    """A private key (PEM), and the public one as browsers take it: `applicationServerKey`, base64url."""

    private: str
    public: str


def new_key_pair() -> KeyPair:
    """A pair that nobody had before."""
    key = es256.new_key()
    return KeyPair(es256.pem_of(key), es256.base64url(es256.point_of(key)))


class Vapid:
    """Makes the header that tells who sends. Threads may share it."""

    def __init__(self, private_key: str, subject: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`subject` (`mailto:` or `https:`) is whom push services may write to. Raises ConfigError; quotes nothing."""
        try:
            self._key = es256.read_key(private_key)
        except ValueError as error:
            raise ConfigError(f"private_key {error}, nor its 32 bytes in base64url") from error
        self._subject = subject
        self._public = es256.base64url(es256.point_of(self._key))
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._tokens: OrderedDict[str, tuple[str, float]] = OrderedDict()

    @property
    def public(self) -> str:
        """The public key, base64url."""
        return self._public

    def authorization(self, origin: str) -> str:
        """The header for a push service, `https://host`."""
        with self._lock:
            token, made_at_s = self._tokens.get(origin, ("", 0.0))
            if not token or self._monotonic() - made_at_s > _USED_S:
                claims = {"aud": origin, "exp": int(time.time()) + _LIFE_S, "sub": self._subject}
                token, made_at_s = es256.signed(self._key, claims), self._monotonic()
                self._tokens[origin] = token, made_at_s
            self._tokens.move_to_end(origin)
            if len(self._tokens) > _KEPT:
                self._tokens.popitem(last=False)
        return f"vapid t={token}, k={self._public}"
