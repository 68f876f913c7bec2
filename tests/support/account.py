"""The account of a run: what was accepted, became final, was lost, was sent twice, and which of that is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: What may repeat: a call under way, or answered in the last 100 ms, when its worker died or Redis was flushed.
ANSWERED_S = 0.1
#: What lies between a provider's yes and the worker's noticing it on a busy machine: the call is still under way.
UNDER_WAY_S = 0.5


class Window(NamedTuple):
    """The time within which calls of workers were cut off, or workers that had stood went on."""

    from_s: float
    until_s: float

    def explains(self, at_s: float) -> bool:
        """Whether a yes at that time may be repeated."""
        return self.from_s - ANSWERED_S - UNDER_WAY_S <= at_s <= self.until_s + UNDER_WAY_S


class Counts(NamedTuple):
    """The account of a run. `unexplained` are those sent twice that nothing allows."""

    accepted: int
    final: int
    lost: Sequence[str]
    twice: int
    unexplained: Sequence[str]
    probe_s: float
    took_s: float
    statuses: Mapping[str, int]
    #: Delivery id -> final status.
    finals: Mapping[str, str]

    def print(self, name: str) -> None:
        """One line of the counts table."""
        statuses = " ".join(f"{status}={count}" for status, count in sorted(self.statuses.items()))
        print(  # noqa: T201 - the table is what the run is for
            f"\n{name:<28} accepted {self.accepted:>6}  final {self.final:>6}  lost {len(self.lost):>3}"
            f"  sent twice {self.twice:>3} (unexplained {len(self.unexplained)})"
            f"  high after the fault {self.probe_s:6.2f} s  all final {self.took_s:6.1f} s  {statuses}"
        )


def is_explained(times: Sequence[float], windows: Sequence[Window]) -> bool:
    """Whether each yes but one was said to a call that was cut off, or that went on after its worker had stood."""
    return sum(not any(window.explains(at_s) for window in windows) for at_s in times) <= 1 and bool(windows)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that this share of the (sorted) values does not exceed."""
    return values[min(len(values) - 1, max(0, -(-int(len(values) * share * 1000) // 1000) - 1))]
