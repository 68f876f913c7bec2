"""Databases of a test process on the real MariaDB: made at the first use, migrated once, emptied for each test."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Iterator

import pytest
import sqlalchemy
from sqlalchemy import Engine, MetaData

from infrastructure.sql.engine import make_engine
from infrastructure.sql.migrate import Kind, migrate
from infrastructure.sql.schema import HISTORY, MAIN
from tests.support.services import running_services

TIMEOUT_S = 5.0
#: The two databases of a service.
TABLES: dict[Kind, MetaData] = {"main": MAIN, "history": HISTORY}

_made: list[str] = []


def new_database(charset: str = "utf8mb4") -> str:
    """The URL of an empty database of a name of its own; it is dropped when the tests are over."""
    name = f"notify_test_{secrets.token_hex(6)}"
    _administer(f"CREATE DATABASE {name} CHARACTER SET {charset}")
    _made.append(name)
    return f"{running_services().database}/{name}"


@functools.cache
def _migrated() -> dict[Kind, str]:
    urls = {kind: new_database() for kind in TABLES}
    for kind, url in urls.items():
        engine = make_engine(url, TIMEOUT_S, 60.0)
        migrate(engine, kind)
        engine.dispose()
    return urls


def emptied_databases() -> dict[Kind, str]:
    """The URLs of this process's two databases, migrated, with nothing in them. Skips without the services."""
    urls = _migrated()
    for kind, url in urls.items():
        engine = make_engine(url, TIMEOUT_S)
        with engine.begin() as connection:
            for table in TABLES[kind].sorted_tables:
                connection.execute(table.delete())
        engine.dispose()
    return urls


@pytest.fixture(scope="session", autouse=True)
def _databases_dropped() -> Iterator[None]:
    yield
    for name in _made:
        _administer(f"DROP DATABASE IF EXISTS {name}")
    _made.clear()
    _migrated.cache_clear()


def _administer(statement: str) -> None:
    server: Engine = make_engine(running_services().database, TIMEOUT_S, 60.0)
    with server.connect() as connection:
        connection.execute(sqlalchemy.text(statement))
    server.dispose()
