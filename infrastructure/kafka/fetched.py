"""What the client hands out, and how it says that something is wrong: the same for every reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from app.domain.errors import StoreUnavailableError
from infrastructure.kafka.client import kafka_logger
from infrastructure.kafka.records import Record, from_message

Partition = tuple[str, int]

_FATAL = KafkaError._FATAL  # noqa: SLF001 - the client's public names begin so
_END = KafkaError._PARTITION_EOF  # noqa: SLF001


class ClientGaveUpError(RuntimeError):
    """This client never recovers: whoever runs it has to end and be started again."""


@contextmanager
def kafka_errors(what: str) -> Iterator[None]:
    """Turn what the client raises into StoreUnavailableError, the cause kept."""
    try:
        yield
    except KafkaException as error:
        raise StoreUnavailableError(f"{what}: {error.args[0].name()}") from error


def is_fatal(error: KafkaError) -> bool:
    """Whether the client gave up. It says so by a code of its own, and not everywhere by `fatal()`, too."""
    return error.code() == _FATAL or error.fatal()


def steps_of(messages: Sequence[Message]) -> Iterator[tuple[Partition, int, Record | None]]:
    """Partition, the offset reached, and the record that led there; None at the end of what there is.

    The end is told only where `enable.partition.eof` is set. Other errors pass by themselves, and are logged. Raises
    ClientGaveUpError.
    """
    for message in messages:
        error = message.error()
        place = (str(message.topic()), int(message.partition() or 0))
        if error is None:
            yield place, int(message.offset() or 0) + 1, from_message(message)
        elif error.code() == _END:
            yield place, int(message.offset() or 0), None
        elif is_fatal(error):
            raise ClientGaveUpError(f"the Kafka client gave up: {error.str()}")
        else:
            kafka_logger().error("%s: %s", error.name(), error.str())


def records_of(messages: Sequence[Message]) -> list[Record]:
    """The records among them. Raises ClientGaveUpError."""
    return [record for _, _, record in steps_of(messages) if record is not None]


def committed_offsets(consumer: Consumer, parts: Sequence[TopicPartition], timeout_s: float) -> list[TopicPartition]:
    """What the consumer's group has committed of each, -1001 where nothing. Raises KafkaException.

    The client tells what is wrong with one partition in its place only: taken for 'nothing committed', it would make
    the group begin anew.
    """
    found: list[TopicPartition] = consumer.committed(list(parts), timeout=timeout_s) if parts else []
    check_parts(found)
    return found


def check_parts(parts: Sequence[TopicPartition]) -> None:
    """Raises KafkaException where something is wrong with one of them."""
    for part in parts:
        if part.error is not None:
            raise KafkaException(part.error)


def parts_of(offsets: Mapping[Partition, int]) -> list[TopicPartition]:
    """As the client wants them."""
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
