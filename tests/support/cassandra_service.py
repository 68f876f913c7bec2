"""A keyspace with its tables, and a way to Cassandra that can be cut."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.support.services import RealServices
from tests.support.tcp_proxy import TcpProxy

#: Making tables on a machine that others use, too.
PATIENT_S = 10.0


@pytest.fixture(scope="session")
def cassandra_keyspace(services: RealServices) -> Iterator[str]:
    """A keyspace with its tables."""
    pytest.importorskip("cassandra", reason="needs requirements-real.txt")
    from infrastructure.cassandra.address import parse_address
    from infrastructure.cassandra.client import Client
    from infrastructure.cassandra.migrate import migrate
    from tests.support.cassandra_stores import address

    name = f"test_{uuid.uuid4().hex}"
    client = Client(parse_address(address(services.cassandra, name)), PATIENT_S)
    migrate(client)
    yield name
    list(client.rows(f"DROP KEYSPACE {name}"))
    client.close()


@pytest.fixture
def cassandra_proxy(services: RealServices) -> Iterator[TcpProxy]:
    host, _, port = services.cassandra.rpartition(":")
    made = TcpProxy((host, int(port)))
    yield made
    made.close()
