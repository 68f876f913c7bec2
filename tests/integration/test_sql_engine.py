"""Connections: time limits, one kind of error, SQLite's settings, forks."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from app.domain.errors import ConfigError, StoreUnavailableError
from app.domain.users import User
from infrastructure.sql import engine as sql
from infrastructure.sql.connecting import connect_arguments
from infrastructure.sql.migrate import migrate
from infrastructure.sql.users import SqlUsers

SECRET = "anna@example.com"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return sql.shared_engine(f"sqlite:///{tmp_path / 'a.db'}", 0.2)


def test_sqlite_runs_in_wal_mode_with_foreign_keys(engine: Engine) -> None:
    with sql.reading(engine) as connection:
        values = [connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert values == ["wal", 1, 1]


def test_a_block_that_raises_leaves_nothing_behind(engine: Engine) -> None:
    migrate(engine, "main")

    def fail_halfway() -> None:
        with sql.writing(engine) as connection:
            connection.execute(text("INSERT INTO preferences VALUES ('anna', '{}', 1)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    with sql.reading(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM preferences")) == 0


def test_a_lock_that_is_not_free_in_time_is_an_unavailable_store(engine: Engine) -> None:
    migrate(engine, "main")
    with sql.writing(engine):
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="locked"):
            SqlUsers(engine).put(User(id="anna"))
        assert 0.1 < time.monotonic() - begun < 3


def test_readers_do_not_wait_for_a_writer(engine: Engine) -> None:
    migrate(engine, "main")
    with sql.writing(engine):
        assert SqlUsers(engine).get("anna") is None


def test_a_missing_table_is_an_unavailable_store(engine: Engine) -> None:
    with pytest.raises(StoreUnavailableError, match="no such table"):
        SqlUsers(engine).get("anna")


def test_errors_do_not_tell_values(engine: Engine) -> None:
    migrate(engine, "main")
    with pytest.raises(StoreUnavailableError) as raised, sql.writing(engine) as connection:
        connection.execute(text("INSERT INTO users VALUES (:id, NULL, NULL, NULL, 1)"), {"id": SECRET})
    assert SECRET not in str(raised.value)
    assert SECRET not in str(raised.value.__cause__)


def test_a_folder_that_cannot_be_made_is_an_unavailable_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailableError):
        sql.make_engine(f"sqlite:///{tmp_path / 'file' / 'a.db'}", 1)


@pytest.mark.parametrize("url", ["nonsense+driver://user:secret@host/db", "secret"])
def test_a_url_that_is_none_is_a_wrong_setting_told_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as raised:
        sql.make_engine(url, 1)
    assert "secret" not in str(raised.value)


def test_one_engine_a_process_and_url(engine: Engine, tmp_path: Path) -> None:
    assert sql.shared_engine(f"sqlite:///{tmp_path / 'a.db'}", 0.2) is engine
    assert sql.shared_engine(f"sqlite:///{tmp_path / 'b.db'}", 0.2) is not engine


def test_a_forked_child_gets_connections_of_its_own_and_leaves_the_parents_open(engine: Engine) -> None:
    migrate(engine, "main")
    users = SqlUsers(engine)
    users.put(User(id="parent"))
    pooled = engine.pool
    child = os.fork()
    if child == 0:
        sql.dispose_after_fork()
        is_fresh = engine.pool is not pooled
        users.put(User(id="child"))
        os._exit(0 if is_fresh else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [user.id for user in users.list()] == ["child", "parent"]
    assert engine.pool is pooled


def test_every_wait_for_a_server_has_a_limit() -> None:
    limits = connect_arguments("mariadb", 2.5)
    assert {name: limits[name] for name in limits if name.endswith("_timeout")} == {
        "connect_timeout": 2,
        "read_timeout": 2,
        "write_timeout": 2,
    }
