"""The lines of an NDJSON file as events that may be posted again and again: each has an idempotency key."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

import msgspec
from msgspec import Struct

from app.domain.codec import encode
from app.domain.event import MAX_EVENT_BYTES

KEY_FIELD = "idempotency_key"
INVALID_JSON = "invalid_json"
TOO_LARGE = "too_large"
_BOM = b"\xef\xbb\xbf"
_KEY_HEX = 40


class Line(Struct, frozen=True, kw_only=True):
    """A line of the file. `end` is the offset behind it; `body` is empty where it is refused here, for `reason`."""

    number: int
    end: int
    text: bytes
    body: bytes = b""
    reason: str = ""
    detail: str = ""


class Batch(Struct, frozen=True):
    """Lines that are posted in one request, and those among them that never will be."""

    lines: list[Line]

    @property
    def postable(self) -> list[Line]:
        """The lines that are events."""
        return [line for line in self.lines if line.body]


def read_lines(file: BinaryIO, name: str, *, offset: int = 0, number: int = 0) -> Iterator[Line]:
    """The lines behind `offset`, the last of which had that number. Blank ones are left out, but counted."""
    while text := file.readline(MAX_EVENT_BYTES + 1):
        number += 1
        offset += len(text)
        if len(text) > MAX_EVENT_BYTES and not text.endswith(b"\n"):
            offset += _skip_line(file)
            detail = f"is larger than {MAX_EVENT_BYTES} bytes"
            yield Line(number=number, end=offset, text=text[:1000], reason=TOO_LARGE, detail=detail)
            continue
        event = (text.removeprefix(_BOM) if number == 1 else text).strip()
        if event:
            yield _line(event, name, number, offset)


def read_batches(lines: Iterator[Line], *, count: int, size: int) -> Iterator[Batch]:
    """The lines in batches of at most `count` lines and, beyond the first line of each, `size` bytes."""
    taken: list[Line] = []
    total = 0
    for line in lines:
        if taken and (len(taken) >= count or total + len(line.text) > size):
            yield Batch(taken)
            taken, total = [], 0
        taken.append(line)
        total += len(line.text)
    if taken:
        yield Batch(taken)


def key_of(name: str, number: int, text: bytes) -> str:
    """The key of a line that has none of its own: the same as often as the same file says the same in the same line."""
    said = hashlib.sha256(text).hexdigest()
    return "send-" + hashlib.sha256(f"{name}\0{number}\0{said}".encode()).hexdigest()[:_KEY_HEX]


def _line(text: bytes, name: str, number: int, end: int) -> Line:
    try:
        event = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        detail = "is nested too deep" if isinstance(error, RecursionError) else str(error)
        return Line(number=number, end=end, text=text, reason=INVALID_JSON, detail=detail)
    if not isinstance(event, dict):
        return Line(number=number, end=end, text=text, reason=INVALID_JSON, detail="is no object")
    return Line(number=number, end=end, text=text, body=_keyed(text, event, key_of(name, number, text)))


def _keyed(text: bytes, event: dict[str, object], key: str) -> bytes:
    """The event with a key, otherwise to the byte as it was: what is wrong with it is for the service to say."""
    if event.get(KEY_FIELD) is not None:
        return text
    if KEY_FIELD in event:  # null: a second member of that name would be read as the first or as the last
        return encode(event | {KEY_FIELD: key})
    rest = text[1:].lstrip()
    return b'{"%s":"%s"%s' % (KEY_FIELD.encode(), key.encode(), rest if rest == b"}" else b"," + rest)


def _skip_line(file: BinaryIO) -> int:
    """Read to the end of the line; how many bytes that were."""
    skipped = 0
    while part := file.readline(MAX_EVENT_BYTES):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped
