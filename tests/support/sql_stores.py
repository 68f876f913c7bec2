"""Fresh databases for the suites of the SQL ports. Another adapter is a name in `STORES` and in `fresh_stores`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Engine, event

from app.domain.personal_data import PersonalDataOfAll
from app.domain.ports import (
    ApiKeys,
    CallbackReceivers,
    Devices,
    ForgottenUsers,
    History,
    Inbox,
    ParkedStore,
    PendingCallbacks,
    PersonalData,
    PreferenceStore,
    SoftBounces,
    Statistics,
    Suppressions,
    Users,
)
from infrastructure.sql.api_keys import SqlApiKeys
from infrastructure.sql.callback_receivers import SqlCallbackReceivers
from infrastructure.sql.callbacks import SqlPendingCallbacks
from infrastructure.sql.devices import SqlDevices
from infrastructure.sql.engine import make_engine
from infrastructure.sql.forgotten import SqlForgottenUsers
from infrastructure.sql.history import SqlHistory
from infrastructure.sql.inbox import SqlInbox
from infrastructure.sql.migrate import Kind, migrate
from infrastructure.sql.parked import SqlParked
from infrastructure.sql.personal_data import SqlHistoryPersonalData, SqlPersonalData
from infrastructure.sql.preferences import SqlPreferences
from infrastructure.sql.statistics import SqlStatistics
from infrastructure.sql.suppressions import SqlSoftBounces, SqlSuppressions
from infrastructure.sql.users import SqlUsers
from tests.support.mariadb import emptied_databases

if TYPE_CHECKING:
    from infrastructure.cassandra.client import Client

STORES = ("sqlite", "mariadb")
#: For suites that are about the history: a module says `SUITE = HISTORY_STORES`. Cassandra has the main one on SQLite.
HISTORY_STORES = (*STORES, "cassandra")
KINDS: tuple[Kind, ...] = ("main", "history")
TIMEOUT_S = 5.0
SECRET = b"a secret of these stores"


@dataclass(frozen=True, kw_only=True)
class Stores:
    """One adapter of each port, over empty databases."""

    users: Users
    preferences: PreferenceStore
    devices: Devices
    suppressions: Suppressions
    soft_bounces: SoftBounces
    inbox: Inbox
    parked: ParkedStore
    forgotten: ForgottenUsers
    personal_data: PersonalData
    history: History
    api_keys: ApiKeys
    callback_receivers: CallbackReceivers
    pending_callbacks: PendingCallbacks
    statistics: Statistics
    engines: tuple[Engine, ...]
    #: Where the history is on Cassandra.
    client: Client | None = None

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The statements that run inside the block, without transaction control."""
        seen: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            if not statement.startswith("BEGIN"):
                seen.append(statement)

        with ExitStack() as noted:
            for engine in self.engines:
                event.listen(engine, "before_cursor_execute", note)
                noted.callback(event.remove, engine, "before_cursor_execute", note)
            if self.client is not None:
                from tests.support import cassandra_stores

                noted.enter_context(cassandra_stores.requests(self.client, seen))
            yield seen


@contextmanager
def fresh_stores(name: str, folder: Path) -> Iterator[Stores]:
    """The adapters of this name over empty, migrated databases."""
    if name == "cassandra":
        pytest.importorskip("cassandra", reason="needs requirements-real.txt")
        from tests.support import cassandra_stores

        with cassandra_stores.empty_client() as client, _opened_on_cassandra(_files(folder), client) as made:
            migrate(made.engines[0], "main")
            yield made
        return
    urls = emptied_databases() if name == "mariadb" else _files(folder)
    with _opened(urls) as made:
        if name == "sqlite":
            for engine, kind in zip(made.engines, KINDS, strict=True):
                migrate(engine, kind)
        yield made


def _files(folder: Path) -> dict[Kind, str]:
    return {kind: f"sqlite:///{folder / kind}.db" for kind in KINDS}


@contextmanager
def _opened(urls: Mapping[Kind, str]) -> Iterator[Stores]:
    main, history = (make_engine(urls[kind], TIMEOUT_S) for kind in KINDS)
    forgotten = SqlForgottenUsers(main, "main", SECRET)
    of_history = SqlForgottenUsers(history, "history", SECRET)
    yield Stores(
        users=SqlUsers(main),
        preferences=SqlPreferences(main),
        devices=SqlDevices(main),
        suppressions=SqlSuppressions(main, SECRET),
        soft_bounces=SqlSoftBounces(main, SECRET),
        api_keys=SqlApiKeys(main),
        callback_receivers=SqlCallbackReceivers(main),
        pending_callbacks=SqlPendingCallbacks(main),
        inbox=SqlInbox(main, forgotten),
        parked=SqlParked(main, forgotten),
        forgotten=forgotten,
        personal_data=PersonalDataOfAll([SqlPersonalData(forgotten), SqlHistoryPersonalData(of_history)]),
        history=SqlHistory(history, of_history),
        statistics=SqlStatistics(history),
        engines=(main, history),
    )
    main.dispose()
    history.dispose()


@contextmanager
def _opened_on_cassandra(urls: Mapping[Kind, str], client: Client) -> Iterator[Stores]:
    """The history on Cassandra, all else on SQLite."""
    from tests.support import cassandra_stores

    with _opened(urls) as on_sqlite:
        main = SqlPersonalData(on_sqlite.forgotten)
        adapters = cassandra_stores.adapters(client, SECRET)
        data = PersonalDataOfAll([main, adapters.pop("personal_data")])
        yield dataclasses.replace(on_sqlite, personal_data=data, client=client, **adapters)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of `stores` on all stores that their module is about."""
    if "stores" in metafunc.fixturenames:
        metafunc.parametrize("stores", getattr(metafunc.module, "SUITE", STORES), indirect=True)


@pytest.fixture
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """The adapters under test, once for each kind."""
    with fresh_stores(request.param, tmp_path) as fresh:
        yield fresh


@pytest.fixture
def other_process(stores: Stores) -> Iterator[Stores]:
    """Adapters of their own over the same databases, as another process has them."""
    rendered = [engine.url.render_as_string(hide_password=False) for engine in stores.engines]
    urls = dict(zip(KINDS, rendered, strict=True))
    with _opened(urls) if stores.client is None else _opened_on_cassandra(urls, stores.client) as opened:
        yield opened
