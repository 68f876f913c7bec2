"""How the service reaches Kafka: what belongs together, and that every client gets it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain.errors import ConfigError, StoreUnavailableError
from app.domain.lane import FINISHED_TOPIC, RAW_TOPIC
from app.settings import MASK, Settings
from infrastructure.kafka import event_log, guard, lag, range_reader, reader, topics, waiting, writer
from infrastructure.kafka.client import group_config

ROOT = Path(__file__).parents[2]
REAL = {
    "PROFILE": "real",
    "SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "DATABASE_URL": "sqlite:///a.db",
    "HISTORY_URL": "sqlite:///b.db",
}
SASL = {"SASL_MECHANISM": "PLAIN", "SASL_USERNAME": "notify", "SASL_PASSWORD": "hunter2"}


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Settings]:
    """Settings of the real profile; of Kafka's, those given. `*.pem` are files that exist."""
    for name in ("ca.pem", "certificate.pem", "key.pem"):
        (tmp_path / name).touch()

    def make(**given: str) -> Settings:
        found = {
            f"KAFKA_{name}": str(tmp_path / value) if value.endswith(".pem") else value for name, value in given.items()
        }
        return Settings.load({f"NOTIFY_{name}": value for name, value in {**REAL, **found}.items()})

    return make


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"SECURITY_PROTOCOL": "tls"}, "KAFKA_SECURITY_PROTOCOL: expected one of"),
        (
            {"SECURITY_PROTOCOL": "sasl_ssl", **SASL, "SASL_MECHANISM": "GSSAPI"},
            "KAFKA_SASL_MECHANISM: expected one of",
        ),
        ({"SECURITY_PROTOCOL": "sasl_ssl"}, "KAFKA_SASL_MECHANISM must be set"),
        ({"SECURITY_PROTOCOL": "sasl_plaintext", **SASL, "SASL_PASSWORD": ""}, "KAFKA_SASL_PASSWORD must be set"),
        ({"SASL_USERNAME": "notify"}, "KAFKA_SASL_USERNAME is of no use with NOTIFY_KAFKA_SECURITY_PROTOCOL=plaintext"),
        ({"SECURITY_PROTOCOL": "ssl", **SASL}, "KAFKA_SASL_MECHANISM is of no use"),
        ({"SECURITY_PROTOCOL": "sasl_plaintext", **SASL, "SSL_CA": "ca.pem"}, "KAFKA_SSL_CA is of no use"),
        ({"SECURITY_PROTOCOL": "ssl", "SSL_CERTIFICATE": "certificate.pem"}, "KAFKA_SSL_KEY must be set"),
        ({"SECURITY_PROTOCOL": "ssl", "SSL_KEY": "key.pem"}, "KAFKA_SSL_CERTIFICATE must be set"),
        ({"SECURITY_PROTOCOL": "ssl", "SSL_KEY_PASSWORD": "x"}, "KAFKA_SSL_KEY must be set"),
        ({"SECURITY_PROTOCOL": "ssl", "SSL_CA": "no.pem"}, "KAFKA_SSL_CA: there is no file"),
    ],
)
def test_what_does_not_fit_together_is_refused_by_name(
    load: Callable[..., Settings], given: Mapping[str, str], named: str
) -> None:
    with pytest.raises(ConfigError, match=f"^NOTIFY_{named}"):
        load(**given)


def test_the_embedded_broker_knows_plaintext_only() -> None:
    with pytest.raises(ConfigError, match="NOTIFY_KAFKA_SECURITY_PROTOCOL must be plaintext"):
        Settings.load({"NOTIFY_KAFKA_SECURITY_PROTOCOL": "ssl"})


def test_passwords_are_masked_and_reach_child_processes(load: Callable[..., Settings]) -> None:
    settings = load(SECURITY_PROTOCOL="sasl_ssl", **SASL)
    shown = {variable: value for variable, value, _ in settings.items()}
    assert shown["NOTIFY_KAFKA_SASL_PASSWORD"] == MASK
    assert Settings.load(settings.as_environ()) == settings


