"""The order in which a worker takes from its queues: strictly by priority, and channel by channel within one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby


class LaneCycle:
    """A kombu `queue_order_strategy`, with the methods of `kombu.utils.scheduling.priority_cycle`.

    Neighbours of the same priority (`low.email`, `low.log`) take turns: in strict order the backlog of one channel
    would keep the next one's waiting until it is through.
    """

    def __init__(self) -> None:
        self._queues: list[str] = []

    def update(self, queues: Sequence[str]) -> None:
        """The queues that the worker serves, in the order of its `-Q`."""
        self._queues = list(queues)

    def consume(self, count: int) -> list[str]:
        """The queues in the order in which the next message is looked for."""
        return self._queues[:count]

    def rotate(self, last_used: str) -> str:
        """Let its neighbours of the same priority go before the queue that was just served; gives the queue back."""
        turned: list[str] = []
        for _, neighbours in groupby(self._queues, key=_priority):
            group = list(neighbours)
            if last_used in group:
                place = group.index(last_used) + 1
                group = group[place:] + group[:place]
            turned += group
        self._queues = turned
        return last_used


def _priority(queue: str) -> str:
    return queue.partition(".")[0]
