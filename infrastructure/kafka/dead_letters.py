"""Records on `notifications.dead`: what they hold, written and read."""

from __future__ import annotations

import itertools

from msgspec import Struct

from app.domain.event import MAX_EVENT_BYTES
from app.domain.lane import DEAD_TOPIC, LANE_BY_TOPIC, RAW_LOW_TOPIC, RAW_TOPIC
from app.domain.outcome import Outcome
from infrastructure.kafka.records import Record
from infrastructure.kafka.writer import Ack, RecordWriter

#: Bytes of an undeliverable record that are kept: all of any that came through intake, so that it can be put back.
DEAD_BODY_BYTES = MAX_EVENT_BYTES + 16 * 1024
#: Headers that are kept of it, how many and bytes of each: a record may come with any, and has to fit in here.
_KEPT = ("ce_", "content-type")
_KEPT_HEADERS = 16
_KEPT_BYTES = 256
_KEY_BYTES = 1024
_WAS = "was."


class Origin(Struct, frozen=True):
    """The record as it was on its topic."""

    topic: str
    key: str
    value: bytes
    headers: dict[str, bytes] = {}


class DeadLetter(Struct, frozen=True, kw_only=True):
    """One record of the topic. `place` (partition:offset) names it; `is_cut`: the body is not whole."""

    place: str
    at_ms: int
    reason: str
    detail: str
    notification_id: str
    delivery_id: str
    is_cut: bool
    origin: Origin

    @property
    def source(self) -> str:
        """The lane it came from (`low.email`), or `raw`, `raw.low`; empty where it is not known."""
        lane = LANE_BY_TOPIC.get(self.origin.topic)
        raw = {RAW_TOPIC: "raw", RAW_LOW_TOPIC: "raw.low"}
        return lane.queue if lane else raw.get(self.origin.topic, "")


def origin_of(record: Record) -> Origin:
    """What is kept of a record that was read."""
    headers = {
        name: value
        for name, value in record.headers.items()
        if name.startswith(_KEPT) and len(name) + len(value) <= _KEPT_BYTES
    }
    first = dict(itertools.islice(headers.items(), _KEPT_HEADERS))
    return Origin(record.topic, record.key, record.value, first)


def write_dead_letter(writer: RecordWriter, outcome: Outcome, origin: Origin) -> Ack:
    """A record on `notifications.dead`: the body (cut where too large, and marked so), why and whence in headers."""
    body = origin.value
    headers = {
        "reason": outcome.reason.encode(),
        "detail": outcome.detail.encode(),
        "notification_id": outcome.notification_id.encode(),
        "delivery_id": outcome.delivery_id.encode(),
        "cut": b"true" if len(body) > DEAD_BODY_BYTES else b"false",
        "topic": origin.topic.encode(),
        "key": origin.key.encode()[:_KEY_BYTES],
    }
    headers |= {_WAS + name: value for name, value in origin.headers.items()}
    return writer.write(DEAD_TOPIC, outcome.notification_id, body[:DEAD_BODY_BYTES], headers)


def dead_letter_of(record: Record) -> DeadLetter:
    """What a record of the topic tells; of one that an earlier version wrote the topic is taken from its detail."""
    detail = record.header("detail")
    was = {name.removeprefix(_WAS): value for name, value in record.headers.items() if name.startswith(_WAS)}
    topic = record.header("topic") or detail.partition(":")[0]
    return DeadLetter(
        place=f"{record.partition}:{record.offset}",
        at_ms=record.timestamp_ms,
        reason=record.header("reason"),
        detail=detail,
        notification_id=record.header("notification_id"),
        delivery_id=record.header("delivery_id"),
        is_cut=record.header("cut") == "true",
        origin=Origin(topic, record.header("key"), record.value, was),
    )
