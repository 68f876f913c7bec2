"""A keyspace for the tests of this process, emptied between them."""

from __future__ import annotations

import functools
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cassandra.cluster import ResponseFuture
from cassandra.query import BatchStatement, BoundStatement, SimpleStatement

from infrastructure.cassandra.address import parse_address
from infrastructure.cassandra.client import Client
from infrastructure.cassandra.counting import Counting
from infrastructure.cassandra.forgotten import CassandraForgottenUsers
from infrastructure.cassandra.history import CassandraHistory
from infrastructure.cassandra.migrate import migrate
from infrastructure.cassandra.personal_data import CassandraPersonalData
from infrastructure.cassandra.statistics import CassandraStatistics
from tests.support.services import running_services

TIMEOUT_S = 10.0
RETENTION_S = 90 * 86400.0
TABLES = (
    "outcomes_by_notification",
    "notifications_by_user",
    "user_months",
    "standings",
    "changes",
    "counted",
    "forgotten_users",
)


@contextmanager
def empty_client() -> Iterator[Client]:
    """A client of the keyspace, with nothing in its tables. Skips the test where Cassandra is away."""
    client = _client(running_services().cassandra)
    empty(client)
    yield client


def empty(client: Client) -> None:
    """Truncate all, about 0.1 s: deletions would outdo what the next test writes under older times."""
    for table in TABLES:
        list(client.rows(f"TRUNCATE {table}"))


@contextmanager
def requests(client: Client, seen: list[str]) -> Iterator[None]:
    """Note what is asked of Cassandra inside the block: the statement, or how many are in the batch."""

    def note(future: ResponseFuture) -> None:
        seen.append(future.query.query_string if isinstance(future.query, SimpleStatement) else _told(future.query))

    session = client._connected()
    session.add_request_init_listener(note)
    try:
        yield
    finally:
        session.remove_request_init_listener(note)


def _told(query: BatchStatement | BoundStatement) -> str:
    return f"BATCH {len(query)}" if isinstance(query, BatchStatement) else query.prepared_statement.query_string


def address(host_and_port: str, keyspace: str) -> str:
    """The URL of a keyspace that is made with one replica."""
    return f"cassandra://{host_and_port}/{keyspace}?rf=1"


@functools.cache
def _client(host_and_port: str) -> Client:
    client = Client(parse_address(address(host_and_port, f"test_{uuid.uuid4().hex}")), TIMEOUT_S)
    migrate(client)
    # Not by `atexit`: then the driver's threads have ended.
    threading._register_atexit(_drop, client)  # type: ignore[attr-defined]
    return client


def adapters(client: Client, secret: bytes) -> dict[str, Any]:
    """One adapter of each port that the history has, by name."""
    forgotten = CassandraForgottenUsers(client, secret)
    return {
        "personal_data": CassandraPersonalData(client, forgotten, RETENTION_S),
        "history": CassandraHistory(client, forgotten, RETENTION_S),
        "statistics": CassandraStatistics(Counting(client, RETENTION_S)),
    }


def _drop(client: Client) -> None:
    list(client.rows(f"DROP KEYSPACE {client.address.keyspace}"))
    client.close()
