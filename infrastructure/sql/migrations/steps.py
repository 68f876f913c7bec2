"""What migrations are made of: each step may be repeated.

MySQL and MariaDB commit at each statement that changes the schema, so an interrupted migration leaves a part of itself,
and runs again from its beginning. By inspection: MySQL knows no `IF NOT EXISTS` of columns and indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy
from alembic import op
from sqlalchemy import Column, Inspector

from app.domain.errors import StoreUnavailableError


def create_table(table: str, *columns: Column[Any]) -> None:
    """Unless it is there; raises StoreUnavailableError where one of that name has other columns."""
    inspector = _inspector()
    if not inspector.has_table(table):
        op.create_table(table, *columns)
    elif {column["name"] for column in inspector.get_columns(table)} != {column.name for column in columns}:
        raise StoreUnavailableError(f"SQL: there is another table {table}, with other columns: use an empty database")


def drop_table(table: str) -> None:
    """Unless it is gone."""
    op.drop_table(table, if_exists=True)


def add_column(table: str, column: Column[Any]) -> None:
    """Unless it is there."""
    if not _has_column(table, column.name):
        op.add_column(table, column)


def drop_column(table: str, column: str) -> None:
    """Unless it is gone."""
    if _has_column(table, column):
        op.drop_column(table, column)


def create_index(index: str, table: str, columns: Sequence[str]) -> None:
    """Unless it is there."""
    if not _inspector().has_index(table, index):
        op.create_index(index, table, columns)


def drop_index(index: str, table: str) -> None:
    """Unless it is gone."""
    if _inspector().has_index(table, index):
        op.drop_index(index, table)


def _has_column(table: str, name: str) -> bool:
    return any(column["name"] == name for column in _inspector().get_columns(table))


def _inspector() -> Inspector:
    """A new one each time: it remembers what it has seen."""
    return sqlalchemy.inspect(op.get_bind())
