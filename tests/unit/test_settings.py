"""Settings: read once, complete, and clear about what is wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from app.domain.errors import ConfigError
from app.domain.rate import parse_rate
from app.settings import ENDPOINTS_FILE, MASK, Settings

OTHERS = {
    "NOTIFY_LIMIT_GLOBAL": "1000/s",
    "NOTIFY_LIMIT_CHANNEL": "email=100/s,webhook=50/10m:5",
    "NOTIFY_LIMIT_USER": "",
    "NOTIFY_FLOWER_WRITABLE": "yes",
    "NOTIFY_CATALOGUE": "events.toml",
    "NOTIFY_SECRET_KEY": "a secret with = and , and spaces",
    "NOTIFY_STORE_TIMEOUT_S": "0.25",
}


def load(tmp_path: Path, **variables: str) -> Settings:
    return Settings.load({"NOTIFY_STATE_DIR": str(tmp_path), "PATH": "/bin", **variables})


def test_an_unknown_variable_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="NOTIFY_KAFKA_BOOTSTRP is not a setting; did you mean NOTIFY_KAFKA_BOOTSTRAP"
    ):
        load(tmp_path, NOTIFY_KAFKA_BOOTSTRP="x")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NOTIFY_PROFILE", "production"),
        ("NOTIFY_BATCH_MAX", "0"),
        ("NOTIFY_BATCH_MAX", "many"),
        ("NOTIFY_DRAIN_S", "nan"),
        ("NOTIFY_DRAIN_S", "inf"),
        ("NOTIFY_LIMIT_GLOBAL", "100 a second"),
        ("NOTIFY_LIMIT_CHANNEL", "email:100/s"),
        ("NOTIFY_FLOWER_WRITABLE", "maybe"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"^{variable}: "):
        load(tmp_path, **{variable: value})


def test_a_provider_may_take_half_of_a_batchs_life_at_most(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="NOTIFY_PROVIDER_TIMEOUT_S must be at most half of NOTIFY_NOT_AFTER_HIGH_S"):
        load(tmp_path, NOTIFY_PROVIDER_TIMEOUT_S="11")


def test_the_real_profile_has_no_made_up_secrets_and_stores(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must be set in the real profile"):
        load(tmp_path, NOTIFY_PROFILE="real")


def test_secrets_are_masked_where_settings_are_shown(tmp_path: Path) -> None:
    secret = "hunter2"
    settings = load(
        tmp_path,
        NOTIFY_SECRET_KEY=secret,
        NOTIFY_SMTP_URL=f"smtp://a:{secret}@mail:25",
        NOTIFY_FLOWER_AUTH=f"a:{secret}",
    )
    shown = {variable: value for variable, value, _ in settings.items()}
    assert shown["NOTIFY_SECRET_KEY"] == shown["NOTIFY_SMTP_URL"] == shown["NOTIFY_FLOWER_AUTH"] == MASK
    assert shown["NOTIFY_WEBHOOK_SECRET"] == "", "what is not set shows as not set"
    assert not any(secret in value for value in shown.values())


@pytest.mark.parametrize("variables", [{}, OTHERS])
def test_children_get_the_very_same_settings(tmp_path: Path, variables: dict[str, str]) -> None:
    settings = load(tmp_path, **variables)
    assert Settings.load(settings.as_environ()) == settings


def test_every_setting_says_what_it_is_and_has_a_default_of_its_kind() -> None:
    for variable, _, doc in Settings().items():
        assert doc.endswith("."), variable


def test_the_running_sets_addresses_fill_in_what_is_not_set(tmp_path: Path) -> None:
    endpoints = {"kafka_bootstrap": "127.0.0.1:4711", "secret_key": "of the running set"}
    (tmp_path / ENDPOINTS_FILE).write_text(json.dumps(endpoints))
    settings = load(tmp_path, NOTIFY_SECRET_KEY="given")
    assert settings.kafka_bootstrap == "127.0.0.1:4711"
    assert settings.secret_key == "given"


def test_the_embedded_set_derives_its_addresses_from_its_ports(tmp_path: Path) -> None:
    settings = load(
        tmp_path, NOTIFY_REDIS_PORT="7001", NOTIFY_SMTP_BIND="127.0.0.1:7002", NOTIFY_HTTP_BIND="127.0.0.1:7003"
    )
    assert settings.broker_url == "redis://127.0.0.1:7001/0"
    assert settings.smtp_url == "smtp://127.0.0.1:7002"
    assert settings.public_url == "http://127.0.0.1:7003"
    assert str(tmp_path) in settings.database_url


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = load(tmp_path)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.limit_user = parse_rate("1/s")  # type: ignore[misc]


def test_keys_may_not_be_older_than_a_revoked_one_may_live() -> None:
    assert Settings.load({"NOTIFY_KEYS_REFRESH_S": "30"}).keys_refresh_s == 30
    with pytest.raises(ConfigError, match="NOTIFY_KEYS_REFRESH_S must be at most 30"):
        Settings.load({"NOTIFY_KEYS_REFRESH_S": "30.1"})
