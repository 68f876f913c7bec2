"""Records as the rest of the service sees them, free of the client library's types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from confluent_kafka import Message


class Record(Struct, frozen=True):
    """One record read from a topic. Header values that are not UTF-8 are kept as bytes only.

    `timestamp_ms` is the record's own time, as its producer or the broker gave it (0: none).
    """

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    headers: dict[str, bytes]
    timestamp_ms: int = 0

    def header(self, name: str) -> str:
        """The header's text; empty where it is missing or no UTF-8."""
        return self.headers.get(name, b"").decode("utf-8", "replace")


def from_message(message: Message) -> Record:
    """A record of what the client read."""
    key = message.key()
    return Record(
        topic=str(message.topic()),
        partition=int(message.partition() or 0),
        offset=int(message.offset() or 0),
        key=key.decode("utf-8", "replace") if isinstance(key, bytes) else key or "",
        value=_bytes(message.value()),
        headers={str(name): _bytes(value) for name, value in _pairs(message.headers())},
        timestamp_ms=max(0, int(message.timestamp()[1])),
    )


def _pairs(headers: object) -> list[tuple[str, bytes | str | None]]:
    if isinstance(headers, dict):
        return list(headers.items())
    return list(headers) if isinstance(headers, (list, tuple)) else []


def _bytes(value: bytes | str | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""
