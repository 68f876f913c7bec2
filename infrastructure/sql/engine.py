"""Connections: made once for a process and URL, with time limits, and one error for all that can go wrong.

After a fork the child must call `dispose_after_fork` before its first statement: a connection shared by two processes
mixes their answers up.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.exc import ArgumentError

from app.domain.errors import ConfigError
from infrastructure.sql.connecting import connect_arguments
from infrastructure.sql.dialect import SERVERS
from infrastructure.sql.failures import store_errors

POOL_RECYCLE_S = 1800  # below the 8 h after which MySQL drops idle connections, and what firewalls commonly allow

_WRITES = "writes"
_engines: dict[tuple[str, float], Engine] = {}
_engines_lock = threading.Lock()


def make_engine(url: str, timeout_s: float, statement_s: float | None = None) -> Engine:
    """An engine whose statements wait at most `timeout_s` for a lock, a connection or an answer.

    `statement_s` is for a server's statements that take longer, such as those of a migration.

    Connects to nothing yet; makes the folder of a SQLite file and raises StoreUnavailableError where that fails.
    Raises ConfigError for a URL that is none, or whose driver is not installed.
    """
    try:
        engine = _create(sqlalchemy.make_url(url), timeout_s, statement_s)
    except (ArgumentError, ImportError) as error:
        raise ConfigError(f"database URL: {error}") from error
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    return engine


def shared_engine(url: str, timeout_s: float) -> Engine:
    """The process's engine for this URL."""
    with _engines_lock:
        if (url, timeout_s) not in _engines:
            _engines[url, timeout_s] = make_engine(url, timeout_s)
        return _engines[url, timeout_s]


def dispose_after_fork() -> None:
    """Forget the parent's connections without closing them: they are still the parent's."""
    for engine in _engines.values():
        engine.dispose(close=False)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that only reads."""
    with store_errors(), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes: committed when the block ends, rolled back when it raises.

    Whoever uses it is decorated with `failures.repeated`: on a server any transaction may lose against another.
    """
    with store_errors(), engine.execution_options(**{_WRITES: True}).begin() as connection:
        yield connection


def _create(url: URL, timeout_s: float, statement_s: float | None) -> Engine:
    is_server = url.get_backend_name() in SERVERS
    options: dict[str, Any] = {"isolation_level": "READ COMMITTED"} if is_server else {}
    return sqlalchemy.create_engine(
        url,
        connect_args=connect_arguments(url.get_backend_name(), timeout_s, statement_s),
        pool_timeout=timeout_s,
        pool_pre_ping=is_server,
        pool_recycle=POOL_RECYCLE_S,
        hide_parameters=True,
        **options,
    )


def _prepare_sqlite(engine: Engine) -> None:
    if engine.url.database and engine.url.database != ":memory:":
        with store_errors():
            Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)


def _set_pragmas(dbapi_connection: Any, _record: Any) -> None:
    dbapi_connection.isolation_level = None  # the driver would begin by itself, and too late: see _begin
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        dbapi_connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    """A writer takes the lock first: one that reads before it writes would fail at once where another has written."""
    is_writing = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")
