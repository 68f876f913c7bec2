"""Cursors of listings newest first: the (time, id) of the last row shown."""

from __future__ import annotations

import base64
from typing import Annotated

from msgspec import Meta, Struct

from app.domain.codec import decode, encode
from app.domain.errors import UndecodableError


class Position(Struct, frozen=True, array_like=True):
    """The last row of a page."""

    at_ms: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    id: str


def position(cursor: str | None) -> Position | None:
    """Where a cursor stands. Raises ValueError for one that is none of ours."""
    if cursor is None:
        return None
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        return decode(base64.b64decode(padded, altchars=b"-_", validate=True), Position)
    except (UndecodableError, ValueError) as error:
        raise ValueError("not a cursor of this listing") from error


def cursor_behind(last: Position) -> str:
    """The cursor of the page that follows this row."""
    return base64.urlsafe_b64encode(encode(last)).decode().rstrip("=")
