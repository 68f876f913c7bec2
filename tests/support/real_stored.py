"""Everything that the real set's databases hold, read from their tables."""

from __future__ import annotations

import sqlalchemy

TIMEOUT_S = 30.0


def stored(database_url: str, cassandra: str, keyspace: str) -> bytes:
    """Every row of every table, as text and bytes; what is deleted but not compacted yet is not among it."""
    host, _, port = cassandra.partition(":")
    return b"\n".join([*_of_sql(database_url), *_of_cassandra(host, int(port), keyspace)])


def _of_sql(url: str) -> list[bytes]:
    engine = sqlalchemy.create_engine(url)
    found: list[bytes] = []
    with engine.connect() as connection:
        for table in sqlalchemy.inspect(connection).get_table_names():
            for row in connection.exec_driver_sql(f"SELECT * FROM `{table}`"):  # noqa: S608 - names of tables
                found += [_bytes(value) for value in row]
    engine.dispose()
    return found


def _of_cassandra(host: str, port: int, keyspace: str) -> list[bytes]:
    from cassandra.cluster import Cluster  # not there where the real profile is not

    found: list[bytes] = []
    with Cluster([host], port=port) as cluster:
        session = cluster.connect(keyspace)
        for table in cluster.metadata.keyspaces[keyspace].tables:
            for row in session.execute(f"SELECT * FROM {table}", timeout=TIMEOUT_S):  # noqa: S608 - names of tables
                found += [_bytes(value) for value in row]
    return found


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
