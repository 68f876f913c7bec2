"""A real server: limits of time, lost connections, transactions that lose, what does not fit, how much is sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, insert, text, update

from app.domain.errors import StoreUnavailableError
from app.domain.users import Contacts, Preferences, User
from infrastructure.sql import failures
from infrastructure.sql.dialect import insert_new
from infrastructure.sql.engine import make_engine, reading, writing
from infrastructure.sql.failures import repeated
from infrastructure.sql.preferences import SqlPreferences
from infrastructure.sql.schema import preferences, users
from infrastructure.sql.users import SqlUsers
from tests.support.mariadb import emptied_databases
from tests.support.services import RealServices
from tests.support.soon import SOON_S, soon

TIMEOUT_S = 3.0


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = make_engine(emptied_databases()["main"], TIMEOUT_S)
    yield made
    made.dispose()


def status(connection: Connection, name: str) -> int:
    row = connection.exec_driver_sql(f"SHOW SESSION STATUS LIKE '{name}'").one()
    return int(row[1])


def one_value(engine: Engine, statement: str) -> object:
    with reading(engine) as connection:
        result = connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None


# limits of time


def test_a_statement_that_takes_too_long_is_ended_by_the_server_and_the_connection_goes_on(engine: Engine) -> None:
    mine = one_value(engine, "SELECT CONNECTION_ID()")
    with soon("the caller"), pytest.raises(StoreUnavailableError, match="1969 a statement took too long"):
        one_value(engine, "SELECT SLEEP(30)")
    assert one_value(engine, "SELECT CONNECTION_ID()") == mine


def test_a_server_that_does_not_answer_is_given_up_in_time(engine: Engine) -> None:
    one_value(engine, "SET max_statement_time=0")
    begun = time.monotonic()
    with soon("the caller"), pytest.raises(StoreUnavailableError, match="2013"):
        one_value(engine, "SELECT SLEEP(30)")
    assert time.monotonic() - begun > TIMEOUT_S - 1


def test_nobody_listening_is_told_at_once() -> None:
    engine = make_engine("mariadb+mysqldb://root@127.0.0.1:1/notify", 2 * SOON_S)
    with soon("the caller"), pytest.raises(StoreUnavailableError, match="2002 the server cannot be reached"):
        one_value(engine, "SELECT 1")


def test_a_wrong_password_is_told_without_it(engine: Engine) -> None:
    url = engine.url.set(username="nobody", password="very-secret").render_as_string(hide_password=False)
    with pytest.raises(StoreUnavailableError, match="1045 user or password is refused") as raised:
        one_value(make_engine(url, TIMEOUT_S), "SELECT 1")
    assert "very-secret" not in str(raised.value)


def test_sessions_read_what_is_committed_and_are_strict(engine: Engine) -> None:
    assert one_value(engine, "SELECT @@tx_isolation") == "READ-COMMITTED"
    assert "STRICT_TRANS_TABLES" in str(one_value(engine, "SELECT @@sql_mode"))
    assert one_value(engine, "SELECT @@character_set_client") == "utf8mb4"


# lost connections


def test_a_connection_that_was_lost_while_it_lay_unused_is_made_anew(engine: Engine, services: RealServices) -> None:
    mine = one_value(engine, "SELECT CONNECTION_ID()")
    kill(services, mine)
    assert SqlUsers(engine).get("anna") is None


def test_a_connection_lost_within_a_transaction_is_an_unavailable_store_and_nothing_stays(
    engine: Engine, services: RealServices
) -> None:
    def lose() -> None:
        with writing(engine) as connection:
            connection.execute(insert(users).values(user_id="anna", contacts=b"{}", locale="en", timezone="UTC"))
            kill(services, connection.scalar(text("SELECT CONNECTION_ID()")))
            connection.execute(insert(users).values(user_id="ben", contacts=b"{}", locale="en", timezone="UTC"))

    with pytest.raises(StoreUnavailableError, match=r"SQL: 20(06|13)"):
        lose()
    assert SqlUsers(engine).list() == []


def kill(services: RealServices, connection_id: object) -> None:
    server = make_engine(services.database, TIMEOUT_S)
    with server.connect() as connection:
        connection.execute(text(f"KILL {connection_id}"))
    server.dispose()


# transactions that lose


def test_transactions_that_lock_crosswise_are_done_again_and_all_succeed(engine: Engine) -> None:
    store = SqlPreferences(engine)
    for user_id in ("anna", "ben"):
        store.put(user_id, Preferences())
    both, tries = threading.Barrier(2), []

    @repeated
    def change(first: str, second: str) -> None:
        tries.append(first)
        with writing(engine) as connection:
            touch(connection, first)
            if len(tries) <= 2:
                both.wait(5)
            touch(connection, second)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(change, ("anna", "ben"), ("ben", "anna")))
    assert len(tries) == 3, "one of the two was done again"


def touch(connection: Connection, user_id: str) -> None:
    body = b'{"muted_until_ms":%d}' % time.monotonic_ns()
    connection.execute(update(preferences).where(preferences.c.user_id == user_id).values(body=body))


def test_a_lock_that_becomes_free_is_waited_for_and_one_that_does_not_is_an_error(engine: Engine) -> None:
    store = SqlPreferences(engine)
    store.put("anna", Preferences())
    with ThreadPoolExecutor(1) as pool:
        with writing(engine) as connection:
            touch(connection, "anna")
            waiting = pool.submit(store.put, "anna", Preferences(muted_until_ms=7))
            time.sleep(1.3)
        waiting.result()
        assert store.get("anna").muted_until_ms == 7
        with writing(engine) as connection:
            touch(connection, "anna")
            begun = time.monotonic()
            with soon("the caller"), pytest.raises(StoreUnavailableError, match="1205 a lock was not free in time"):
                store.put("anna", Preferences())
            assert time.monotonic() - begun > 1.5


def test_a_new_user_put_by_several_at_once_is_new_to_one(engine: Engine) -> None:
    store = SqlUsers(engine)
    with ThreadPoolExecutor(4) as pool:
        for number in range(20):
            told = list(pool.map(store.put, [User(id=f"user-{number}")] * 4))
            assert sorted(told) == [False, False, False, True]


def test_repeating_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "PAUSES_S", (0.001,) * 4)
    tries = []

    @repeated
    def lose() -> None:
        tries.append(1)
        raise failures.ConflictError("lost", has_waited=False)

    with pytest.raises(StoreUnavailableError):
        lose()
    assert len(tries) == 5


# what fits


def test_text_of_any_characters_comes_back(engine: Engine) -> None:
    store = SqlUsers(engine)
    user = User(
        id="\N{PARTY POPPER} \N{CJK UNIFIED IDEOGRAPH-20000} \\ % '", contacts=Contacts(chat="\N{GRINNING FACE}")
    )
    store.put(user)
    assert store.get(user.id) == user
    assert set(store.recipients([user.id])) == {user.id}


@pytest.mark.parametrize("name", ["mariadb", "mysql"])
def test_what_is_too_long_is_refused_and_not_cut(engine: Engine, name: str) -> None:
    url = engine.url.set(drivername=f"{name}+mysqldb").render_as_string(hide_password=False)
    other = make_engine(url, TIMEOUT_S)
    row = {"user_id": "a" * 129, "body": b"{}"}
    with pytest.raises(StoreUnavailableError, match="1406"), writing(other) as connection:
        connection.execute(insert_new(connection, preferences), [row])
    other.dispose()


def test_preferences_of_a_megabyte_are_stored_whole(engine: Engine) -> None:
    large = Preferences(channels={f"c{number}" * 10: {"*": False} for number in range(20_000)})
    SqlPreferences(engine).put("anna", large)
    assert SqlPreferences(engine).get("anna") == large


# how much is sent


def test_many_rows_are_sent_in_one_statement(engine: Engine) -> None:
    rows = [{"user_id": f"user-{number}", "body": b"x" * 200} for number in range(500)]
    with writing(engine) as connection:
        before = status(connection, "Com_insert")
        connection.execute(insert_new(connection, preferences), rows)
        connection.execute(insert_new(connection, preferences), rows)
        assert status(connection, "Com_insert") - before == 2
    assert one_value(engine, "SELECT count(*) FROM preferences") == 500


def test_rows_that_are_there_are_left_alone(engine: Engine) -> None:
    store = SqlPreferences(engine)
    store.put("anna", Preferences(muted_until_ms=3))
    rows = [{"user_id": "anna", "body": b"other"}, {"user_id": "ben", "body": b"{}"}]
    with writing(engine) as connection:
        connection.execute(insert_new(connection, preferences), rows)
    assert store.get_many(["anna", "ben"]) == {"anna": Preferences(muted_until_ms=3), "ben": Preferences()}
