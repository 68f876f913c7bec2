"""Listings newest first, page by page: a cursor is the (time, id) of the last row shown."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from msgspec import Meta, Struct
from sqlalchemy import Column, Connection, RowMapping, Select, and_, or_

from app.domain.codec import decode, encode
from app.domain.errors import UndecodableError


class Position(Struct, frozen=True, array_like=True):
    """The last row of a page."""

    at_ms: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    id: str


def newest(
    connection: Connection,
    query: Select[*tuple[Any, ...]],
    order: tuple[Column[Any], Column[Any]],
    after: Position | None,
    limit: int,
) -> tuple[list[RowMapping], str | None]:
    """Up to `limit` rows by (time, id), and the cursor behind them (None: there are no more)."""
    at, row_id = order
    if after is not None:
        query = query.where(or_(at < after.at_ms, and_(at == after.at_ms, row_id < after.id)))
    rows = connection.execute(query.order_by(at.desc(), row_id.desc()).limit(limit + 1)).mappings().all()
    shown = list(rows[:limit])
    has_more = shown and len(rows) > limit
    return shown, _cursor(Position(shown[-1][at], shown[-1][row_id])) if has_more else None


def position(cursor: str | None) -> Position | None:
    """Where a cursor stands. Raises ValueError for one that is none of ours."""
    if cursor is None:
        return None
    padded = cursor + "=" * (-len(cursor) % 4)
    try:
        return decode(base64.b64decode(padded, altchars=b"-_", validate=True), Position)
    except (UndecodableError, ValueError) as error:
        raise ValueError("not a cursor of this listing") from error


def _cursor(last: Position) -> str:
    return base64.urlsafe_b64encode(encode(last)).decode().rstrip("=")
