"""What `notifications.finished` tells: the newest record of each partition, and how each queue moves."""

from __future__ import annotations

from collections import Counter

from app.domain.batch import Finished

_WEIGHT = 0.3


class FinishedView:
    """Built from all records of the topic, whoever sent the batches."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, int], Finished] = {}
        self._moved_ms: dict[str, int] = {}
        self._ms_per_delivery: dict[str, float] = {}

    def apply(self, record: Finished, now_ms: int) -> None:
        """Take a record over. Copies are ordered by batch, then by not_after, not by their place on the topic.

        It was sent by now, whatever the clock of its sender said.
        """
        key = (record.topic, record.partition)
        known = self._newest.get(key)
        if known is None or (record.last, record.not_after_ms) >= (known.last, known.not_after_ms):
            self._newest[key] = record
        self._moved_ms[record.queue] = max(self._moved_ms.get(record.queue, 0), min(record.sent_at_ms, now_ms))
        if record.calls:
            each = record.took_ms / record.calls
            mean = self._ms_per_delivery.get(record.queue, each)
            self._ms_per_delivery[record.queue] = mean + (each - mean) * _WEIGHT

    def newest(self, topic: str, partition: int) -> Finished | None:
        """The newest record about the partition."""
        return self._newest.get((topic, partition))

    def open_counts(self) -> Counter[str]:
        """How many deliveries came back open and have not been reported finished since, by queue."""
        counts: Counter[str] = Counter()
        for record in self._newest.values():
            counts[record.queue] += len(record.open)
        return counts

    def has_moved_past(self, queue: str, sent_at_ms: int) -> bool:
        """Whether a batch sent to the queue later than that has finished: what was sent then is not in it any more."""
        return self._moved_ms.get(queue, 0) > sent_at_ms

    def set_back(self) -> None:
        """The clock was set back: what was seen before would seem later than all that is sent from now on."""
        self._moved_ms.clear()

    def ms_per_delivery(self, queue: str) -> float | None:
        """How long a child takes for one delivery of the lane, by its latest batches."""
        return self._ms_per_delivery.get(queue)
