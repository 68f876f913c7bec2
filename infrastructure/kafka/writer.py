"""Writing records and knowing when they are durable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from app.domain.errors import StoreUnavailableError
from app.settings import Settings
from infrastructure.kafka.client import producer_config
from infrastructure.kafka.fetched import is_fatal
from infrastructure.kafka.guard import Guard

_POLL_S = 0.05
_ACKS_POLL_S = 1.0


class Ack:
    """What became of one record that was written: nothing yet, acknowledged, or given up."""

    __slots__ = ("_when_done", "error", "is_done", "offset", "partition")

    def __init__(self, when_done: Callable[[], None] | None = None) -> None:
        self._when_done = when_done
        self.is_done = False
        self.error: str = ""
        self.partition = -1
        self.offset = -1

    @property
    def is_durable(self) -> bool:
        """Whether Kafka has acknowledged the record."""
        return self.is_done and not self.error

    def settle(self, error: KafkaError | None, message: Message | None) -> None:
        """The client's delivery report."""
        if error is not None:
            self.error = error.str()
        elif message is not None:
            self.partition = int(message.partition() or 0)
            self.offset = int(message.offset() or 0)
        self.is_done = True
        if self._when_done is not None:
            self._when_done()


class RecordWriter:
    """An idempotent producer. Not to be made before a fork.

    A client that gave up never recovers: then `write` and `check` raise SystemExit, for the process has to end and be
    started again. Nothing that was acknowledged is lost, and nothing else is written a second time.

    In the embedded profile `write` asks the guard first, because the broker there drops unread records silently.
    """

    def __init__(self, settings: Settings, *, timeout_s: float, linger_ms: int = 1) -> None:
        self._gave_up = ""
        config = producer_config(settings, timeout_s=timeout_s, linger_ms=linger_ms)
        self._producer = Producer(config | {"error_cb": self._note})
        self._is_closed = False
        self._guard = Guard(settings) if settings.profile == "embedded" else None

    def write(
        self,
        topic: str,
        key: str,
        value: bytes,
        headers: Mapping[str, bytes] | None = None,
        when_done: Callable[[], None] | None = None,
    ) -> Ack:
        """Hand a record over; the ack tells when it is durable, and `when_done` is called then.

        Raises `TopicFullError` (guard) or `StoreUnavailableError` (the client's queue is full): nothing was written.
        """
        size = len(key) + len(value) + sum(len(name) + len(text) for name, text in (headers or {}).items())
        if self._guard is not None:
            self._guard.admit(topic, size)
        ack = Ack(when_done)
        try:
            self._producer.produce(
                topic,
                value,
                key,
                on_delivery=ack.settle if self._guard is None else _reporter(self._guard, ack, topic, size),
                headers=dict(headers) if headers else None,
            )
        except (BufferError, KafkaException) as error:
            if self._guard is not None:
                self._guard.given_up(topic, size)
            if isinstance(error, KafkaException):
                self._note(error.args[0])
                self.check()
                raise StoreUnavailableError(f"Kafka refused the record: {error.args[0]}") from error
            self._producer.poll(0)
            raise StoreUnavailableError("the Kafka client's queue is full") from error
        self._producer.poll(0)
        return ack

    def check(self) -> None:
        """Raises SystemExit where the client gave up, as far as `wait`, `write` or `take_acks` heard of it."""
        if self._gave_up:
            raise SystemExit(f"the Kafka client gave up: {self._gave_up}")

    def wait(self, acks: Iterable[Ack], timeout_s: float) -> bool:
        """Wait until all of them are done; False where `timeout_s` was too short."""
        deadline = time.monotonic() + timeout_s
        for ack in acks:
            while not ack.is_done:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._producer.poll(min(left, _POLL_S))
        return True

    def take_acks(self) -> None:
        """Take acks until `close`: for a thread of a process whose other threads write."""
        while not self._is_closed:
            self._producer.poll(_ACKS_POLL_S)

    def has_room(self, topic: str) -> bool:
        """Whether the topic would take more now (always, but in the embedded profile)."""
        return self._guard is None or self._guard.has_room(topic)

    def close(self, timeout_s: float = 5.0) -> None:
        """Wait for what is under way."""
        self._is_closed = True
        self._producer.flush(timeout_s)

    def _note(self, error: KafkaError) -> None:
        """Most errors pass by themselves."""
        if is_fatal(error):
            self._gave_up = error.name()


def _reporter(guard: Guard, ack: Ack, topic: str, size: int) -> Callable[[KafkaError | None, Message], None]:
    """Takes the delivery report for the guard, too."""

    def report(error: KafkaError | None, message: Message) -> None:
        if error is None:
            guard.landed(topic, size, int(message.partition() or 0), int(message.offset() or 0))
        else:
            guard.given_up(topic, size)
        ack.settle(error, message)

    return report
