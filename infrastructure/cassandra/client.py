"""The connection: made at first use, once for a process and URL, with time limits and one error for all that can fail.

After a fork the child must call `dispose_after_fork`: the threads that serve the parent's connection are not in it.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from cassandra import ConsistencyLevel, DriverException, InvalidRequest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, ResponseFuture, Session
from cassandra.connection import ConnectionBusy, ConnectionException, ProtocolError
from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, RetryPolicy, TokenAwarePolicy
from cassandra.query import (
    UNSET_VALUE,
    BatchStatement,
    BatchType,
    BoundStatement,
    PreparedStatement,
    SimpleStatement,
    tuple_factory,
)

from app.domain.errors import StoreUnavailableError
from app.domain.meter import METER
from app.domain.metric_catalogue import STORE_FAILURES
from infrastructure.cassandra.address import Address, parse_address
from infrastructure.cassandra.batches import Write, batches, grouped

#: How soon a node that came back is found.
RECONNECT_S = 0.5
#: Requests of one call that are under way at a time.
IN_FLIGHT = 32
#: Keys of one read of several partitions.
KEYS = 100
#: What a row and a cell take beside their values, about as Cassandra measures a batch.
_ROW_BYTES = 60
_CELL_BYTES = 25
#: Longest wait for a table to be made.
SCHEMA_S = 30.0
#: Leaves a cell as it is: a null would write a deletion.
UNSET = UNSET_VALUE

_FAILURES = (DriverException, NoHostAvailable, ConnectionException, ConnectionBusy, ProtocolError, OSError)
_clients: dict[tuple[str, float], Client] = {}
_clients_lock = threading.Lock()
# It warns of every batch that spans partitions, and of every attempt to reach a node that is down.
logging.getLogger("cassandra").setLevel(logging.CRITICAL)


def shared_client(url: str, timeout_s: float) -> Client:
    """The process's client for this URL. Raises ConfigError for a URL that is none."""
    with _clients_lock:
        if (url, timeout_s) not in _clients:
            _clients[url, timeout_s] = Client(parse_address(url), timeout_s)
        return _clients[url, timeout_s]


def dispose_after_fork() -> None:
    """Forget the parent's connections without closing them: they are still the parent's."""
    for client in _clients.values():
        client.forget_session()


@contextmanager
def store_errors() -> Iterator[None]:
    """Raise what the driver raises as StoreUnavailableError, with the cause kept and no values in the text."""
    try:
        yield
    except _FAILURES as error:
        METER.count(STORE_FAILURES, ("cassandra",))
        raise StoreUnavailableError(f"Cassandra: {type(error).__name__}") from error


