"""Versions of a user's rows, and the copies that others keep of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Table, select

from app.domain.clock import now_ms
from app.domain.errors import HalfStoredError, StoreUnavailableError


def version_of(connection: Connection, table: Table, user_id: str) -> int:
    """The version of the user's row, which is locked; 0 where there is none."""
    query = select(table.c.version).where(table.c.user_id == user_id).with_for_update()
    return connection.scalar(query) or 0


def next_version(version: int) -> int:
    """The version of a change: larger than that of the row, and of one that was there before it was deleted."""
    return max(version + 1, now_ms())


@contextmanager
def copying() -> Iterator[None]:
    """Tell others of a change that is committed. Raises HalfStoredError where they cannot be told."""
    try:
        yield
    except StoreUnavailableError as error:
        raise HalfStoredError(f"stored, but an older copy may be left, so repeat it: {error}") from error
