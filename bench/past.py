"""A history that is there already: outcomes of the last 30 days, the same ones for the same numbers."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Final

from app.domain.event import Event
from app.domain.outcome import Outcome, Status
from app.domain.ports import History

ROWS_A_USER: Final = 100
#: Users of a block take turns, so that each has `ROWS_A_USER` however many rows there are.
BLOCK: Final = 10_000
SPAN_MS: Final = 30 * 24 * 3_600_000
PORTION: Final = 1000
_NOW_MS: Final = int(time.time() * 1000)


def fill(history: History, first: int, until: int, tell: Callable[[str], None]) -> float:
    """Append the rows of these numbers. Rows a second."""
    started_s = time.monotonic()
    for start in range(first, until, PORTION):
        history.append([outcome(number) for number in range(start, min(start + PORTION, until))])
        if start % 100_000 == 0:
            tell(f"{start:>9} rows, {(start - first) / max(0.001, time.monotonic() - started_s):,.0f}/s")
    return (until - first) / (time.monotonic() - started_s)


def user(number: int) -> str:
    """The id of a user of the past."""
    return f"user-{number}"


def notification(number: int) -> str:
    """The id of the notification of row `number`."""
    return str(uuid.UUID(int=(number << 64) | 0x7000_8000_0000_0000))


def outcome(number: int) -> Outcome:
    """Row `number`."""
    block, place = divmod(number, BLOCK)
    users = BLOCK // ROWS_A_USER
    user_id = user(block * users + place % users)
    at_ms = _NOW_MS - (number * 7919 * 1000) % SPAN_MS
    return Outcome(
        notification_id=notification(number),
        delivery_id=f"d-{number}",
        user_id=user_id,
        event_type="order_shipped",
        channel="email",
        status=Status.SENT,
        provider="smtp",
        provider_id=f"id-{number}",
        attempt=1,
        at_ms=at_ms + 40,
        accepted_at_ms=at_ms,
        routed_at_ms=at_ms + 10,
        event=Event(user_id=user_id, event_type="order_shipped", content="Your order has left our warehouse."),
    )
