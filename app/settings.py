"""Every setting, typed, with unit and default: the only reader of the environment.

`Settings.load()` reads `NOTIFY_*` variables; `NOTIFY_KAFKA_BOOTSTRAP` is the field `kafka_bootstrap`. Where a variable
is not set and the embedded set is running (`manage.py up`), its addresses are taken from the file `endpoints.json` in
the state folder, so that every command finds it.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from app.domain.errors import ConfigError
from app.domain.kafka_access import check_access
from app.domain.rate import Rate, parse_rate, parse_rates

PREFIX = "NOTIFY_"
ENDPOINTS_FILE = "endpoints.json"
MASK = "********"
#: A revoked API key must be refused everywhere within a minute.
KEYS_REFRESH_MAX_S = 30


def _text(value: str) -> str:
    return value


def _bool(value: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if value.lower() not in words:
        raise ValueError("expected true or false")
    return words[value.lower()]


def _positive_int(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{value!r} is not a whole number above 0")
    return int(value)


def _int_or_0(value: str) -> int:
    if not value.isdecimal():
        raise ValueError(f"{value!r} is not a whole number")
    return int(value)


def _positive_float(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ValueError(f"{value!r} is not a number above 0")
    return number


def _float_or_0(value: str) -> float:
    return 0.0 if value.strip("0.") == "" and value else _positive_float(value)


def _choice(*words: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return value

    return parse


def _endpoint(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("expected http://host:port or https://host:port")
    return value


def _schemas(value: str) -> str:
    names = [name.strip().lower() for name in value.split(",") if name.strip()]
    if not all(re.fullmatch("[a-z0-9]+", name) for name in names):
        raise ValueError("expected names of services with commas between them, as in slack,discord")
    return ",".join(names)


def _optional_rate(value: str) -> Rate | None:
    return parse_rate(value) if value else None


def _optional_path(value: str) -> Path | None:
    return Path(value) if value else None


def _setting(default: Any, parse: Callable[[str], Any], doc: str, *, secret: bool = False) -> Any:
    metadata = {"parse": parse, "doc": doc, "secret": secret}
    if isinstance(default, dict):
        return dataclasses.field(default_factory=lambda: dict(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings. Times end in `_s` or `_ms`, sizes in `_bytes`."""

    profile: str = _setting("embedded", _choice("embedded", "real"), "Which adapters to use: embedded or real.")
    state_dir: Path = _setting(Path(".state"), Path, "Folder of the embedded set's files.")
    secret_key: str = _setting(
        "",
        _text,
        "Derives ids, signatures and the key of sealed URLs; one for all. Embedded: made in the state folder.",
        secret=True,
    )
    public_url: str = _setting(
        "http://127.0.0.1:8080",
        _text,
        "Where clients and providers reach the HTTP service; with https emails have an unsubscribe link, and SMS of "
        "Twilio a status callback.",
    )
    log_level: str = _setting("info", _choice("debug", "info", "warning", "error"), "Lowest level that is logged.")

    metrics_bind: str = _setting(
        "", _text, "Where each bridge, pool and HTTP process serves /metrics; empty: nowhere. Embedded: free ports."
    )

    otlp_endpoint: str = _setting(
        "", _endpoint, "OpenTelemetry collector (OTLP over HTTP), e.g. http://127.0.0.1:4318; empty: no spans."
    )

    # stores
    kafka_bootstrap: str = _setting("127.0.0.1:9092", _text, "Kafka brokers, host:port, comma separated.")
    kafka_security_protocol: str = _setting(
        "plaintext",
        _choice("plaintext", "ssl", "sasl_plaintext", "sasl_ssl"),
        "How to connect to Kafka: plaintext, ssl, sasl_plaintext or sasl_ssl.",
    )
    kafka_sasl_mechanism: str = _setting(
        "", _choice("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", ""), "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    kafka_sasl_username: str = _setting("", _text, "Who the service is to Kafka.")
    kafka_sasl_password: str = _setting("", _text, "The password of NOTIFY_KAFKA_SASL_USERNAME.", secret=True)
    kafka_ssl_ca: Path | None = _setting(
        None, _optional_path, "PEM file of the authorities that sign brokers; unset: the system's."
    )
    kafka_ssl_certificate: Path | None = _setting(
        None, _optional_path, "PEM file of the service's own certificate, where brokers ask for one."
    )
    kafka_ssl_key: Path | None = _setting(None, _optional_path, "PEM file of that certificate's key.")
    kafka_ssl_key_password: str = _setting("", _text, "The password of NOTIFY_KAFKA_SSL_KEY.", secret=True)
    kafka_group_protocol: str = _setting(
        "auto",
        _choice("auto", "consumer", "classic"),
        "How bridges share partitions: consumer (KIP-848), classic, or auto: consumer where brokers have it.",
    )
    kafka_partitions: int = _setting(6, _positive_int, "Partitions of raw, lanes and outcomes: `manage.py topics`.")
    kafka_replication: int = _setting(3, _positive_int, "Brokers that hold each record: `manage.py topics`.")
    broker_url: str = _setting("redis://127.0.0.1:6379/0", _text, "Celery's broker.", secret=True)
    redis_url: str = _setting("redis://127.0.0.1:6379/1", _text, "Redis of limits, claims and breakers.", secret=True)
    database_url: str = _setting("", _text, "SQLAlchemy URL of users, preferences, inbox, parked.", secret=True)
    history_url: str = _setting(
        "", _text, "SQLAlchemy URL of the history, or cassandra://host1,host2/keyspace.", secret=True
    )
    history_retention_s: float = _setting(
        7_776_000.0, _positive_float, "How long the history keeps an outcome; on Cassandra only: SQL keeps all."
    )
    smtp_url: str = _setting("", _text, "smtp://user:pass@host:port (smtps:// for TLS); empty: no email.", secret=True)
    email_from: str = _setting("Notify <notify@localhost>", _text, "From address of emails.")
    providers: Path | None = _setting(
        None, _optional_path, "Further providers of channels (TOML): docs/providers.md; unset: none."
    )
    chat_schemas: str = _setting(
        "slack,discord,tgram,workflows,gchat,webex,line,lark,feishu,dingtalk,wecombot,groupme",
        _schemas,
        "Services that chat URLs may name (schemas of apprise): docs/providers.md; empty: no chat.",
    )
    sms_region: str = _setting("", _text, "Country (GB) of phone numbers without +; empty: such numbers are refused.")
    catalogue: Path | None = _setting(
        None, _optional_path, "Event catalogue (TOML); unset: the one that comes with the code."
    )
    store_timeout_s: float = _setting(
        5.0, _positive_float, "Longest wait for an answer of SQL, Cassandra or Celery's broker."
    )
    users_timeout_s: float = _setting(
        1.0, _positive_float, "Longest wait of a worker for users and preferences in SQL; high then goes by copies."
    )
    contacts_cache_s: float = _setting(
        24 * 3600.0, _float_or_0, "How long Redis keeps copies of contacts and preferences for high; 0: none."
    )
    redis_timeout_s: float = _setting(
        2.0, _positive_float, "Longest wait for limits, claims and breakers; then no call waits until it answers."
    )

    devices_max: int = _setting(
        20, _positive_int, "Most devices of a user; a further one takes the place of the one registered longest ago."
    )

    soft_bounces_max: int = _setting(
        5, _positive_int, "Soft bounces of an address, with nothing delivered between, after which it is suppressed."
    )
    soft_bounces_s: float = _setting(2_592_000.0, _positive_float, "How long a soft bounce counts.")

    # HTTP
    http_bind: str = _setting("127.0.0.1:8080", _text, "Address the HTTP service listens on.")
    http_auth: str = _setting("", _choice("keys", "none", ""), "keys or none; unset: none, on loopback only.")
    keys_refresh_s: float = _setting(5.0, _positive_float, "How old the API keys a process knows may be; at most 30.")
    http_threads: int = _setting(16, _positive_int, "Requests that one HTTP process answers at a time.")
    intake_timeout_s: float = _setting(5.0, _positive_float, "Longest wait for Kafka's ack before a 503.")
    cancel_wait_s: float = _setting(2.0, _positive_float, "How long a DELETE waits for workers to tell.")
    idempotency_timeout_s: float = _setting(0.5, _positive_float, "Longest wait for Redis about Idempotency-Keys.")
    api_key: str = _setting("", _text, "Bearer key that `manage.py send` shows to the HTTP service.", secret=True)

    # embedded set
    redis_port: int = _setting(6399, _positive_int, "Embedded: port of the Redis server.")
    smtp_bind: str = _setting("127.0.0.1:1025", _text, "Mailbox: address of its SMTP server; it asks for no password.")
    mailbox_bind: str = _setting("127.0.0.1:8025", _text, "Mailbox: address of its page.")
    mailbox_messages: int = _setting(5000, _positive_int, "Mailbox: newest mails it keeps.")
    flower_bind: str = _setting("127.0.0.1:5555", _text, "Address Flower listens on; loopback unless behind a proxy.")
    flower_auth: str = _setting("", _text, "Flower's user:password; embedded: made in the state folder.", secret=True)
    flower_writable: bool = _setting(False, _bool, "Allow Flower to steer workers.")
    children_high: int = _setting(1, _positive_int, "Embedded: children of the pool that serves high alone.")
    children_all: int = _setting(3, _positive_int, "Embedded: children of the pool that serves all lanes.")
    drain_s: float = _setting(10.0, _positive_float, "Embedded: how long a stop waits for deliveries under way.")

    # batches; what each does is told in docs/architecture.md
    batch_max: int = _setting(1000, _positive_int, "Most deliveries in a batch.")
    batch_bytes: int = _setting(256 * 1024, _positive_int, "Most bytes of records in a batch.")
    batch_wall_ms: int = _setting(250, _positive_int, "How long a batch should take at the channel's concurrency.")
    linger_low_ms: int = _setting(100, _int_or_0, "How long low gathers for a batch that is not full; 0: not at all.")
    not_after_high_s: float = _setting(20.0, _positive_float, "Life of a copy of a batch of high.")
    not_after_s: float = _setting(60.0, _positive_float, "Life of a copy of a batch of medium and low.")
    resend_after_s: float = _setting(2.0, _positive_float, "How long after its not_after a copy counts as gone.")
    queue_bytes: int = _setting(16 * 1024 * 1024, _positive_int, "Most bytes in Celery's broker, all queues together.")
    claim_ttl_s: float = _setting(3600.0, _positive_float, "How long a claim lives: the horizon of 'no duplicate'.")
    kafka_retention_s: float = _setting(
        1_209_600.0, _positive_float, "How long Kafka keeps records; at least twice the catalogue's longest ttl."
    )
    kafka_fetch_wait_ms: int = _setting(500, _positive_int, "Longest wait of a fetch; embedded: 5.")

    # limits
    limit_global: Rate | None = _setting(None, _optional_rate, "All deliveries together, e.g. 1000/s.")
    limit_channel: Mapping[str, Rate] = _setting({}, parse_rates, "Per channel, e.g. email=100/s,webhook=50/s.")
    limit_priority: Mapping[str, Rate] = _setting({}, parse_rates, "Per priority, e.g. low=500/s.")
    limit_user: Rate | None = _setting(parse_rate("600/h"), _optional_rate, "Per user; empty: none.")
    limit_user_channel: Mapping[str, Rate] = _setting({}, parse_rates, "Per user and channel, e.g. email=20/h.")
    limit_share_high: float = _setting(0.2, _positive_float, "Share of a lane limit set aside for high.")
    limit_share_low: float = _setting(0.1, _positive_float, "Share of a lane limit set aside for medium and low.")

    # providers and what happens when they fail
    provider_timeout_s: float = _setting(10.0, _positive_float, "Longest provider call; at most half a not_after.")
    test_addresses: bool = _setting(
        True, _bool, "Whether test addresses are answered without a provider: docs/providers.md."
    )
    retry_max: int = _setting(8, _positive_int, "Transient failures of a delivery before it is failed.")
    retry_base_high_s: float = _setting(2.0, _positive_float, "First retry of high, at most 5 s with jitter.")
    retry_base_s: float = _setting(10.0, _positive_float, "First retry of medium and low.")
    retry_cap_s: float = _setting(1800.0, _positive_float, "Longest wait between two tries.")
    breaker_failures: int = _setting(5, _positive_int, "Failures in a row that open a breaker; a time-out counts 3.")
    breaker_open_s: float = _setting(3.0, _positive_float, "First pause of an open breaker; doubles up to the cap.")
    breaker_cap_s: float = _setting(15.0, _positive_float, "Longest pause of an open breaker.")
    webhook_secret: str = _setting("", _text, "whsec_... that signs webhooks; unset: derived.", secret=True)
    webhook_allow: str = _setting("", _text, "Inner networks that webhooks and Web Push may reach, e.g. 127.0.0.1/32.")
    webhook_response_bytes: int = _setting(64 * 1024, _positive_int, "Most that is read of a webhook's response.")
    webhook_drain_s: float = _setting(1.0, _positive_float, "Longest wait for a response's body, which is not used.")
    webhook_age_s: float = _setting(60.0, _positive_float, "How long a webhook connection is kept: follows DNS.")
    webhook_kept: int = _setting(64, _positive_int, "Most idle webhook connections of a process.")
    callback_threads: int = _setting(
        16, _positive_int, "Callbacks that a process makes at a time; one receiver gets a quarter of them at most."
    )
    callback_timeout_s: float = _setting(15.0, _positive_float, "Longest wait for the answer to a callback.")
    callback_retry_s: float = _setting(
        432_000.0,
        _positive_float,
        "How long a callback is tried again, and how long its receiver may fail before it is disabled.",
    )
    callback_waiting_max: int = _setting(
        1_000_000, _positive_int, "Callbacks that may wait for one receiver; with more it is disabled."
    )
    resolver_threads: int = _setting(16, _positive_int, "Most name look-ups of a process at a time.")
    smtp_idle_s: float = _setting(10.0, _positive_float, "Idle time after which the SMTP connection is checked first.")
    smtp_age_s: float = _setting(300.0, _positive_float, "How long one SMTP connection is used.")
    template_ms: int = _setting(200, _positive_int, "Longest rendering of one delivery, in processor time.")
    rendered_bytes: int = _setting(512 * 1024, _positive_int, "Largest rendered subject, text or html.")

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Settings from the environment. Raises ConfigError naming the variable that is wrong or unknown."""
        given = {
            key: value
            for key, value in (environ if environ is not None else os.environ).items()
            if key.startswith(PREFIX)
        }
        by_variable = {PREFIX + field.name.upper(): field for field in dataclasses.fields(cls)}
        for variable in given:
            if variable not in by_variable:
                near = difflib.get_close_matches(variable, by_variable, n=1)
                raise ConfigError(f"{variable} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
        values = {
            field.name: _parse(variable, field, given[variable])
            for variable, field in by_variable.items()
            if variable in given
        }
        return _complete(cls(**values), set(values))

    @property
    def longest_intake_s(self) -> float:
        """Seconds that taking an event in may last."""
        return self.intake_timeout_s + self.idempotency_timeout_s * 2

    @property
    def has_callbacks(self) -> bool:
        """Whether anybody can have callbacks: they are of API keys."""
        return self.http_auth == "keys"

    def items(self) -> list[tuple[str, str, str]]:
        """(variable, value, what it is) of every setting, secrets masked."""
        return [
            (
                PREFIX + field.name.upper(),
                MASK if field.metadata["secret"] and getattr(self, field.name) else _shown(getattr(self, field.name)),
                field.metadata["doc"],
            )
            for field in dataclasses.fields(self)
        ]

    def as_environ(self) -> dict[str, str]:
        """The settings as environment variables, for child processes."""
        return {PREFIX + field.name.upper(): _shown(getattr(self, field.name)) for field in dataclasses.fields(self)}


def secret_from_environment(name: str) -> str:
    """What this variable holds, for a file of settings that names it. Raises ConfigError where it is not set."""
    value = os.environ.get(name, "").strip()
    if not value:
        raise ConfigError(f"the environment variable {name} is not set")
    return value


def _parse(variable: str, field: dataclasses.Field[Any], value: str) -> Any:
    try:
        return field.metadata["parse"](value.strip())
    except ValueError as error:
        raise ConfigError(f"{variable}: {error}") from error


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return ",".join(f"{name}={rate}" for name, rate in value.items())
    return str(value)


def _complete(settings: Settings, given: set[str]) -> Settings:
    """Fill in what depends on other settings or on the running embedded set, then check what belongs together."""
    filled: dict[str, Any] = {}
    if settings.profile == "embedded":
        filled |= _embedded_defaults(settings)
    settings = dataclasses.replace(settings, **{name: value for name, value in filled.items() if name not in given})
    _check(settings)
    return settings


def _embedded_defaults(settings: Settings) -> dict[str, Any]:
    folder = settings.state_dir.absolute()
    defaults: dict[str, Any] = {
        "database_url": f"sqlite:///{folder / 'notify.db'}",
        "history_url": f"sqlite:///{folder / 'history.db'}",
        "broker_url": f"redis://127.0.0.1:{settings.redis_port}/0",
        "redis_url": f"redis://127.0.0.1:{settings.redis_port}/1",
        "smtp_url": f"smtp://{settings.smtp_bind}",
        "public_url": f"http://{settings.http_bind}",
        "kafka_fetch_wait_ms": 5,
        "metrics_bind": "127.0.0.1:0",
    }
    endpoints = folder / ENDPOINTS_FILE
    if endpoints.is_file():
        defaults |= json.loads(endpoints.read_text())
    return defaults


def _check(settings: Settings) -> None:
    if settings.keys_refresh_s > KEYS_REFRESH_MAX_S:
        raise ConfigError(f"NOTIFY_KEYS_REFRESH_S must be at most {KEYS_REFRESH_MAX_S}")
    for name in ("not_after_high_s", "not_after_s"):
        if settings.provider_timeout_s * 2 > getattr(settings, name):
            raise ConfigError(f"NOTIFY_PROVIDER_TIMEOUT_S must be at most half of NOTIFY_{name.upper()}")
        if settings.provider_timeout_s + settings.redis_timeout_s > getattr(settings, name):
            raise ConfigError(f"NOTIFY_REDIS_TIMEOUT_S leaves no time for a call within NOTIFY_{name.upper()}")
    _check_kafka(settings)
    if settings.profile == "real":
        for name in ("secret_key", "database_url", "history_url"):
            if not getattr(settings, name):
                raise ConfigError(f"NOTIFY_{name.upper()} must be set in the real profile")


def _check_kafka(settings: Settings) -> None:
    if settings.profile == "embedded" and settings.kafka_security_protocol != "plaintext":
        raise ConfigError("NOTIFY_KAFKA_SECURITY_PROTOCOL must be plaintext: the embedded broker knows nothing else")
    names = [field.name for field in dataclasses.fields(settings) if field.name.startswith(("kafka_sasl", "kafka_ssl"))]
    values = {name.removeprefix("kafka_").upper(): getattr(settings, name) for name in names}
    check_access(settings.kafka_security_protocol, values)


def child_environ(settings: Settings, **further: str) -> dict[str, str]:
    """The environment of a child process: this process's, with these settings and further variables."""
    return {**os.environ, **settings.as_environ(), **further}


@functools.cache
def settings() -> Settings:
    """The settings of this process."""
    return Settings.load()
