"""API keys: what is known of one, how it is written, and what it may do.

A key is `ntfy_<id>_<secret>`. Stored is an HMAC of it under the service's secret: the key itself holds 256 random
bits, so nothing is gained by a slow hash, and without the service's secret the stored digests are of no use.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from msgspec import Struct

from app.domain.rate import Rate

ID_BYTES: Final = 6
SECRET_BYTES: Final = 32
NAME_LENGTH: Final = 64

_FORM = re.compile(r"ntfy_([0-9a-f]{12})_[0-9a-f]{64}")
_ID_FORM = re.compile(r"[0-9a-f]{12}")
# Apart from whatever else the secret signs.
_PURPOSE = b"notify/api-key\0"


class Scope(StrEnum):
    """What a key may do: `admin` may do everything."""

    SEND = "send"
    READ = "read"
    ADMIN = "admin"


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key without itself. Times are Unix milliseconds, 0 for never; `limit` bounds its requests."""

    id: str
    name: str
    scopes: frozenset[Scope]
    digest: bytes
    created_at_ms: int
    limit: Rate | None = None
    revoked_at_ms: int = 0
    last_used_at_ms: int = 0

    def allows(self, scope: Scope) -> bool:
        """Whether the key may do what needs this scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def new_token() -> str:
    """A fresh key as its holder gets it."""
    return f"ntfy_{secrets.token_hex(ID_BYTES)}_{secrets.token_hex(SECRET_BYTES)}"


def token_id(token: str) -> str | None:
    """The id that a key carries; None for what is no key of ours."""
    form = _FORM.fullmatch(token)
    return form[1] if form else None


def read_key_id(text: str) -> str:
    """The id of a key, as a record tells it; empty for what is none."""
    return text if _ID_FORM.fullmatch(text) else ""


def digest_of(token: str, secret: bytes) -> bytes:
    """What is stored of a key. `secret` is the service's."""
    return hmac.digest(secret, _PURPOSE + token.encode(), "sha256")


def is_token_of(key: ApiKey, token: str, secret: bytes) -> bool:
    """Whether this is the key, compared in constant time."""
    return hmac.compare_digest(key.digest, digest_of(token, secret))


def make_key(
    token: str, *, name: str, scopes: Iterable[Scope], limit: Rate | None, secret: bytes, now_ms: int
) -> ApiKey:
    """What is stored of a fresh key. Raises ValueError for a name of no or too many characters, and for no scope."""
    key_id, given = token_id(token), frozenset(scopes)
    if key_id is None:
        raise ValueError("is not a key")
    if not (1 <= len(name) <= NAME_LENGTH and name.isprintable()):
        raise ValueError(f"name: has not 1 to {NAME_LENGTH} printable characters")
    if not given:
        raise ValueError("scopes: there is none")
    return ApiKey(
        id=key_id, name=name, scopes=given, digest=digest_of(token, secret), created_at_ms=now_ms, limit=limit
    )
