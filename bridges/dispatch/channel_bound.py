"""How many batches a channel that calls a network may have out: so many that a hanging provider leaves a child free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress

from msgspec import Struct

from app.domain.channel import CHANNEL_BY_NAME, may_go_out
from app.domain.errors import StoreUnavailableError
from app.domain.lane import LANES, Lane, Priority
from app.domain.ports import BatchLeases


class Traffic(Struct, frozen=True):
    """What this dispatcher has out, in batches by lane, and the channels of which it has medium or low to send."""

    out: Mapping[Lane, int]
    others_wait: frozenset[str] = frozenset()


def channel_bound(children: Mapping[str, int], channel: str) -> int:
    """How many batches of a network channel may be out: one less than the children that serve all its lanes.

    Where lanes are served by different numbers of children, by the fewest: a batch of high may take any child that
    also serves low, and one of those has to stay free.
    """
    served = [children[lane.queue] for lane in LANES if lane.channel == channel and children.get(lane.queue)]
    return max(1, min(served, default=1) - 1)


class ChannelBound:
    """The bound over all dispatchers, by leases. Channels that call no network have none.

    Raises StoreUnavailableError only where it says so.
    """

    def __init__(self, leases: BatchLeases, children: Callable[[], Mapping[str, int]]) -> None:
        self._leases = leases
        self._children = children
        #: Leases that could not be given back: by lane and partition, of which copy.
        self._owed: dict[tuple[Lane, int], int] = {}

    def has_place(self, lane: Lane, traffic: Traffic) -> bool:
        """Whether what this dispatcher has out leaves one: asks nobody."""
        return not _is_bound(lane) or self._is_within(lane, traffic, channel_bound(self._children(), lane.channel))

    def enter(
        self, lane: Lane, partition: int, *, not_after_ms: int, life_ms: int, traffic: Traffic, share: float
    ) -> bool:
        """Take a place for this copy, which lasts no longer than its life, unless the others have left none.

        Without Redis, high goes by this dispatcher's `share` of the channel's partitions, as well as that can be
        rounded; the error is raised for the others.
        """
        if not _is_bound(lane):
            return True
        bound = channel_bound(self._children(), lane.channel)
        others_wait = lane.channel in traffic.others_wait
        try:
            self._pay()
            return self._leases.take(
                lane, partition, not_after_ms=not_after_ms, life_ms=life_ms, bound=bound, others_wait=others_wait
            )
        except StoreUnavailableError:
            if lane.priority is not Priority.HIGH:
                raise
            return self._is_within(lane, traffic, max(1, int(bound * share)))

    def leave(self, lane: Lane, partition: int, not_after_ms: int) -> None:
        """That copy is through, whoever sent it. Without Redis this is made up for."""
        if _is_bound(lane):
            self._owed[lane, partition] = not_after_ms
            with suppress(StoreUnavailableError):
                self._pay()

    def _pay(self) -> None:
        for (lane, partition), not_after_ms in list(self._owed.items()):
            self._leases.give_back(lane, partition, not_after_ms=not_after_ms)
            del self._owed[lane, partition]

    def _is_within(self, lane: Lane, traffic: Traffic, bound: int) -> bool:
        out = Counter[bool]()
        for one, count in traffic.out.items():
            if one.channel == lane.channel:
                out[one.priority is Priority.HIGH] += count
        return may_go_out(
            is_high=lane.priority is Priority.HIGH,
            high=out[True],
            others=out[False],
            bound=bound,
            others_wait=lane.channel in traffic.others_wait,
        )


def _is_bound(lane: Lane) -> bool:
    return CHANNEL_BY_NAME[lane.channel].calls_network
