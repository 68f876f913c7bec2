"""Listings newest first, page by page."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection, RowMapping, Select, and_, or_

from app.domain.cursor import Position, cursor_behind


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
    return shown, cursor_behind(Position(shown[-1][at], shown[-1][row_id])) if has_more else None
