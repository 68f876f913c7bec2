"""A member of a group that gives the same records again until what they say is stored."""

from __future__ import annotations

from collections.abc import Sequence

from app.settings import Settings
from infrastructure.kafka.fetched import Partition
from infrastructure.kafka.reader import GroupReader
from infrastructure.kafka.records import Record


class KeptReader(GroupReader):
    """Between `read_kept` and `commit_kept` the records are `kept`, less those whose partition went."""

    def __init__(self, settings: Settings, group: str, topics: Sequence[str]) -> None:
        self.kept: list[Record] = []
        super().__init__(settings, group, topics, on_revoked=self._forget)

    def read_kept(self, limit: int, timeout_s: float) -> list[Record]:
        """What has arrived, or what is still kept, without reading on.

        Raises StoreUnavailableError: Kafka has not taken earlier offsets; what was read is kept.
        """
        if self.kept:
            came = self.keep_place()  # first: what it forgets meanwhile stays forgotten
            self.kept += came
        else:
            self.kept = self.read(limit, timeout_s)
        self.commit({})  # what Kafka did not take before
        return self.kept

    def commit_kept(self) -> None:
        """All that is kept is stored. Raises StoreUnavailableError as `commit` does; nothing is kept then either."""
        offsets = {(record.topic, record.partition): record.offset + 1 for record in self.kept}
        self.kept = []
        self.commit(offsets)

    def _forget(self, partitions: Sequence[Partition]) -> None:
        """Their next owner reads what is not committed again: storing it twice is harmless."""
        gone = set(partitions)
        self.kept = [one for one in self.kept if (one.topic, one.partition) not in gone]
