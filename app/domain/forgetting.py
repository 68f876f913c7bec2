"""What forgetting a user means for what is still on its way.

Events accepted up to the moment a user was forgotten are not sent any more, and what is still heard of them is stored
without anything personal. Events accepted later are like any others.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from msgspec import structs

from app.domain.delivery import Delivery
from app.domain.outcome import Outcome, Reason

_DIGEST = "sha256"
#: Apart from whatever else the secret signs.
_PURPOSE = b"notify/user/forgotten\0"


def user_hash(secret: bytes, user_id: str) -> str:
    """What stands for a forgotten user: it tells the id to nobody who has not both the secret and a guess."""
    return hmac.digest(secret, _PURPOSE + user_id.encode(), _DIGEST).hex()


def is_forgotten(user_id: str, accepted_at_ms: int, forgotten_at: Mapping[str, int]) -> bool:
    """Whether the user was forgotten since what was accepted then. `forgotten_at`: id -> Unix milliseconds."""
    return accepted_at_ms <= forgotten_at.get(user_id, -1)


def without_content(outcome: Outcome) -> Outcome:
    """Its bare facts: ids, status, reason, times. What providers said may hold an address, so that goes, too."""
    return structs.replace(outcome, user_id="", event=None, detail="", provider_id="")


def cancelled(delivery: Delivery, at_ms: int) -> Outcome:
    """What is recorded of a delivery that is not sent because its user was forgotten."""
    return without_content(delivery.cancelled(Reason.USER_FORGOTTEN, at_ms))
