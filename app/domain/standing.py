"""Where a delivery stands, and how the counts change when it moves.

A delivery has several outcomes and counts once, under its current one: the rule is that of `app.domain.timeline`, cut
down to what is counted. A maximum, so that late, repeated and disordered outcomes come to the same count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from app.domain.timeline import RANKS

_RANKS: Mapping[str, int] = {str(status): rank for status, rank in RANKS.items()}


class Standing(NamedTuple):
    """Where a delivery stands by one outcome; the greatest counts. From `channel` on it settles ties as timelines."""

    pass_no: int
    rank: int
    at_ms: int
    channel: str
    status: str
    reason: str


class Bucket(NamedTuple):
    """What is counted together. `hour_ms`: the start of the hour, Unix milliseconds."""

    hour_ms: int
    channel: str
    event_type: str
    status: str
    reason: str


def standing(pass_no: int, status: str, at_ms: int, channel: str, reason: str) -> Standing:
    """Where the delivery stands by this outcome."""
    return Standing(pass_no, _RANKS[status], at_ms, channel, status, reason)


def moves(changes: Iterable[tuple[Bucket | None, Bucket]]) -> dict[Bucket, int]:
    """What deliveries that went from one bucket (None: they are new) to another change in the counts."""
    changed: Counter[Bucket] = Counter()
    for before, after in changes:
        changed[after] += 1
        if before is not None:
            changed[before] -= 1
    return {bucket: by for bucket, by in sorted(changed.items()) if by}
