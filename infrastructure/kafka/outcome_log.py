"""Port OutcomeLog: outcomes, dead letters and finished records of one worker child."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.batch import Finished
from app.domain.codec import encode
from app.domain.errors import StoreUnavailableError
from app.domain.lane import FINISHED_TOPIC, OUTCOMES_TOPIC, Lane
from app.domain.outcome import Outcome
from app.settings import Settings
from infrastructure.kafka.dead_letters import Origin, write_dead_letter
from infrastructure.kafka.writer import Ack, RecordWriter


class KafkaOutcomeLog:
    """The port over a `RecordWriter`."""

    def __init__(self, settings: Settings) -> None:
        self._writer = RecordWriter(settings, timeout_s=settings.not_after_high_s)
        self._acks: dict[tuple[str, int], Ack] = {}
        self._letters: dict[tuple[str, int], Ack] = {}

    def has_room(self) -> bool:
        """See `app.domain.ports.OutcomeLog`."""
        return self._writer.has_room(OUTCOMES_TOPIC)

    def put(self, outcome: Outcome) -> None:
        """See `app.domain.ports.OutcomeLog`."""
        key = (outcome.delivery_id, outcome.pass_no)
        if key not in self._acks:
            self._acks[key] = self._writer.write(OUTCOMES_TOPIC, outcome.notification_id, encode(outcome))

    def dead_letter(self, outcome: Outcome, body: bytes) -> None:
        """See `app.domain.ports.OutcomeLog`."""
        lane = Lane(outcome.priority, outcome.channel)
        key = (outcome.delivery_id, outcome.pass_no)
        self._letters[key] = write_dead_letter(self._writer, outcome, Origin(lane.topic, outcome.user_id, body))

    def durable(self, keys: Sequence[tuple[str, int]], timeout_s: float) -> set[tuple[str, int]]:
        """See `app.domain.ports.OutcomeLog`."""
        acks = {key: ack for key in keys if (ack := self._acks.pop(key, None)) is not None}
        letters = {key: ack for key in keys if (ack := self._letters.pop(key, None)) is not None}
        self._writer.wait([*acks.values(), *letters.values()], timeout_s)
        return {key for key, ack in acks.items() if ack.is_durable and (key not in letters or letters[key].is_durable)}

    def finish(self, finished: Finished, timeout_s: float) -> bool:
        """See `app.domain.ports.OutcomeLog`."""
        try:
            ack = self._writer.write(FINISHED_TOPIC, finished.key, encode(finished))
        except StoreUnavailableError:
            return False
        self._writer.wait([ack], timeout_s)
        return ack.is_durable

    def close(self) -> None:
        """Wait for what is under way."""
        self._writer.close()
