"""Whether an event's delivery is to run again, by all that is known of it: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct

from app.domain.delivery import Delivery
from app.domain.ports import SeenClaim, Standing


class Why(StrEnum):
    """Why something runs again, or does not."""

    UNFINISHED = "unfinished"
    PAST_EXPIRY = "unfinished_past_expiry"  # runs, and ends as expired
    AS_NEW = "as_new"
    FINAL = "final"
    PARKED = "parked"
    ON_LANE = "waits_on_its_lane"
    ON_RAW = "waits_for_the_router"
    UNDER_WAY = "under_way"  # a live claim, or an outcome that came while this was looked at
    TWICE = "twice_in_the_range"
    FORGOTTEN = "user_forgotten"
    NO_CHANNELS = "no_channels"
    UNDECODABLE = "undecodable"

    @property
    def runs(self) -> bool:
        """Whether it is put back."""
        return self in (Why.UNFINISHED, Why.PAST_EXPIRY, Why.AS_NEW)


class Evidence(Struct, frozen=True, kw_only=True):
    """What is known of some deliveries, as of `looked_at_ms` and later.

    Read in the order in which a delivery moves (parked rows, lanes, outcomes on their way, history), so that one that
    moves meanwhile is found in one place at least, or has an outcome younger than that.
    """

    looked_at_ms: int
    on_lane: frozenset[str] = frozenset()
    parked: Mapping[str, int] = {}
    standings: Mapping[str, Sequence[Standing]] = {}
    of_events: Mapping[str, Sequence[Standing]] = {}
    claims: Mapping[str, SeenClaim] = msgspec.field(default_factory=dict)


def judge(delivery: Delivery, known: Evidence, now_ms: int) -> Why:
    """Why the delivery runs again, or does not."""
    standings = known.standings.get(delivery.id, ())
    of_event = known.of_events.get(delivery.notification_id, ())
    claim = known.claims.get(delivery.id)
    if delivery.id in known.on_lane:
        return Why.ON_LANE
    if delivery.id in known.parked:
        return Why.PARKED
    if _is_final(standings) or (not standings and _is_final(of_event)):
        return Why.FINAL
    if (claim is not None and claim.is_live) or any(one.at_ms >= known.looked_at_ms for one in standings):
        return Why.UNDER_WAY
    return Why.PAST_EXPIRY if delivery.expires_at_ms <= now_ms else Why.UNFINISHED


def next_pass(delivery: Delivery, known: Evidence) -> int:
    """One above the highest pass that is known; above the first in any case, which a claim may remember alone."""
    claim = known.claims.get(delivery.id)
    passes = [one.pass_no for one in known.standings.get(delivery.id, ())]
    return max([0, *passes, *([claim.pass_no] if claim is not None else [])]) + 1


def _is_final(standings: Sequence[Standing]) -> bool:
    """Whether the highest pass ended."""
    top = max((one.pass_no for one in standings), default=-1)
    return any(one.status.is_final for one in standings if one.pass_no == top)
