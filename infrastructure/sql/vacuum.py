"""Rewriting a SQLite file: what was deleted or overwritten stays in its free pages, and in the WAL, until then."""

from __future__ import annotations

from contextlib import closing

from sqlalchemy import Engine

from app.domain.errors import StoreUnavailableError
from infrastructure.sql.failures import store_errors


def vacuum(engine: Engine) -> None:
    """Rewrite the file and empty its WAL; nothing on a server. Raises StoreUnavailableError where others are busy."""
    if engine.dialect.name != "sqlite":
        return
    # Not by a Connection: a VACUUM cannot run within the transaction that one begins.
    with store_errors(), closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        cursor.execute("VACUUM")
        is_busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        cursor.close()
    if is_busy:
        raise StoreUnavailableError("SQL: the file is in use; its WAL was not emptied")