class Client:
    """Statements against one keyspace. Threads may share it."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._failed_at = 0.0
        self.forget_session()

    def forget_session(self) -> None:
        """Connect anew at the next use; what is connected stays so."""
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._prepared: dict[str, PreparedStatement] = {}

    def close(self) -> None:
        """Close the connection; the next use makes another."""
        session = self._session
        self.forget_session()
        if session is not None:
            session.cluster.shutdown()

    def bind(self, cql: str, values: Sequence[Any]) -> Write:
        """A statement with its values, to be run by `write`."""
        with store_errors():
            statement = self._statement(cql)
        bound = _bound(statement, values)
        size = _ROW_BYTES + sum(_CELL_BYTES + len(value) for value in bound.values if value is not UNSET)
        return Write(bound, bound.routing_key, size)

    def write(self, writes: Iterable[Write]) -> None:
        """Run these, in batches by replica set and several at a time, in no order; returns when all are acknowledged.

        Raises StoreUnavailableError: some may have been, and some may still come to be.
        """
        with store_errors():
            session, alone = self._connected(), list[Write]()
            for portion, error in self._finish_each(session, batches(writes, self.replicas_of)):
                if isinstance(error, InvalidRequest) and len(portion) > 1:
                    alone += portion  # its server takes smaller batches only
                elif error is not None:
                    raise error
            self._finish(session.execute_async(write.statement) for write in alone)

    def rows(self, cql: str, values: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of one statement, fetched in pages as they are asked for."""
        with store_errors():
            yield from self._connected().execute(self._statement(cql).bind(values))

    def rows_of_each(self, cql: str, values: Iterable[Sequence[Any]]) -> list[list[tuple[Any, ...]]]:
        """The rows of one statement with each of these values, several at a time, in the order of the values."""
        with store_errors():
            session, statement = self._connected(), self._statement(cql)
            return [list(found) for found in self._finish(session.execute_async(statement.bind(one)) for one in values)]

    def rows_of_keys(self, cql: str, keys: Iterable[str]) -> list[tuple[Any, ...]]:
        """The rows of the partitions of these keys, in no order: `cql` ends in `... IN ?`."""
        with store_errors():
            session, statement = self._connected(), self._statement(cql)
            portions = grouped(keys, str.encode, self.replicas_of, KEYS)
            reads = (session.execute_async(_KeysRead(statement, portion)) for portion in portions)
            return [row for found in self._finish(reads) for row in found]

    def replicas_of(self, key: bytes) -> Hashable:
        """What says which nodes hold the partition of this key; the same for all keys where there is no choice."""
        metadata = self._connected().cluster.metadata
        if len(metadata.all_hosts()) == 1:
            return None
        return frozenset(host.endpoint for host in metadata.get_replicas(self.address.keyspace, key))

    @contextmanager
    def without_keyspace(self) -> Iterator[Callable[[str], list[tuple[Any, ...]]]]:
        """A connection of its own that needs no keyspace, to make one."""
        with store_errors():
            cluster = self._cluster()
            try:
                session = cluster.connect()
                # Tables take their time: the driver waits until all nodes know them.
                yield lambda cql: list(session.execute(SimpleStatement(cql, is_idempotent=True), timeout=SCHEMA_S))
            finally:
                cluster.shutdown()

    def _finish(self, futures: Iterator[ResponseFuture]) -> list[Any]:
        """The results of the requests that the iterator starts; at most `IN_FLIGHT` are under way."""
        results: list[Any] = []
        waiting = list(itertools.islice(futures, IN_FLIGHT))
        while waiting:
            results += [future.result() for future in waiting]
            waiting = list(itertools.islice(futures, IN_FLIGHT))
        return results

    def _finish_each(
        self, session: Session, portions: Iterator[list[Write]]
    ) -> Iterator[tuple[list[Write], Exception | None]]:
        """Each portion, with what went wrong with it."""
        while some := list(itertools.islice(portions, IN_FLIGHT)):
            started = [(portion, session.execute_async(_batch(portion))) for portion in some]
            yield from ((portion, _error(future)) for portion, future in started)

    def _statement(self, cql: str) -> PreparedStatement:
        if (known := self._prepared.get(cql)) is not None:
            return known
        prepared = self._connected().prepare(cql)
        prepared.is_idempotent = True
        self._prepared[cql] = prepared
        return prepared

    def _connected(self) -> Session:
        session = self._session
        if session is not None:
            return session
        asked_at = time.monotonic()
        with self._lock:
            if self._session is None:
                if self._failed_at > asked_at:
                    raise StoreUnavailableError("Cassandra: cannot be reached")  # found by whom this one waited for
                self._session = self._connect()
            return self._session

    def _connect(self) -> Session:
        cluster = self._cluster()
        try:
            return cluster.connect(self.address.keyspace)
        except BaseException:
            self._failed_at = time.monotonic()
            cluster.shutdown()
            raise

    def _cluster(self) -> Cluster:
        near = DCAwareRoundRobinPolicy(self.address.dc)
        profile = ExecutionProfile(
            load_balancing_policy=TokenAwarePolicy(near),
            retry_policy=RetryPolicy(),
            consistency_level=ConsistencyLevel.LOCAL_QUORUM,
            request_timeout=self.timeout_s,
            row_factory=tuple_factory,
        )
        return Cluster(
            self.address.hosts,
            port=self.address.port,
            auth_provider=PlainTextAuthProvider(self.address.user, self.address.password)
            if self.address.user
            else None,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            reconnection_policy=ConstantReconnectionPolicy(RECONNECT_S, max_attempts=None),
            connect_timeout=self.timeout_s,
            control_connection_timeout=self.timeout_s,
            idle_heartbeat_interval=max(1, round(self.timeout_s)),
            idle_heartbeat_timeout=self.timeout_s,
        )


class _KeysRead(BoundStatement):  # type: ignore[misc]  # the driver has no types
    """A read of several partitions that are on the same nodes: sent to one of these."""

    def __init__(self, prepared: PreparedStatement, keys: Sequence[str]) -> None:
        super().__init__(prepared)
        self.bind([list(keys)])
        self._key = keys[0].encode()

    @property
    def routing_key(self) -> bytes:
        return self._key


def _error(future: ResponseFuture) -> Exception | None:
    try:
        future.result()
    except _FAILURES as error:
        return error
    return None


def _bound(prepared: PreparedStatement, values: Sequence[Any]) -> BoundStatement:
    """As `prepared.bind` does it, but for what we do not use, which takes most of its time."""
    bound, version = BoundStatement(prepared), prepared.protocol_version
    bound.values = [
        value if value is UNSET else column.type.serialize(value, version)
        for column, value in zip(prepared.column_metadata, values, strict=True)
    ]
    bound.raw_values = ()
    return bound


def _batch(portion: Sequence[Write]) -> object:
    if len(portion) == 1:
        return portion[0].statement
    batch = BatchStatement(BatchType.UNLOGGED)
    batch.is_idempotent = True
    for write in portion:
        batch.add(write.statement)
    return batch
