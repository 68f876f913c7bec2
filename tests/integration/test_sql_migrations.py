"""Migrations: they end at the schema the code uses, can be undone and interrupted; several processes may run them."""

from __future__ import annotations

import itertools
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, MetaData, event

from app.domain.delivery import Parked
from app.domain.errors import StoreUnavailableError
from app.domain.outcome import Outcome, Reason, Status
from app.domain.statistics import DIMENSIONS, HOUR_MS, CountQuery
from infrastructure.sql.dialect import lock_migrations
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
KILLED = """
import os, signal, sys
from sqlalchemy import event
from infrastructure.sql.engine import make_engine
from infrastructure.sql.migrate import migrate
engine = make_engine(sys.argv[1], 20, 60)
@event.listens_for(engine, "before_cursor_execute")
def kill(connection, cursor, text, *rest):
    if "CREATE INDEX parked_due" in text:
        os.kill(os.getpid(), signal.SIGKILL)
migrate(engine, "main")
"""
WRITES = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE")
#: More places than any run of migrations has.
PLACES = 100
ALL_COUNTS = CountQuery(from_ms=0, to_ms=100 * HOUR_MS, group_by=DIMENSIONS)


class InterruptedHereError(Exception):
    """Raised in the middle of a migration."""


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


def schema(engine: Engine) -> dict[str, Any]:
    """All that the database tells of its tables, as text."""
    inspector = sqlalchemy.inspect(engine)
    return {
        table: (
            [repr(sorted(column.items(), key=str)) for column in inspector.get_columns(table)],
            inspector.get_pk_constraint(table)["constrained_columns"],
            sorted(map(repr, inspector.get_indexes(table))),
        )
        for table in tables(engine)
    }


@contextmanager
def before_each_write(engine: Engine, act: Callable[[Connection, str], None]) -> Iterator[None]:
    """Call `act` before each statement that writes, and before each commit (`COMMIT`)."""

    def statement(connection: Connection, _cursor: Any, text: str, *_rest: Any) -> None:
        if text.lstrip().upper().startswith(WRITES):
            act(connection, text)

    def commit(connection: Connection) -> None:
        act(connection, "COMMIT")

    event.listen(engine, "before_cursor_execute", statement)
    event.listen(engine, "commit", commit)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", statement)
        event.remove(engine, "commit", commit)


def is_interrupted(engine: Engine, place: int, work: Callable[[], None]) -> bool:
    """Do the work, stopped before its `place`-th write (the first is 0); False where it had no more than those."""
    writes = itertools.count()

    def act(_connection: Connection, _text: str) -> None:
        if next(writes) == place:
            raise InterruptedHereError

    with before_each_write(engine, act), suppress(InterruptedHereError):
        work()
        return False
    return True


