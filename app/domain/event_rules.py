"""What an event must be to be accepted, beyond the types of its fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from app.domain import codec
from app.domain.address_rules import address_violations
from app.domain.catalogue import Catalogue
from app.domain.channel import CHANNEL_BY_NAME
from app.domain.clock import now_ms
from app.domain.event import MAX_EVENT_BYTES, Event
from app.domain.violation import WHOLE, InvalidInputError, TooLargeInputError, Violation, decode_input, pointer

#: Levels of objects and arrays in an event. It travels inside other records, each a few levels more.
MAX_DEPTH = 32

#: How far ahead `send_at` may be.
MAX_AHEAD_DAYS = 365
#: How far back it may be, so that a client whose clock is slow may say "now".
SEND_AT_TOLERANCE_S = 60

ESCAPED_NUL = b"\\u0000"

IdempotencyKey = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+\Z")]


class BatchItem(Event, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An event of a batch."""

    idempotency_key: IdempotencyKey | None = None


class CheckedEvent(Struct, frozen=True, kw_only=True):
    """An event that may be accepted, and the JSON that goes on its way.

    `overdue`: what is wrong with its `send_at` by now; an event that was accepted before is answered all the same.
    """

    event: Event
    body: bytes
    idempotency_key: str | None = None
    overdue: Violation | None = None


_event_decoder = msgspec.json.Decoder(Event)
_item_decoder = msgspec.json.Decoder(BatchItem)


def read_event(body: bytes, catalogue: Catalogue) -> CheckedEvent:
    """The event in `body`.

    Raises InvalidInputError: with the first problem where a field is unknown, missing or of a wrong type, else with
    all, but for `overdue`; MalformedInputError where it is not JSON; TooLargeInputError above MAX_EVENT_BYTES.
    """
    _check_size(body)
    return _checked(decode_input(body, _event_decoder), body, catalogue)


def read_timely_event(body: bytes, catalogue: Catalogue) -> Event:
    """The same, where `overdue` is a reason to refuse it, too."""
    checked = read_event(body, catalogue)
    if checked.overdue:
        raise InvalidInputError([checked.overdue])
    return checked.event


def read_batch_item(body: bytes, catalogue: Catalogue) -> CheckedEvent:
    """The event in one item of a batch, which may carry an `idempotency_key`. Raises as `read_event`."""
    _check_size(body)
    item = decode_input(body, _item_decoder)
    event = Event(**{name: getattr(item, name) for name in Event.__struct_fields__})
    return _checked(event, body, catalogue, item.idempotency_key)


def _checked(event: Event, body: bytes, catalogue: Catalogue, idempotency_key: str | None = None) -> CheckedEvent:
    violations, overdue = [*_violations(event, catalogue), *tree_violations(event, body)], _overdue(event)
    if violations:
        raise InvalidInputError([*violations, *([overdue] if overdue else [])])
    encoded = codec.encode(event)
    # Numbers may be written longer than they came: 1e9 goes on as 1000000000.0.
    _check_size(encoded)
    return CheckedEvent(event=event, body=encoded, idempotency_key=idempotency_key, overdue=overdue)


def _check_size(body: bytes) -> None:
    if len(body) > MAX_EVENT_BYTES:
        raise TooLargeInputError([Violation(WHOLE, f"is larger than {MAX_EVENT_BYTES} bytes")])


def _violations(event: Event, catalogue: Catalogue) -> Iterator[Violation]:
    options = event.options
    if not (event.content.strip() if isinstance(event.content, str) else event.content):
        yield Violation("/content", "is empty")
    for index, channel in enumerate(options.channels or ()):
        if channel not in CHANNEL_BY_NAME:
            yield Violation(pointer("options", "channels", index), f"is not one of {', '.join(CHANNEL_BY_NAME)}")
    if options.ttl_s is not None and options.ttl_s > catalogue.max_ttl_s:
        yield Violation("/options/ttl_s", f"is above {catalogue.max_ttl_s}")
    if options.send_at is not None:
        yield from _send_at_violations(event.send_at_ms - now_ms())
    if options.to is not None:
        yield from address_violations(options.to, "options", "to")


def _overdue(event: Event) -> Violation | None:
    if event.options.send_at is None or event.send_at_ms >= now_ms() - SEND_AT_TOLERANCE_S * 1000:
        return None
    return Violation("/options/send_at", "is in the past")


def _send_at_violations(ahead_ms: int) -> Iterator[Violation]:
    if ahead_ms > MAX_AHEAD_DAYS * 24 * 3600 * 1000:
        yield Violation("/options/send_at", f"is more than {MAX_AHEAD_DAYS} days ahead")


def tree_violations(event: Event, body: bytes) -> Iterator[Violation]:
    """NUL and depth in the free parts; surrogates and numbers that are none cannot pass the decoder."""
    # Two searches of the bytes spare nearly every event the walk.
    if ESCAPED_NUL not in body and body.count(b"{") + body.count(b"[") <= MAX_DEPTH:
        return
    yield from _walk(event.content, ("content",))
    yield from _walk(event.metadata, ("metadata",))


def _walk(value: Any, place: tuple[str | int, ...]) -> Iterator[Violation]:
    if isinstance(value, str):
        if "\0" in value:
            yield Violation(pointer(*place), "contains NUL")
        return
    if not isinstance(value, dict | list):
        return
    # The event itself is the first level.
    if len(place) >= MAX_DEPTH:
        yield Violation(pointer(*place), f"is nested deeper than {MAX_DEPTH} levels")
        return
    for step, child in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(step, str) and "\0" in step:
            yield Violation(pointer(*place), "has a key that contains NUL")
            continue
        yield from _walk(child, (*place, step))
