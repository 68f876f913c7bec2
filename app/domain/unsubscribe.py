"""Links by which whoever has a mail turns its category off without a login: signed, and for ever.

They stand in List-Unsubscribe (RFC 2369), to be followed by one POST (RFC 8058), which asks for https.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

from msgspec import Struct

from app.domain.codec import decode, encode
from app.domain.errors import UndecodableError
from app.domain.ids import DIGEST

PATH: Final = "/unsubscribe/"
_PURPOSE: Final = b"notify/unsubscribe\0"
_MAC_BYTES: Final = 16
#: A header's line may have 998 characters (RFC 5322, section 2.1.1). Only ids of hundreds of bytes make longer links.
_LONGEST: Final = 900


class Unsubscribed(Struct, frozen=True, array_like=True):
    """What a link turns off."""

    user_id: str
    category: str


class UnsubscribeLinks:
    """Makes links and knows them again. `secret` is the service's, `public_url` where it is reached."""

    def __init__(self, secret: bytes, public_url: str) -> None:
        self._secret = secret
        self._root = public_url.rstrip("/") + PATH if public_url.startswith("https://") else ""

    def link(self, user_id: str, category: str) -> str:
        """The link; empty where the service is not reached by https, or the link would fit into no header."""
        if not self._root:
            return ""
        said = encode(Unsubscribed(user_id, category))
        link = self._root + urlsafe_b64encode(self._mac(said) + said).rstrip(b"=").decode()
        return link if len(link) <= _LONGEST and link.isascii() else ""

    def read(self, token: str) -> Unsubscribed | None:
        """What the last part of a link says; None where it is not one of ours to the letter."""
        try:
            given = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
        except ValueError:
            return None
        mac, said = given[:_MAC_BYTES], given[_MAC_BYTES:]
        is_canonical = urlsafe_b64encode(given).rstrip(b"=").decode() == token
        if not is_canonical or not hmac.compare_digest(mac, self._mac(said)):
            return None
        try:
            return decode(said, Unsubscribed)
        except UndecodableError:
            return None

    def _mac(self, said: bytes) -> bytes:
        return hmac.digest(self._secret, _PURPOSE + said, DIGEST)[:_MAC_BYTES]


#: Makes none.
NO_LINKS: Final = UnsubscribeLinks(b"", "")
