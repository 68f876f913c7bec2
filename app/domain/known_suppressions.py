"""Nothing known of suppressions without SQL: where no copies are kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from app.domain.suppression import Destination


class NoKnownSuppressions:
    """The port `KnownSuppressions`, keeping nothing."""

    def remember(self, known: Mapping[Destination, str], at_ms: int) -> None:
        """See `app.domain.ports.KnownSuppressions`."""

    def find(self, destinations: Collection[Destination]) -> Mapping[Destination, str]:
        """See `app.domain.ports.KnownSuppressions`."""
        del destinations
        return {}


NOTHING_SUPPRESSED: Final = NoKnownSuppressions()