class Recorder:
    """Stands in for a client: notes what it was made with, and is away for whatever is asked of it."""

    made: list[dict[str, Any]]

    def __init__(self, config: dict[str, Any]) -> None:
        self.made.append(config)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(*_given: object, **_named: object) -> Any:
            part = SimpleNamespace(error=None, partitions={0: SimpleNamespace(replicas=[1])})
            return (
                SimpleNamespace(topics={RAW_TOPIC: part, FINISHED_TOPIC: part}, brokers={})
                if name == "list_topics"
                else []
            )

        return ask


#: Everything that connects to Kafka, and enough of its use for all its clients to be made.
CLIENTS: Mapping[str, Callable[[Settings], object]] = {
    "event log": event_log.KafkaEventLog,
    "writer": lambda settings: writer.RecordWriter(settings, timeout_s=1),
    "group": lambda settings: reader.GroupReader(settings, "g", [RAW_TOPIC], on_assigned=lambda found: found),
    "tail": lambda settings: reader.TailReader(settings, FINISHED_TOPIC),
    "leftovers": lambda settings: reader.LeftoverReader(settings, "g"),
    "ranges": lambda settings: range_reader.RangeReader(settings).committed("g", [RAW_TOPIC]),
    "waiting": lambda settings: waiting.WaitingRecords(settings).count([RAW_TOPIC]),
    "lag": lambda settings: lag.LagReader(settings, [RAW_TOPIC]).read(),
    "guard": lambda settings: guard.Guard(settings).has_room(RAW_TOPIC),
    "topics": topics.Topics,
}


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_gets_all_of_it(
    monkeypatch: pytest.MonkeyPatch, load: Callable[..., Settings], tmp_path: Path, name: str
) -> None:
    files = {"SSL_CA": "ca.pem", "SSL_CERTIFICATE": "certificate.pem", "SSL_KEY": "key.pem"}
    settings = load(SECURITY_PROTOCOL="sasl_ssl", BOOTSTRAP="k:1", SSL_KEY_PASSWORD="secret", **SASL, **files)
    kind = type("Kind", (Recorder,), {"made": []})
    for module in (event_log, guard, lag, range_reader, reader, topics, waiting, writer):
        for client in ("Consumer", "Producer", "AdminClient"):
            if hasattr(module, client):
                monkeypatch.setattr(module, client, kind)
    monkeypatch.setattr(event_log.threading, "Thread", lambda **_given: SimpleNamespace(start=lambda: None))
    with contextlib.suppress(StoreUnavailableError, AttributeError):  # it has its clients by then
        CLIENTS[name](settings)
    assert kind.made
    for config in kind.made:
        assert config["bootstrap.servers"] == "k:1"
        assert config["security.protocol"] == "sasl_ssl"
        assert config["sasl.mechanism"] == "PLAIN"
        assert (config["sasl.username"], config["sasl.password"]) == ("notify", "hunter2")
        assert config["ssl.ca.location"] == str(tmp_path / "ca.pem")
        assert config["ssl.certificate.location"] == str(tmp_path / "certificate.pem")
        assert config["ssl.key.location"] == str(tmp_path / "key.pem")
        assert config["ssl.key.password"] == "secret"


def test_every_module_that_makes_clients_is_looked_at_here() -> None:
    makers = {
        path.stem
        for path in (ROOT / "infrastructure" / "kafka").glob("*.py")
        if any(f"{client}(" in path.read_text() for client in ("Consumer", "Producer", "AdminClient"))
    }
    assert makers == {"event_log", "guard", "lag", "range_reader", "reader", "topics", "waiting", "writer"}


def test_what_is_not_set_is_left_to_the_client(load: Callable[..., Settings]) -> None:
    config = group_config(load(), "g", is_classic=False)
    assert config["security.protocol"] == "plaintext"
    assert not [name for name in config if name.startswith(("sasl.", "ssl."))]


def test_a_classic_member_moves_partitions_one_by_one_and_is_missed_soon(load: Callable[..., Settings]) -> None:
    config = group_config(load(), "g", is_classic=True)
    assert config["partition.assignment.strategy"] == "cooperative-sticky"
    assert (config["session.timeout.ms"], config["heartbeat.interval.ms"]) == (8000, 2000)
    assert "session.timeout.ms" not in group_config(load(), "g", is_classic=False), "the brokers say"
