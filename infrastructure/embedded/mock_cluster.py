"""librdkafka's mock cluster with timings of our choice.

The Python client can start a mock cluster but not set it up: a killed member of a group would hold its partitions for
45 s. librdkafka's own functions (rdkafka_mock.h) can, and the wheel's library exports them, so they are called there.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any, Final

import confluent_kafka
import structlog
from confluent_kafka import KafkaException, Producer

from app.domain.errors import StoreUnavailableError

_log = structlog.get_logger()

#: How long a group waits for a member that says nothing, and how often members speak.
SESSION_MS: Final = 6000
HEARTBEAT_MS: Final = 1000
#: Longest wait for the cluster to come up, seconds.
START_S: Final = 10.0

_PRODUCER_TYPE = 0
_CONF_OK = 0
_ERROR_BYTES = 512


class MockCluster:
    """One broker, alive as long as this object."""

    def __init__(self) -> None:
        library = _library()
        if library is None:
            _log.warning("mock_cluster_defaults", hint="a killed bridge is replaced after 45 s only")
        self._client: Any = None
        self.bootstrap = self._start(library) if library is not None else self._start_plain()

    def _start(self, library: ctypes.CDLL) -> str:
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        conf = library.rd_kafka_conf_new()
        if library.rd_kafka_conf_set(conf, b"test.mock.num.brokers", b"1", error, _ERROR_BYTES) != _CONF_OK:
            raise StoreUnavailableError(f"the embedded Kafka broker did not come up: {error.value.decode()}")
        self._client = library.rd_kafka_new(_PRODUCER_TYPE, conf, error, _ERROR_BYTES)
        if not self._client:
            raise StoreUnavailableError(f"the embedded Kafka broker did not come up: {error.value.decode()}")
        cluster = library.rd_kafka_handle_mock_cluster(self._client)
        library.rd_kafka_mock_set_group_consumer_session_timeout_ms(cluster, SESSION_MS)
        library.rd_kafka_mock_set_group_consumer_heartbeat_interval_ms(cluster, HEARTBEAT_MS)
        address: bytes = library.rd_kafka_mock_cluster_bootstraps(cluster)
        return address.decode()

    def _start_plain(self) -> str:
        self._client = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock"})
        try:
            brokers = self._client.list_topics(timeout=START_S).brokers.values()
        except KafkaException as error:
            raise StoreUnavailableError("the embedded Kafka broker did not come up") from error
        return ",".join(f"{broker.host}:{broker.port}" for broker in brokers)


def _library() -> ctypes.CDLL | None:
    """The wheel's librdkafka with the functions declared, or None where the wheel is laid out otherwise."""
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    paths = sorted(folder.glob("librdkafka-*.so*"))
    if not paths:
        return None
    library = ctypes.CDLL(str(paths[0]))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    declared: dict[str, tuple[Any, list[Any]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (number, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "rd_kafka_handle_mock_cluster": (pointer, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_set_group_consumer_session_timeout_ms": (None, [pointer, number]),
        "rd_kafka_mock_set_group_consumer_heartbeat_interval_ms": (None, [pointer, number]),
    }
    for name, (result, arguments) in declared.items():
        function = getattr(library, name, None)
        if function is None:
            return None
        function.restype, function.argtypes = result, arguments
    return library
