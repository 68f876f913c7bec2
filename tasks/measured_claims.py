"""Port Claims, measured: hands everything on and counts what the first step finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from app.domain.meter import METER
from app.domain.metric_catalogue import CLAIMS
from app.domain.ports import Claimable, Claims, Taken


class MeasuredClaims:
    """The port over another of its kind."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self.advance = claims.advance
        self.done = claims.done
        self.release = claims.release

    def take(self, wanted: Sequence[Claimable], *, owner: str, until_ms: int, alone: bool) -> list[Taken]:
        """See `app.domain.ports.Claims`."""
        found = self._claims.take(wanted, owner=owner, until_ms=until_ms, alone=alone)
        for state, claims in Counter(taken.state for taken in found).items():
            METER.count(CLAIMS, (state,), claims)
        return found
