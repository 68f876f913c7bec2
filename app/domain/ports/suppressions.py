"""Addresses that nothing is sent to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from app.domain.suppression import Destination, Suppression, SuppressionReason


class Suppressions(Protocol):
    """Which addresses nothing is sent to, and why; known by keyed hashes, so that no address is stored.

    What is changed is also told to `KnownSuppressions` before a method returns; HalfStoredError where that failed.
    """

    def find(self, destinations: Collection[Destination]) -> Mapping[Destination, str]:
        """Those of them that are suppressed, each with the reason that came first; one query."""

    def suppress(
        self, destination: Destination, reason: SuppressionReason, *, since_ms: int, user_id: str = "", shown: str = ""
    ) -> bool:
        """Suppress it; False where it was, for this reason, or was lifted since. Returning means committed.

        `shown` is what a listing shows of the address, as long as the user (empty: not known) is not forgotten.
        """

    def lift(self, destination: Destination, at_ms: int, reasons: Sequence[SuppressionReason] = ()) -> int:
        """Lift these reasons (none given: all, and what was counted of soft bounces); how many held.

        What is reported later of an earlier time changes nothing.
        """

    def list(self, *, reason: str = "", limit: int = 100) -> Sequence[Suppression]:
        """Those that hold, of one reason or all, the latest first."""


class KnownSuppressions(Protocol):
    """Copies of what SQL has of suppressions, for the time in which it is away. They may vanish at any moment."""

    def remember(self, known: Mapping[Destination, str], at_ms: int) -> None:
        """Keep what held of these at that time (empty: nothing); what is there of a later time stays."""

    def find(self, destinations: Collection[Destination]) -> Mapping[Destination, str]:
        """Those of them that are known to be suppressed, with the reason."""


class SoftBounces(Protocol):
    """Soft bounces of addresses, each of a delivery once."""

    def count(self, destination: Destination, delivery_id: str, *, at_ms: int, since_ms: int) -> int:
        """Count this one, and forget those of before `since_ms`; how many there are."""

    def forgive(self, destination: Destination) -> None:
        """Forget all of an address: something was delivered there."""
