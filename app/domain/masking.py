"""Addresses as people may see them who need not know them: enough to tell one from another, never whole."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from app.domain.chat_address import is_sealed, schema_of
from app.domain.web_subscription import read_subscription

HIDDEN: Final = "***"
#: Digits of a phone number that are shown.
_DIGITS: Final = 2
#: An address this short would be half told by its first letter.
_SHORT: Final = 3


def masked(address: str) -> str:
    """`a***@example.com`, `https://example.com/***`, `slack://***`, `***56`, else the first letter: `f***`.

    Of a browser's push subscription the host of its push service: all begin alike.
    """
    if address.startswith("{"):
        return _masked_subscription(address)
    if "://" in address or is_sealed(address):
        return _masked_url(address)
    local, at, domain = address.rpartition("@")
    if at:
        return f"{local[:1]}{HIDDEN}@{domain}"
    if address[:1] == "+" and len(address) > 2 * _SHORT:
        return HIDDEN + address[-_DIGITS:]
    return HIDDEN if len(address) <= _SHORT else address[0] + HIDDEN


def _masked_subscription(address: str) -> str:
    try:
        return _masked_url(read_subscription(address).endpoint)
    except ValueError:
        return HIDDEN


def _masked_url(address: str) -> str:
    """Scheme and host, without user, port, path and query: any of them may be a secret.

    Of a chat's URL, sealed or not, the service alone: what stands for a host there is mostly a token.
    """
    schema = schema_of(address)
    if schema not in ("http", "https"):
        return f"{schema}://{HIDDEN}" if schema else HIDDEN
    try:
        url = urlsplit(address)
        host = url.hostname
    except ValueError:
        return HIDDEN
    if not host or "@" in host:
        return HIDDEN
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}/{HIDDEN}"
