"""The targets of one delivery: the devices that it goes to, and what became of it at each."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from app.domain.outcome import Status

#: The id of a target that is no device: an address that came with the event, or stands among the user's contacts.
ADDRESS: Final = "address"


class TargetResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was said of one target: it took it, it never will, nobody knows (`unknown`), or it is still open (`parked`).

    It is in the claim's mark of the target and in parked rows, so it carries no token. `is_in_doubt`: a call of it was
    never answered. `spends_retry` and `until_at_ms` (Unix milliseconds) are about an open one.
    """

    id: str
    status: Status
    reason: str = ""
    detail: str = ""
    provider: str = ""
    provider_id: str = ""
    at_ms: int = 0
    until_at_ms: int = 0
    spends_retry: bool = False
    is_in_doubt: bool = False


class Target(Struct, kw_only=True, omit_defaults=True):
    """One target on its way through the chain; without a result it is to be called. `token` is personal.

    `is_in_doubt`: a call of it was begun, and never answered.
    """

    id: str
    token: str = ""
    platform: str = ""
    result: TargetResult | None = None
    is_in_doubt: bool = False
