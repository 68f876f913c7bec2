"""Addresses that nothing is sent to any more, and how they are known: by a keyed hash that tells nobody the address."""

from __future__ import annotations

import hmac
from enum import StrEnum
from typing import Final, NamedTuple

from msgspec import Struct

from app.domain.ids import DIGEST

#: The channels whose providers tell what became of a message.
CHANNELS: Final = ("email", "sms")

#: Apart from whatever else the secret signs.
_PURPOSE: Final = b"notify/suppression\0"


class SuppressionReason(StrEnum):
    """Why nothing is sent to an address; one may have several."""

    HARD_BOUNCE = "hard_bounce"
    SOFT_BOUNCES = "soft_bounces"
    COMPLAINT = "complaint"
    STOP = "stop"
    OPERATOR = "operator"


class Destination(NamedTuple):
    """An address of a channel, in the form that its providers give it (`check_address`)."""

    channel: str
    address: str


class Suppression(Struct, frozen=True, kw_only=True):
    """One as it is listed. `since_ms`: when the provider says that it happened (Unix milliseconds).

    `shown`: as much of the address as tells it from another; empty where its user was forgotten.
    """

    address_id: str
    channel: str
    reason: str
    since_ms: int
    shown: str = ""


def address_id(secret: bytes, destination: Destination) -> str:
    """What stands for the address. Case makes no other: hardly a mailbox tells `Anna` from `anna`, and no provider."""
    said = f"{destination.channel}\0{destination.address.lower()}"
    return hmac.digest(secret, _PURPOSE + said.encode(), DIGEST).hex()
