"""Points in time as they are shown outside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

#: The latest that is shown: the last day of the year 9999 begins.
LATEST_MS = 253_402_214_400_000
#: A point in time as `rfc3339` writes it.
Rfc3339 = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


def rfc3339(at_ms: int) -> Rfc3339:
    """Unix milliseconds as RFC 3339 in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_or_none(at_ms: int | None) -> Rfc3339 | None:
    """The same, None where there is no time (None or 0)."""
    return rfc3339(at_ms) if at_ms else None
