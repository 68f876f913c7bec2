"""The connection to Cassandra: what an absence does, and forks; and the making of tables."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.domain.errors import ConfigError, StoreUnavailableError
from app.domain.meter import METER
from app.domain.outcome import Outcome, Status
from app.domain.statistics import HOUR_MS, CountQuery
from app.settings import Settings
from infrastructure import wiring
from infrastructure.sql.engine import shared_engine
from tests.support.cassandra_service import PATIENT_S
from tests.support.services import ROOT, RealServices
from tests.support.tcp_proxy import TcpProxy

pytest.importorskip("cassandra", reason="needs requirements-real.txt")

from infrastructure.cassandra import client as of_cassandra
from infrastructure.cassandra.address import parse_address
from infrastructure.cassandra.client import Client
from infrastructure.cassandra.migrate import migrate
from infrastructure.cassandra.schema import STEPS
from tests.support.cassandra_stores import address

TIMEOUT_S = 2.0
#: It is tried again every 0.5 s; the rest is for a machine that others use, too.
BACK_S = 4.0


@pytest.fixture
def settings(cassandra_proxy: TcpProxy, cassandra_keyspace: str, tmp_path: Path) -> Iterator[Settings]:
    """With the history behind the proxy."""
    url = address(f"127.0.0.1:{cassandra_proxy.port}", cassandra_keyspace)
    made = dataclasses.replace(
        Settings(),
        history_url=url,
        database_url=f"sqlite:///{tmp_path / 'main.db'}",
        secret_key="secret",
        store_timeout_s=TIMEOUT_S,
    )
    yield made
    of_cassandra.shared_client(url, TIMEOUT_S).close()
    del of_cassandra._clients[url, TIMEOUT_S]


def outcome(name: str) -> Outcome:
    return Outcome(
        notification_id=f"{name}-{uuid.uuid4()}", user_id="anna", event_type="news", status=Status.SENT, at_ms=1
    )


def within(seconds: float, settings: Settings, one: Outcome) -> float:
    """How long it takes until an append succeeds."""
    started = time.monotonic()
    while time.monotonic() < started + seconds:
        try:
            wiring.history(settings).append([one])
        except StoreUnavailableError:
            time.sleep(0.05)
        else:
            return time.monotonic() - started
    pytest.fail(f"it is not back within {seconds} s")


def test_a_history_that_goes_away_and_comes_back_is_found_again(settings: Settings, cassandra_proxy: TcpProxy) -> None:
    history = wiring.history(settings)
    history.append([outcome("before")])
    for _ in range(2):
        cassandra_proxy.close()
        METER.take()
        with pytest.raises(StoreUnavailableError) as caught:
            history.append([outcome("away")])
        assert caught.value.__cause__ is not None
        assert "anna" not in str(caught.value)
        [failures] = [one for one in METER.take().counted if one.name == "notify_store_failures"]
        assert failures.labels == ("cassandra",)
        time.sleep(1.0)
        cassandra_proxy.open()
        one = outcome("back")
        within(BACK_S, settings, one)
        assert history.notification(one.notification_id) is not None


def test_a_history_that_is_away_at_first_is_found_when_it_comes(settings: Settings, cassandra_proxy: TcpProxy) -> None:
    cassandra_proxy.close()
    history = wiring.history(settings)
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            history.append([outcome("away")])
        with pytest.raises(StoreUnavailableError):
            wiring.statistics(settings).counts(CountQuery(from_ms=0, to_ms=HOUR_MS, group_by=()))
    cassandra_proxy.open()
    within(BACK_S, settings, outcome("back"))


def test_those_who_wait_for_a_connection_that_fails_fail_with_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = of_cassandra.shared_client(settings.history_url, TIMEOUT_S)
    tries = []

    def fail_slowly() -> None:
        tries.append(time.monotonic())
        time.sleep(0.3)
        raise OSError

    monkeypatch.setattr(client, "_cluster", lambda: _Cluster(fail_slowly))
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(wiring.history(settings).notification, "n") for _ in range(8)]
        failures = [one.exception() for one in waiting]
    assert len(tries) == 1
    assert {type(failure) for failure in failures} == {StoreUnavailableError}


class _Cluster:
    def __init__(self, connect: Callable[[], None]) -> None:
        self._connect = connect

    def connect(self, _keyspace: str) -> None:
        self._connect()

    def shutdown(self) -> None:
        pass


def test_a_keyspace_that_is_not_there_is_waited_for(services: RealServices) -> None:
    name = f"test_{uuid.uuid4().hex}"
    client = Client(parse_address(address(services.cassandra, name)), PATIENT_S)
    with pytest.raises(StoreUnavailableError):
        list(client.rows("SELECT * FROM counted"))
    migrate(client)
    assert list(client.rows("SELECT * FROM counted")) == []
    list(client.rows(f"DROP KEYSPACE {name}"))
    client.close()


def test_migrations_that_run_at_once_make_the_tables_once(services: RealServices) -> None:
    name = f"test_{uuid.uuid4().hex}"
    clients = [Client(parse_address(address(services.cassandra, name)), PATIENT_S) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(migrate, clients))
    migrate(clients[0])
    tables = list(clients[0].rows("SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", [name]))
    assert len(tables) == len(STEPS)
    assert list(clients[0].rows("SELECT steps FROM schema_version")) == [(len(STEPS),)]
    list(clients[0].rows(f"DROP KEYSPACE {name}"))
    clients[0].close()


def test_a_forked_child_connects_by_itself_and_the_parent_goes_on(settings: Settings, tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.support.forking_history", settings.history_url, str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=6 * PATIENT_S, check=False)
    assert done.returncode == 0, done.stderr
    history = wiring.history(settings)
    assert all(history.notification(written) for written in done.stdout.split())
    assert len(done.stdout.split()) == 2


def test_the_command_migrates_by_the_scheme(settings: Settings, services: RealServices) -> None:
    name = f"test_{uuid.uuid4().hex}"
    elsewhere = dataclasses.replace(settings, history_url=address(services.cassandra, name), store_timeout_s=PATIENT_S)
    wiring.migrate_stores(elsewhere)
    one = outcome("migrated")
    wiring.history(elsewhere).append([one])
    assert wiring.history(elsewhere).notification(one.notification_id) is not None
    wiring.vacuum_stores(elsewhere)
    client = of_cassandra.shared_client(elsewhere.history_url, PATIENT_S)
    list(client.rows(f"DROP KEYSPACE {name}"))
    client.close()
    del of_cassandra._clients[elsewhere.history_url, PATIENT_S]
    shared_engine(elsewhere.database_url, PATIENT_S).dispose()


def test_without_the_driver_the_setting_and_the_file_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "infrastructure.cassandra.client", None)
    settings = dataclasses.replace(Settings(), history_url="cassandra://127.0.0.1/notify")
    with pytest.raises(ConfigError, match=r"NOTIFY_HISTORY_URL.*requirements-real\.in"):
        wiring.history(settings)
