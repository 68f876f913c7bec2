"""Reads the file of providers (TOML): an array `[[provider]]`, each of a `kind` that says which other keys there are.

A value that is a secret is a text, or `{ env = "NAME" }`, or `{ file = "/path" }`. Every error names the file and the
provider; none quotes a value.
"""

from __future__ import annotations

import re
import tomllib
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta, Struct

from app.domain.errors import ConfigError
from app.domain.rate import Rate, parse_rate
from app.domain.simulator import NAME as SIMULATOR

Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")]
Seconds = Annotated[float, Meta(gt=0, le=600)]
Text = Annotated[str, Meta(min_length=1, max_length=500)]


class FromOutside(Struct, frozen=True, forbid_unknown_fields=True):
    """A secret in an environment variable, or in a file."""

    env: str = ""
    file: str = ""


Secret = str | FromOutside


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every kind has. `slow_s` unset: half of the time-out; `rate` unset: no limit of its own."""

    channel: ClassVar[str]

    name: Name
    weight: Annotated[float, Meta(gt=0, le=1_000_000)] = 1.0
    timeout_s: Seconds | None = None
    timeout_high_s: Seconds | None = None
    slow_s: Seconds | None = None
    rate: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for a rate that is none, and for the simulator's name."""
        if self.name == SIMULATOR:
            raise ValueError("Expected another name: this one is for test addresses (name)")
        try:
            _ = self.limit
        except ValueError:
            # What is written there is not quoted: a secret may have been put on the wrong line.
            raise ValueError("Expected a rate such as 100/s, 20/h or 600/10m:50 (rate)") from None

    @property
    def limit(self) -> Rate | None:
        """The rate, if there is one."""
        return parse_rate(self.rate) if self.rate else None


class SmtpEntry(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="smtp"):
    """A further relay for email; `url` as NOTIFY_SMTP_URL."""

    channel = "email"

    url: Secret


class SesEntry(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="ses"):
    """Amazon SES, version 2 of its API.

    `session_token` belongs to credentials that expire; `endpoint` replaces https://email.<region>.amazonaws.com.
    `topic_arn` is the SNS topic that the configuration set's events are published to: without it none are taken.
    """

    channel = "email"

    region: Annotated[str, Meta(pattern="^[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}$")]
    access_key_id: Secret
    secret_access_key: Secret
    session_token: Secret = ""
    configuration_set: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{0,64}$")] = ""
    endpoint: Annotated[str, Meta(max_length=500)] = ""
    topic_arn: Annotated[str, Meta(pattern="^(arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]{1,256})?$")] = ""


class ResendEntry(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="resend"):
    """Resend. `signing_secret` is that of its webhook (whsec_...): without it no events are taken."""

    channel = "email"

    api_key: Secret
    signing_secret: Secret = ""
    url: Text = "https://api.resend.com"


class TwilioEntry(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="twilio"):
    """Twilio's Messages API. `sender` is a number, a sender id, or a messaging service (MG...)."""

    channel = "sms"

    account_sid: Annotated[str, Meta(pattern="^AC[0-9a-fA-F]{32}$")]
    auth_token: Secret
    sender: Text
    url: Text = "https://api.twilio.com"


class HttpSmsEntry(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="http_sms"):
    """Any SMS gateway that takes a POST.

    In `fields` (dots make objects in JSON) and in headers that are texts `{to}`, `{text}` and `{delivery_id}` stand
    for what is sent; `id_field` names what in a JSON answer is the gateway's id for the message.
    """

    channel = "sms"

    url: Secret
    fields: dict[str, str]
    format: Literal["json", "form"] = "json"
    headers: dict[str, Secret] = {}
    id_field: str = ""


class FcmEntry(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="fcm"):
    """Firebase Cloud Messaging. `service_account` is the JSON of its key; `project_id` unset: the key's own."""

    channel = "push"

    service_account: Secret
    project_id: Annotated[str, Meta(pattern="^[a-z0-9.:-]{0,64}$")] = ""
    url: Text = "https://fcm.googleapis.com"


class ApnsEntry(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="apns"):
    """Apple's push service, with a provider token.

    `key` is the text of the .p8 file, `topic` the app's bundle id; `url` unset: the host of the `environment`.
    """

    channel = "push"

    key: Secret
    key_id: Annotated[str, Meta(pattern="^[A-Z0-9]{10}$")]
    team_id: Annotated[str, Meta(pattern="^[A-Z0-9]{10}$")]
    topic: Annotated[str, Meta(pattern="^[A-Za-z0-9.-]{1,255}$")]
    environment: Literal["production", "sandbox"] = "production"
    url: Annotated[str, Meta(max_length=500)] = ""


class WebPushEntry(Entry, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="webpush"):
    """Web Push to browsers, each by the push service that its subscription names.

    `private_key` is the VAPID key (PEM, or 32 bytes as base64url), `subject` whom push services may write to.
    """

    channel = "push"

    private_key: Secret
    subject: Annotated[str, Meta(pattern=r"^(mailto:[^\s@]+@[^\s@]+\.[^\s@]+|https://[^\s/]+\.\S+)$", max_length=500)]


AnyEntry = SmtpEntry | SesEntry | ResendEntry | TwilioEntry | HttpSmsEntry | FcmEntry | ApnsEntry | WebPushEntry


class _File(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    provider: list[AnyEntry] = []


_FAULT = re.compile(r"(?s)(.*) - at `\$\.provider\[(\d+)\]\.?(.*)`")


def load_providers(text: str, name: str) -> list[AnyEntry]:
    """The providers in this text. `name` is the file's, for the errors. Raises ConfigError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from error
    try:
        entries = msgspec.convert(document, _File).provider
    except msgspec.ValidationError as error:
        raise ConfigError(f"{name}: {_told(str(error), document)}") from error
    names = [entry.name for entry in entries]
    for again in {one for one in names if names.count(one) > 1}:
        raise ConfigError(f"{name}: there are several providers of the name {again}")
    return list(entries)


def _told(fault: str, document: object) -> str:
    """`provider twilio-eu: Expected ... (weight)`: by its name, where it has one, else by its number."""
    found = _FAULT.fullmatch(fault)
    if found is None:
        return fault
    entry = document["provider"][int(found[2])] if isinstance(document, dict) else {}
    name = entry.get("name") if isinstance(entry, dict) else None
    called = f"provider {name}" if isinstance(name, str) else f"provider number {int(found[2]) + 1}"
    return f"{called}: {found[1]}" + (f" ({found[3]})" if found[3] else "")
