"""What a bridge says of Kafka's topics when it starts, and what no part of the service starts with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from structlog.testing import capture_logs

from app.domain.errors import ConfigError, StoreUnavailableError
from app.domain.lane import ALL_TOPICS
from app.domain.topics import Found, planned_topics
from app.settings import Settings
from bridges import topic_check
from bridges.topic_check import warn_of_topics
from infrastructure import wiring
from infrastructure.kafka.topics import Topics

DAY_S = 86_400
ENVIRON = {
    "NOTIFY_PROFILE": "real",
    "NOTIFY_SECRET_KEY": "0f" * 32,
    "NOTIFY_DATABASE_URL": "sqlite:///unused.db",
    "NOTIFY_HISTORY_URL": "sqlite:///unused.db",
}


class Shelf:
    """Stands in for Kafka's topics: all as planned for `kept_s`."""

    kept_s = 14.0 * DAY_S

    def __init__(self, _settings: Settings, *, timeout_s: float) -> None:
        self.timeout_s = timeout_s

    def find(self, names: Sequence[str]) -> dict[str, Found]:
        return {
            plan.name: Found(name=plan.name, partitions=6, replication=3, configs=plan.configs)
            for plan in planned_topics(6, 3, self.kept_s)
            if plan.name in names
        }

    def brokers(self) -> Mapping[str, Mapping[str, str]]:
        return {"broker 1": {"offsets.retention.minutes": "20160"}}


class Shorter(Shelf):
    kept_s = 1.0 * DAY_S


class Away(Shelf):
    def brokers(self) -> Mapping[str, Mapping[str, str]]:
        raise StoreUnavailableError("no broker")


def told(monkeypatch: pytest.MonkeyPatch, kind: type[Shelf], **environ: str) -> list[Mapping[str, object]]:
    monkeypatch.setattr(topic_check, "Topics", kind)
    with capture_logs() as logs:
        warn_of_topics(Settings.load({**ENVIRON, **environ}))
    return list(logs)


def test_nothing_is_said_of_topics_as_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, Shelf) == []


def test_what_falls_short_is_told_once_for_all_topics_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    [line] = told(monkeypatch, Shorter)
    assert (line["event"], line["log_level"], line["setting"]) == ("topics_fall_short", "warning", "retention.ms")
    assert len(line["where"]) == len(ALL_TOPICS) - 2  # type: ignore[arg-type]  # neither finished nor dead


def test_a_kafka_that_is_away_is_no_reason_not_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    [line] = told(monkeypatch, Away)
    assert line["event"] == "topics_not_checked"


def test_the_embedded_broker_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, Away, NOTIFY_PROFILE="embedded") == []


def test_the_stand_in_has_what_is_asked_of_the_real_one() -> None:
    assert all(hasattr(Topics, name) for name in ("find", "brokers"))


def test_no_part_starts_that_would_let_records_vanish_too_early() -> None:
    too_short = {"NOTIFY_KAFKA_RETENTION_S": str(14 * DAY_S - 1)}
    with pytest.raises(ConfigError, match="NOTIFY_KAFKA_RETENTION_S must be at least 1209600"):
        wiring.check_retention(Settings.load({**ENVIRON, **too_short}))
    wiring.check_retention(Settings.load(ENVIRON))
    wiring.check_retention(Settings.load(too_short))  # the embedded broker has no such thing
