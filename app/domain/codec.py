"""Records to bytes and back, with one error for all that can be wrong with them."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from app.domain.errors import UndecodableError

T = TypeVar("T")

_encoder = msgspec.json.Encoder()


def encode(record: object) -> bytes:
    """The record as JSON."""
    return _encoder.encode(record)


def decode(body: bytes | str, kind: type[T]) -> T:
    """A record of this kind. Raises UndecodableError, whose text names the place but quotes no content."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UndecodableError(str(error)) from error
    except RecursionError as error:
        raise UndecodableError("is nested too deep") from error
