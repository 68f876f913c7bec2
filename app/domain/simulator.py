"""Test addresses: a simulator answers them in place of any provider, so that people can test what they build on us.

They can be nobody's: `.invalid` never resolves (RFC 6761, section 6.4), the numbers 0100 to 0199 behind +1 ... 555 are
kept free for fiction by the North American Numbering Plan, and no push or chat service gives tokens of that beginning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

#: What the outcomes have as provider. No other may have this name.
NAME: Final = "test"
DOMAIN: Final = "simulator.invalid"
TOKEN_PREFIX: Final = "simulator-"  # noqa: S105 - how a device's token begins
SCHEME: Final = "simulator"


class Behaviour(StrEnum):
    """What happens to what is sent to a test address, each time."""

    SUCCESS = "success"
    BOUNCE = "bounce"
    TRANSIENT = "transient"
    SLOW = "slow"
    UNANSWERED = "unanswered"


_BEHAVIOURS: Final[Mapping[str, Behaviour]] = {str(behaviour): behaviour for behaviour in Behaviour}
_NUMBER = re.compile(r"\+1500555(01[0-9]{2})")
_SEPARATORS = re.compile(r"[ ().-]")
#: +1 500 555 and one of these.
_NUMBERS: Final[Mapping[str, Behaviour]] = {
    "0100": Behaviour.SUCCESS,
    "0101": Behaviour.BOUNCE,
    "0102": Behaviour.TRANSIENT,
    "0103": Behaviour.SLOW,
    "0104": Behaviour.UNANSWERED,
}


def is_test_address(channel: str, address: str) -> bool:
    """Whether the address is the simulator's, also where it knows no such behaviour: no provider is asked for it."""
    return _word(channel, address) is not None


def behaviour_of(channel: str, address: str) -> Behaviour | None:
    """What the test address stands for; None where there is no such behaviour, or it is none."""
    word = _word(channel, address)
    return _BEHAVIOURS.get(word) if word is not None else None


def has_test_addresses(channel: str) -> bool:
    """Whether there are any of this channel: not where the address is the user's id."""
    return channel in _WORDS


def _word(channel: str, address: str) -> str | None:
    """What of a test address says what it stands for; None for any other address."""
    find = _WORDS.get(channel)
    return find(address) if find is not None else None


def _of_email(address: str) -> str | None:
    """`success@...`, or `success+anything@...` for many users with one each."""
    local, at, domain = address.strip().lower().rpartition("@")
    return local.partition("+")[0] if at and domain == DOMAIN else None


def _of_phone(address: str) -> str | None:
    found = _NUMBER.fullmatch(_SEPARATORS.sub("", address))
    return _NUMBERS.get(found[1], "") if found else None


def _of_token(address: str) -> str | None:
    """`simulator-success`, or `simulator-success-anything`: a token is of one user at a time."""
    return address.removeprefix(TOKEN_PREFIX).partition("-")[0] if address.startswith(TOKEN_PREFIX) else None


def _of_webhook(address: str) -> str | None:
    try:
        url = urlsplit(address)
        host = (url.hostname or "").rstrip(".")
    except ValueError:
        return None
    if url.scheme not in ("http", "https") or not f".{host}".endswith(f".{DOMAIN}"):
        return None
    return host.removesuffix(DOMAIN).rstrip(".")


def _of_scheme(address: str) -> str | None:
    """`simulator://success`, with whatever path."""
    scheme, found, rest = address.partition("://")
    return rest.partition("/")[0].lower() if found and scheme.lower() == SCHEME else None


_WORDS: Final[Mapping[str, Callable[[str], str | None]]] = {
    "email": _of_email,
    "push": _of_token,
    "sms": _of_phone,
    "webhook": _of_webhook,
    "chat": _of_scheme,
}
