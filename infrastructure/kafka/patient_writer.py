"""Writing many records from a command: a topic without room is waited for, and nothing is left unacknowledged."""

from __future__ import annotations

import time
from collections.abc import Mapping

from app.domain.errors import StoreUnavailableError, TopicFullError
from app.settings import Settings
from infrastructure.kafka.writer import Ack, RecordWriter

_ACK_S = 10.0
_LOOK_S = 0.1


class PatientWriter:
    """A `RecordWriter` that waits up to `room_s` for room."""

    def __init__(self, settings: Settings, *, room_s: float = 60.0) -> None:
        self._writer = RecordWriter(settings, timeout_s=_ACK_S)
        self._room_s = room_s
        self._acks: list[Ack] = []

    def write(self, topic: str, key: str, value: bytes, headers: Mapping[str, bytes] | None = None) -> None:
        """Hand a record over. Raises TopicFullError where there was no room for so long, or StoreUnavailableError."""
        deadline_s = time.monotonic() + self._room_s
        while True:
            try:
                self._acks.append(self._writer.write(topic, key, value, headers))
            except TopicFullError:
                if time.monotonic() > deadline_s:
                    raise
                self._writer.wait(self._acks, _LOOK_S)  # what is under way counts as unread
                time.sleep(_LOOK_S)
            else:
                return

    def flush(self) -> None:
        """Wait until all is durable. Raises StoreUnavailableError where that fails: some of it may be."""
        acks, self._acks = self._acks, []
        self._writer.wait(acks, _ACK_S)
        if not all(ack.is_durable for ack in acks):
            raise StoreUnavailableError("Kafka did not acknowledge all that was written")

    def close(self) -> None:
        """Wait for what is under way."""
        self._writer.close()
