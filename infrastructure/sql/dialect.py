"""All that differs between SQLite and MySQL/MariaDB: column types, insert-if-absent, the lock of a migration.

A MariaDB server is to be named `mariadb://` (not `mysql://`), the database is to be made with utf8mb4.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Insert, LargeBinary, String, Table, func, insert, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.types import TypeEngine

from app.domain.errors import StoreUnavailableError

SERVERS = ("mysql", "mariadb")
BODY_BYTES = 2**24 - 1


def key(length: int) -> TypeEngine[str]:
    """Text of up to `length` characters that is compared byte by byte, trailing blanks and case included."""
    return (
        String(length)
        .with_variant(mysql.VARCHAR(length, collation="utf8mb4_0900_bin"), "mysql")
        .with_variant(mysql.VARCHAR(length, collation="utf8mb4_nopad_bin"), "mariadb")
    )


def body() -> LargeBinary:
    """Encoded JSON of up to 16 MB."""
    return LargeBinary(BODY_BYTES)


def insert_new(connection: Connection, table: Table) -> Insert:
    """An insert that leaves rows alone whose key is there; `rowcount` of a single row says whether it was new."""
    if connection.dialect.name in SERVERS:
        return insert(table).prefix_with("IGNORE")
    return sqlite.insert(table).on_conflict_do_nothing()


def insert_or_add(connection: Connection, table: Table, column: str) -> Insert:
    """An insert that adds to `column` of the row whose key is there."""
    if connection.dialect.name in SERVERS:
        on_server = mysql.insert(table)
        return on_server.on_duplicate_key_update({column: table.c[column] + on_server.inserted[column]})
    in_file = sqlite.insert(table)
    return in_file.on_conflict_do_update(
        index_elements=table.primary_key.columns, set_={column: table.c[column] + in_file.excluded[column]}
    )


@contextmanager
def migration_lock(connection: Connection, name: str, timeout_s: float) -> Iterator[None]:
    """Hold off other migrations of this database.

    SQLite needs nothing: a writing connection has the database to itself. MySQL commits at each DDL statement, so a
    lock that outlives transactions is taken. Raises StoreUnavailableError when it is not free in time.
    """
    if connection.dialect.name not in SERVERS:
        yield
        return
    if connection.scalar(select(func.get_lock(name, timeout_s))) != 1:
        raise StoreUnavailableError(f"another migration of {name} is under way")
    try:
        yield
    finally:
        connection.execute(select(func.release_lock(name)))


def connect_arguments(backend: str, timeout_s: float) -> dict[str, Any]:
    """The driver's own time limits, so that no statement waits longer than `timeout_s`."""
    if backend in SERVERS:
        whole_s = max(1, round(timeout_s))
        return {"connect_timeout": whole_s, "read_timeout": whole_s, "write_timeout": whole_s, "charset": "utf8mb4"}
    return {"timeout": timeout_s, "check_same_thread": False}
