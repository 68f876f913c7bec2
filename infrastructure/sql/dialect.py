"""All that differs between SQLite and MySQL/MariaDB: column types, insert-if-absent, the lock of a migration.

A MariaDB server may be named `mariadb://` or `mysql://`; the database is to be made with utf8mb4.
"""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, Dialect, Insert, LargeBinary, String, Table, Text, func, select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.domain.errors import StoreUnavailableError

SERVERS: Final = ("mysql", "mariadb")
BODY_BYTES: Final = 2**24 - 1
#: The oldest servers that know all that is used: SKIP LOCKED, and collations that take trailing blanks for characters.
OLDEST: Final = {"MySQL": (8, 0, 17), "MariaDB": (10, 6)}


class Key(TypeDecorator[str]):
    """Text that is compared byte by byte, trailing blanks and case included."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column's type; by what the server is, whatever the URL calls it."""
        length: int = self.impl_instance.length  # type: ignore[attr-defined]  # a String has one
        if dialect.name not in SERVERS:
            return dialect.type_descriptor(String(length))
        collation = "utf8mb4_nopad_bin" if getattr(dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
        return dialect.type_descriptor(mysql.VARCHAR(length, collation=collation))


def key(length: int) -> Key:
    """Text of up to `length` characters that is compared byte by byte."""
    return Key(length)


def body() -> TypeEngine[bytes]:
    """Encoded JSON of up to 16 MB."""
    return LargeBinary(BODY_BYTES).with_variant(mysql.MEDIUMBLOB(), *SERVERS)


def long_text() -> TypeEngine[str]:
    """Text of up to 16 MB."""
    return Text(BODY_BYTES).with_variant(mysql.MEDIUMTEXT(), *SERVERS)


def digest(length: int) -> TypeEngine[bytes]:
    """Up to `length` bytes, and never more than 255."""
    return LargeBinary(length).with_variant(mysql.TINYBLOB(), *SERVERS)


class _InsertOnServer(Insert):
    """An insert that ends in ON DUPLICATE KEY UPDATE.

    Not SQLAlchemy's own: what that makes for MySQL 8 (`AS new`) the driver sends row by row. Not IGNORE: it cuts what
    is too long, and takes a lock that a later UPDATE of the same row may die of.
    """

    inherit_cache = False
    changes: ClassVar[str] = ""


@compiles(_InsertOnServer)
def _with_changes(element: _InsertOnServer, compiler: Any, **options: Any) -> str:
    return f"{compiler.visit_insert(element, **options)} ON DUPLICATE KEY UPDATE {element.changes}"


def _on_server(table: Table, changes: str) -> Insert:
    made = _InsertOnServer(table)
    made.changes = changes  # type: ignore[misc]  # of this statement; the class has none
    return made


def insert_new(connection: Connection, table: Table) -> Insert:
    """An insert that leaves rows alone whose key is there; `rowcount` says nothing."""
    if connection.dialect.name in SERVERS:
        name = next(iter(table.primary_key.columns)).name
        return _on_server(table, f"{name} = {name}")
    return sqlite.insert(table).on_conflict_do_nothing()


def insert_or_add(connection: Connection, table: Table, column: str) -> Insert:
    """An insert that adds to `column` of the row whose key is there."""
    if connection.dialect.name in SERVERS:
        return _on_server(table, f"{column} = {column} + VALUES({column})")
    in_file = sqlite.insert(table)
    return in_file.on_conflict_do_update(
        index_elements=table.primary_key.columns, set_={column: table.c[column] + in_file.excluded[column]}
    )


def check_server(connection: Connection) -> None:
    """Raise StoreUnavailableError for a server that is too old, or a database that cannot hold all characters."""
    dialect: Any = connection.dialect
    if dialect.name not in SERVERS:
        return
    kind = "MariaDB" if dialect.is_mariadb else "MySQL"
    if dialect.server_version_info < OLDEST[kind]:
        oldest = ".".join(map(str, OLDEST[kind]))
        raise StoreUnavailableError(f"SQL: the server is older than {kind} {oldest}")
    charset = connection.exec_driver_sql("SELECT @@character_set_database").scalar_one()
    if charset != "utf8mb4":
        raise StoreUnavailableError(
            f"SQL: the database's character set is {charset}: it must be utf8mb4 (ALTER DATABASE ... CHARACTER SET)"
        )


def lock_migrations(connection: Connection, name: str, timeout_s: float) -> None:
    """Hold off other migrations of this database until the connection is closed: that is after its commit.

    SQLite needs nothing: a writing connection has the database to itself. MySQL commits at each DDL statement, so a
    lock that outlives transactions is taken; it ends with its session, also where the client was killed. Raises
    StoreUnavailableError when it is not free in time.
    """
    if connection.dialect.name not in SERVERS:
        return
    # Such locks are the server's, and their names at most 64 characters long.
    of_database = hashlib.sha256(str(connection.engine.url.database).encode()).hexdigest()[:16]
    if connection.scalar(select(func.get_lock(f"{name}_{of_database}", timeout_s))) != 1:
        raise StoreUnavailableError(f"another migration of {name} is under way")
    connection.detach()  # a pool would keep the session, and the lock with it
