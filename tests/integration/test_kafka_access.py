"""A Kafka that asks for TLS and a password, and has no KIP-848 groups: every kind of client works there, by setting."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

import manage
from app.domain.errors import StoreUnavailableError
from app.domain.lane import ALL_TOPICS, FINISHED_TOPIC, RAW_TOPIC
from app.settings import Settings, settings
from infrastructure.kafka.range_reader import RangeReader
from infrastructure.kafka.reader import GroupReader, TailReader
from infrastructure.kafka.topics import Topics
from infrastructure.kafka.writer import RecordWriter
from tests.support.kafka_broker import eventually
from tests.support.own_kafka import PASSWORD, USERNAME, OwnKafka, own_kafka
from tests.support.services import RealServices

Load = Callable[..., Settings]


@pytest.fixture(scope="module")
def own(services: RealServices, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnKafka]:
    with own_kafka(services.layout, tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def environ(own: OwnKafka) -> dict[str, str]:
    """Of a service that knows how to get in; one broker can hold one copy."""
    return {
        "NOTIFY_PROFILE": "real",
        "NOTIFY_SECRET_KEY": "0f" * 32,
        "NOTIFY_DATABASE_URL": "sqlite:///unused.db",
        "NOTIFY_HISTORY_URL": "sqlite:///unused.db",
        "NOTIFY_KAFKA_BOOTSTRAP": own.sasl_ssl,
        "NOTIFY_KAFKA_SECURITY_PROTOCOL": "sasl_ssl",
        "NOTIFY_KAFKA_SASL_MECHANISM": "PLAIN",
        "NOTIFY_KAFKA_SASL_USERNAME": USERNAME,
        "NOTIFY_KAFKA_SASL_PASSWORD": PASSWORD,
        "NOTIFY_KAFKA_SSL_CA": str(own.ca),
        "NOTIFY_KAFKA_REPLICATION": "1",
        "NOTIFY_KAFKA_PARTITIONS": "4",
    }


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> Iterator[Callable[..., Result]]:
    """`manage.py topics` over these settings; `given` are further variables."""

    def run(*argv: str, **given: str) -> Result:
        for name, value in {**environ, **given}.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        return CliRunner().invoke(manage.manage, ["topics", *argv])

    yield run
    settings.cache_clear()


@pytest.fixture
def service(environ: dict[str, str], command: Callable[..., Result]) -> Settings:
    """Settings of a service whose topics are there."""
    assert command("create").exit_code == 0
    return Settings.load(environ)


def test_commands_make_list_and_check_topics(command: Callable[..., Result]) -> None:
    assert command("create").exit_code == 0
    eventually(lambda: command("list").exit_code == 0, "leaders for all partitions", 60)
    assert command("create").output == "all topics are as planned\n"
    listed = json.loads(command("list", "--json").output)
    assert {row["topic"] for row in listed} == set(ALL_TOPICS)
    assert {(row["topic"], row["kept"]) for row in listed} >= {
        (RAW_TOPIC, "14 d"),
        (FINISHED_TOPIC, "newest of each key"),
    }
    one = command("describe", RAW_TOPIC)
    assert (one.exit_code, "nothing falls short" in one.output) == (0, True)
    assert command("describe", "nowhere").exit_code == 1


def test_what_falls_short_is_named_and_fails(command: Callable[..., Result]) -> None:
    command("create")
    told = command("describe", "--json")
    assert told.exit_code == 1
    [broker] = json.loads(told.output)["falls_short"]
    assert (broker["where"], broker["setting"], broker["found"]) == ("broker 1", "offsets.retention.minutes", "10080")
    text = command("describe", NOTIFY_KAFKA_REPLICATION="3")
    assert text.exit_code == 1
    assert f"{RAW_TOPIC} " in text.output
    assert "at least 3" in text.output


def test_what_kafka_refuses_fails(command: Callable[..., Result]) -> None:
    command("create")
    Topics(settings()).remove([RAW_TOPIC])
    told = command("create", NOTIFY_KAFKA_REPLICATION="3")
    assert told.exit_code == 1
    assert "INVALID_REPLICATION_FACTOR" in told.output


def test_every_kind_of_client_gets_in(service: Settings) -> None:
    writer = RecordWriter(service, timeout_s=10)
    assert writer.wait([writer.write(topic, "k", b"x") for topic in (RAW_TOPIC, FINISHED_TOPIC)], 10)
    writer.close()
    tail = TailReader(service, FINISHED_TOPIC)
    found: list[object] = []
    tail.read_to_end(found.append, 10)
    tail.close()
    assert found
    ranges = RangeReader(service)
    assert sum(len(records) for records in ranges.read(ranges.whole(RAW_TOPIC))) >= 1
    ranges.close()


def test_a_wrong_password_is_told_as_unavailable(environ: dict[str, str]) -> None:
    wrong = Settings.load(environ | {"NOTIFY_KAFKA_SASL_PASSWORD": "guessed"})
    with pytest.raises(StoreUnavailableError, match="Kafka did not tell of its topics"):
        Topics(wrong, timeout_s=3).brokers()


def test_a_group_falls_back_to_the_classic_protocol_where_brokers_have_no_other(service: Settings) -> None:
    reader = GroupReader(service, "falls-back", [RAW_TOPIC], on_assigned=lambda committed: committed)
    eventually(lambda: reader.read(10, 0.1) or reader.assigned, "an assignment", 20)
    assert {part for _, part in reader.assigned} == {0, 1, 2, 3}
    reader.commit({(RAW_TOPIC, 0): 0})
    reader.close()


def test_a_group_that_must_not_fall_back_ends(environ: dict[str, str], service: Settings) -> None:
    reader = GroupReader(Settings.load(environ | {"NOTIFY_KAFKA_GROUP_PROTOCOL": "consumer"}), "stays", [RAW_TOPIC])
    with pytest.raises(RuntimeError, match="API version not supported"):
        eventually(lambda: reader.read(10, 0.1), "the end", 20)
    reader.close()
