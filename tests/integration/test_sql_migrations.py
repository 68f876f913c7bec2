"""Migrations: they end at the schema the code uses, can be undone, and may be run by several processes at once."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, MetaData

from app.domain.delivery import Parked
from app.domain.errors import StoreUnavailableError
from app.domain.outcome import Outcome, Reason, Status
from app.domain.statistics import DIMENSIONS, HOUR_MS, CountQuery
from infrastructure.sql.dialect import migration_lock
from infrastructure.sql.engine import make_engine, writing
from infrastructure.sql.history import SqlHistory
from infrastructure.sql.migrate import Kind, downgrade, migrate
from infrastructure.sql.parked import SqlParked
from infrastructure.sql.schema import HISTORY, MAIN
from infrastructure.sql.statistics import SqlStatistics
from tests.support.deliveries import delivery
from tests.support.mariadb import new_database

KINDS: dict[Kind, MetaData] = {"main": MAIN, "history": HISTORY}
ROOT = Path(__file__).parents[2]
PROCESSES = 4
MIGRATE = """
import sys
from infrastructure.sql.engine import make_engine
from infrastructure.sql.migrate import migrate
sys.stdin.readline()
migrate(make_engine(sys.argv[1], 20, 60), "main")
"""


@pytest.fixture(params=["sqlite", "mariadb", "mysql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """On an empty database; `mysql` is a MariaDB server that the URL calls so."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'new' / 'folder' / 'a.db'}"
    else:
        url = new_database().replace("mariadb+", f"{request.param}+")
    engine = make_engine(url, 5, 60)
    yield engine
    engine.dispose()


def tables(engine: Engine) -> set[str]:
    return set(sqlalchemy.inspect(engine).get_table_names()) - {"alembic_version"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_newest_revision_is_the_schema_of_the_code(engine: Engine, kind: Kind) -> None:
    migrate(engine, kind)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), KINDS[kind]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_keys_are_those_of_the_code(engine: Engine, kind: Kind) -> None:
    migrate(engine, kind)
    inspector = sqlalchemy.inspect(engine)
    for table in KINDS[kind].sorted_tables:
        primary = inspector.get_pk_constraint(table.name)["constrained_columns"]
        assert primary == [column.name for column in table.primary_key]


@pytest.mark.parametrize("kind", KINDS)
def test_going_back_leaves_nothing_and_going_forward_again_works(engine: Engine, kind: Kind) -> None:
    migrate(engine, kind)
    downgrade(engine, kind)
    assert tables(engine) == set()
    migrate(engine, kind)
    assert tables(engine) == set(KINDS[kind].tables)


def test_a_history_from_before_the_counts_is_counted(engine: Engine) -> None:
    migrate(engine, "history")
    chance = random.Random(7)  # noqa: S311 - the same each time
    outcomes = [
        Outcome(
            notification_id=f"n-{number % 60}",
            delivery_id=chance.choice(["", f"d-{number % 60}-email", f"d-{number % 60}-sms"]),
            user_id="anna",
            event_type=f"type-{number % 2}",
            channel="email",
            pass_no=chance.randrange(3),
            attempt=chance.randrange(2),
            status=chance.choice(list(Status)),
            reason=chance.choice(["", "ttl", "muted"]),
            at_ms=chance.randrange(1, 4),
            accepted_at_ms=number % 60 * HOUR_MS // 7 + 1,
        )
        for number in range(600)
    ]
    SqlHistory(engine).append(outcomes)
    query = CountQuery(from_ms=0, to_ms=100 * HOUR_MS, group_by=DIMENSIONS)
    kept = SqlStatistics(engine).counts(query)
    downgrade(engine, "history", "history_0001")
    migrate(engine, "history")
    assert len(kept) > 20
    assert SqlStatistics(engine).counts(query) == kept


def test_rows_parked_before_belong_to_their_users_afterwards(engine: Engine) -> None:
    migrate(engine, "main")
    rows = [
        Parked(delivery=delivery(name, user_id=user_id), due_at_ms=1, reason=Reason.MUTED)
        for name, user_id in (("a", "anna"), ("b", 'b\N{LATIN SMALL LETTER O WITH DIAERESIS}rn "x"'), ("c", "anna"))
    ]
    SqlParked(engine).park(rows)
    downgrade(engine, "main", "main_0001")
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE parked SET body = X'ff00' WHERE delivery_id = 'c'"))
    migrate(engine, "main")
    lease = {"now_ms": 1, "lease_until_ms": 2, "owner": "o", "limit": 9}
    for row in rows[:2]:
        assert SqlParked(engine).lease_of_user(row.delivery.event.user_id, **lease) == [row]


def test_migrating_again_is_harmless_and_says_nothing(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    migrate(engine, "main")
    migrate(engine, "main")
    assert tables(engine) == set(MAIN.tables)
    assert capfd.readouterr() == ("", "")


def test_processes_that_migrate_at_the_same_time_all_succeed(engine: Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    started = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, url], cwd=ROOT, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(PROCESSES)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    ends = [(process.communicate(timeout=60)[1], process.returncode) for process in started]
    assert ends == [(b"", 0)] * PROCESSES
    assert tables(engine) == set(MAIN.tables)


def test_a_database_that_is_not_there_is_told_and_not_made() -> None:
    url = new_database().rpartition("/")[0] + "/notify_test_missing"
    with pytest.raises(StoreUnavailableError, match="1049 there is no such database"):
        migrate(make_engine(url, 5), "main")


def test_a_database_that_cannot_hold_all_characters_is_refused() -> None:
    engine = make_engine(new_database("latin1"), 5)
    with pytest.raises(StoreUnavailableError, match="latin1: it must be utf8mb4"):
        migrate(engine, "main")
    assert tables(engine) == set()
    engine.dispose()


def test_a_migration_on_a_server_waits_for_another_of_its_database_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.sql.migrate.LOCK_WAIT_S", 0.2)
    first, other = (make_engine(new_database(), 5, 60) for _ in range(2))
    with writing(first) as connection, migration_lock(connection, "notify_migrate_main", 1):
        migrate(other, "main")
        with pytest.raises(StoreUnavailableError, match="another migration"):
            migrate(first, "main")
    migrate(first, "main")
    first.dispose()
    other.dispose()