def some_outcomes() -> list[Outcome]:
    chance = random.Random(7)  # noqa: S311 - the same each time
    return [
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
    SqlHistory(engine).append(some_outcomes())
    kept = SqlStatistics(engine).counts(ALL_COUNTS)
    downgrade(engine, "history", "history_0001")
    migrate(engine, "history")
    assert len(kept) > 20
    assert SqlStatistics(engine).counts(ALL_COUNTS) == kept


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
    for row in rows[:2]:
        user_id = row.delivery.event.user_id
        assert SqlParked(engine).lease_of_user(user_id, now_ms=1, lease_until_ms=2, owner="o", limit=9) == [row]


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_anywhere_it_is_finished_by_another_run(engine: Engine, kind: Kind) -> None:
    """Up and down, before each statement and before the commit; between two runs all of a whole one is there."""
    migrate(engine, kind)
    whole = schema(engine)
    downgrade(engine, kind)
    for place in range(PLACES):
        is_up_cut = is_interrupted(engine, place, lambda: migrate(engine, kind))
        migrate(engine, kind)
        assert schema(engine) == whole
        is_down_cut = is_interrupted(engine, place, lambda: downgrade(engine, kind))
        downgrade(engine, kind)
        assert schema(engine) == {}
        if not is_up_cut and not is_down_cut:
            break
    assert len(whole) < place < PLACES - 1


def test_a_history_whose_counting_was_interrupted_is_counted_once(engine: Engine) -> None:
    migrate(engine, "history")
    SqlHistory(engine).append(some_outcomes())
    kept = SqlStatistics(engine).counts(ALL_COUNTS)
    is_cut, place = True, 0
    while is_cut:
        downgrade(engine, "history", "history_0001")
        is_cut = is_interrupted(engine, place, lambda: migrate(engine, "history"))
        migrate(engine, "history")
        assert SqlStatistics(engine).counts(ALL_COUNTS) == kept
        place += 1
    assert place > 3


def test_what_was_counted_before_the_interrupted_run_is_finished_is_counted_once(engine: Engine) -> None:
    """Nothing tells a new process, which counts by itself, that the migration before it was not finished."""
    migrate(engine, "history")
    SqlHistory(engine).append(some_outcomes())
    kept = SqlStatistics(engine).counts(ALL_COUNTS)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE alembic_version SET version_num = 'history_0001'"))
    migrate(engine, "history")
    assert SqlStatistics(engine).counts(ALL_COUNTS) == kept


def test_rows_parked_before_an_interrupted_run_belong_to_their_users(engine: Engine) -> None:
    migrate(engine, "main")
    row = Parked(delivery=delivery("a", user_id="anna"), due_at_ms=1, reason=Reason.MUTED)
    SqlParked(engine).park([row])
    is_cut, place = True, 0
    while is_cut:
        downgrade(engine, "main", "main_0003")
        is_cut = is_interrupted(engine, place, lambda: migrate(engine, "main"))
        migrate(engine, "main")
        leased = SqlParked(engine).lease_of_user("anna", now_ms=place, lease_until_ms=place + 1, owner="o", limit=9)
        assert leased == [row]
        place += 1
    assert place > 5


def test_a_table_of_the_same_name_that_is_not_ours_is_left_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE inbox (id INTEGER PRIMARY KEY, sender INTEGER)"))
    before = schema(engine)["inbox"]
    with pytest.raises(StoreUnavailableError, match="another table inbox"):
        migrate(engine, "main")
    assert schema(engine)["inbox"] == before


def test_a_connection_that_is_lost_under_way_is_told_and_another_run_finishes() -> None:
    engine = make_engine(new_database(), 5, 60)

    def cut(connection: Connection, text: str) -> None:
        if "CREATE INDEX parked_due" in text:
            number = connection.scalar(sqlalchemy.text("SELECT CONNECTION_ID()"))
            with engine.connect() as other:
                other.execute(sqlalchemy.text(f"KILL {number}"))

    with before_each_write(engine, cut), pytest.raises(StoreUnavailableError, match="the connection was lost"):
        migrate(engine, "main")
    migrate(engine, "main")
    assert tables(engine) == set(MAIN.tables)
    engine.dispose()


def test_a_process_that_is_killed_under_way_holds_nobody_up_and_another_finishes(engine: Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    killed = subprocess.run([sys.executable, "-c", KILLED, url], cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, b"")
    migrate(engine, "main")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), MAIN) == []


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
    with writing(first) as connection:
        lock_migrations(connection, "notify_migrate_main", 1)
        migrate(other, "main")
        with pytest.raises(StoreUnavailableError, match="another migration"):
            migrate(first, "main")
    migrate(first, "main")
    first.dispose()
    other.dispose()


def test_the_next_migration_on_a_server_is_let_in_after_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.sql.migrate.LOCK_WAIT_S", 0.2)
    url = new_database()
    first, second = (make_engine(url, 5, 60) for _ in range(2))
    refusals: list[str] = []

    def try_second(_connection: Connection, text: str) -> None:
        if text == "COMMIT":
            with pytest.raises(StoreUnavailableError) as refused:
                migrate(second, "main")
            refusals.append(str(refused.value))

    with before_each_write(first, try_second):
        migrate(first, "main")
    assert len(refusals) == 1
    assert "another migration" in refusals[0]
    migrate(second, "main")
    first.dispose()
    second.dispose()
