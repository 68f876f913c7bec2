"""Which parked deliveries an operator means."""

from __future__ import annotations

from msgspec import Struct

from app.domain.delivery import Delivery


class ParkedChoice(Struct, frozen=True, kw_only=True):
    """All that is given has to hold; nothing given means every row. Times are Unix milliseconds.

    `due_before_ms`: due earlier than that. `parked_from_ms`: parked then or later; `parked_until_ms`: parked earlier.
    Of rows that were parked before the service kept it this is not known: they count as parked long ago.
    """

    queue: str = ""
    reason: str = ""
    due_before_ms: int | None = None
    parked_from_ms: int | None = None
    parked_until_ms: int | None = None


class ParkedRow(Struct, frozen=True, kw_only=True):
    """A parked delivery as it is listed. `parked_at_ms`: 0 where it is not known; `is_leased`: somebody has it now."""

    delivery: Delivery
    due_at_ms: int
    reason: str
    parked_at_ms: int
    is_leased: bool
