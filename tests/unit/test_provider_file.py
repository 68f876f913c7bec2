"""The file of providers: what it may say, and what is told where it is wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from app.domain.errors import ConfigError
from app.domain.provider_file import (
    ApnsEntry,
    FcmEntry,
    HttpSmsEntry,
    ResendEntry,
    SesEntry,
    SmtpEntry,
    TwilioEntry,
    WebPushEntry,
    load_providers,
)
from app.settings import Settings
from infrastructure.channels.configured import configured

SID = "AC" + "0a" * 16
GOOD = f"""
[[provider]]
kind = "twilio"
name = "twilio-eu"
weight = 3
account_sid = "{SID}"
auth_token = {{ env = "TWILIO_TOKEN" }}
sender = "+15005550006"
timeout_s = 5
timeout_high_s = 3
rate = "100/s:20"

[[provider]]
kind = "http_sms"
name = "gateway"
url = "https://sms.example.com/send"
rate = "20/s"
fields = {{ to = "{{to}}", text = "{{text}}" }}
headers = {{ "X-Key" = {{ file = "KEYFILE" }} }}

[[provider]]
kind = "smtp"
name = "second-relay"
url = "smtp://user:pass@relay.example.com:587"
rate = "600/10m"

[[provider]]
kind = "ses"
name = "ses-eu"
region = "eu-west-1"
access_key_id = {{ env = "AWS_ACCESS_KEY_ID" }}
secret_access_key = {{ file = "KEYFILE" }}
configuration_set = "notify-events"
timeout_s = 4

[[provider]]
kind = "resend"
name = "resend"
api_key = {{ file = "KEYFILE" }}
weight = 2

[[provider]]
kind = "fcm"
name = "fcm"
service_account = {{ file = "KEYFILE" }}
project_id = "shop-1"

[[provider]]
kind = "apns"
name = "apns"
key = {{ file = "KEYFILE" }}
key_id = "KEY1234567"
team_id = "TEAM123456"
topic = "com.example.shop"
environment = "sandbox"

[[provider]]
kind = "webpush"
name = "browsers"
private_key = {{ file = "KEYFILE" }}
subject = "mailto:ops@example.com"
"""
KINDS = [TwilioEntry, HttpSmsEntry, SmtpEntry, SesEntry, ResendEntry, FcmEntry, ApnsEntry, WebPushEntry]
APNS = {"key": "s3cret", "key_id": "KEY1234567", "team_id": "TEAM123456", "topic": "com.example.shop"}
WEB = {"private_key": "s3cret", "subject": "mailto:ops@example.com"}
SES = '[[provider]]\nkind = "ses"\nname = "p"\naccess_key_id = "a"\nsecret_access_key = "s3cret"\n'
RESEND = '[[provider]]\nkind = "resend"\nname = "p"\n'


RELAY = '[[provider]]\nkind = "smtp"\nname = "p"\nurl = "smtp://x"\n'


def settings(folder: Path, text: str, **given: object) -> Settings:
    path = folder / "providers.toml"
    path.write_text(text.replace("KEYFILE", str(folder / "key")))
    (folder / "key").write_text("k3y\n")
    return dataclasses.replace(Settings(), providers=path, **given)


def test_each_kind_is_read() -> None:
    assert [type(one) for one in load_providers(GOOD, "providers.toml")] == KINDS
    assert load_providers("", "providers.toml") == []


def test_each_is_made_for_its_channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_TOKEN", "s3cret")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    made = settings(tmp_path, GOOD)
    first, second = configured("sms", made)
    assert (first.name, first.timeout_s, first.terms.timeout_high_s, first.terms.weight) == ("twilio-eu", 5, 3, 3)
    assert first.terms.slow_s == 2.5
    assert (str(first.terms.rate), str(second.terms.rate)) == ("100/1s:20", "20/1s:20")
    assert (second.name, second.timeout_s, second.terms.weight) == ("gateway", made.provider_timeout_s, 1)
    relay, ses, resend = configured("email", made)
    assert (relay.name, relay.breaker_key("")) == ("second-relay", "second-relay")
    assert str(relay.terms.rate) == "600/600s:600"
    assert (ses.name, ses.breaker_key(""), ses.timeout_s, ses.terms.slow_s) == ("ses-eu", "ses-eu", 4, 2)
    assert (resend.name, resend.breaker_key(""), resend.terms.weight) == ("resend", "resend", 2)
    assert list(configured("chat", made)) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[provider]\n", "providers.toml: "),
        ('[[provider]]\nkind = "pigeon"\nname = "p"', "provider p: .*pigeon"),
        ('[[provider]]\nname = "p"', "provider p: .*kind"),
        ('[[provider]]\nkind = "smtp"\nurl = "smtp://x"', "provider number 1: .*name"),
        ('[[provider]]\nkind = "smtp"\nname = "A b"\nurl = "smtp://x"', "provider A b: .*name"),
        ('[[provider]]\nkind = "smtp"\nname = "p"\nurl = "smtp://x"\nwieght = 2', "provider p: .*wieght"),
        ('[[provider]]\nkind = "smtp"\nname = "p"\nurl = "smtp://x"\nweight = 0', "provider p: .*weight"),
        ('[[provider]]\nkind = "smtp"\nname = "p"\nurl = "smtp://x"\nweight = "2"', "provider p: .*weight"),
        ('[[provider]]\nkind = "twilio"\nname = "p"\naccount_sid = "x"\nauth_token = ""\nsender = "a"', "account_sid"),
        ('[[provider]]\nkind = "smtp"\nname = "p"\nurl = "smtp://x"\n' * 2, "several providers of the name p"),
        ('[[provider]]\nkind = "http_sms"\nname = "p"\nurl = "x"\nfields = {}\nformat = "xml"', "provider p: .*format"),
        (RELAY + 'rate = "100 per second"', r"provider p: Expected a rate such as 100/s.*\(rate\)$"),
        (RELAY.replace('"p"', '"test"'), r"provider test: Expected another name.*\(name\)$"),
        (RELAY + 'rate = "0/s"', r"provider p: Expected a rate such as 100/s.*\(rate\)$"),
        (RELAY + "rate = 100", r"provider p: .*\(rate\)$"),
        ("[providers]\n", "providers"),
        (SES, "provider p: .*region"),
        (f'{SES}region = "eu"', "provider p: .*region"),
        (f'{SES}region = "eu-west-1/evil.example.com"', "provider p: .*region"),
        (f'{SES}region = "eu-west-1"\nconfiguration_set = "a b"', "provider p: .*configuration_set"),
        (f'{SES}region = "eu-west-1"\ntopic_arn = "arn:aws:sqs:eu-west-1:123456789012:x"', "provider p: .*topic_arn"),
        (RESEND, "provider p: .*api_key"),
        (f"{RESEND}api_key = 5", "provider p: .*api_key"),
    ],
)
def test_what_is_wrong_is_named(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_providers(text, "providers.toml")


@pytest.mark.parametrize(
    ("kind", "good", "name", "value"),
    [
        ("apns", APNS, "key_id", "short"),
        ("apns", APNS, "key_id", "key1234567"),
        ("apns", APNS, "team_id", "TEAM 23456"),
        ("apns", APNS, "topic", ""),
        ("apns", APNS, "topic", "com.example\nx: y"),
        ("apns", APNS, "environment", "development"),
        ("apns", APNS, "key", None),
        ("apns", APNS, "bundle_id", "com.example.shop"),
        ("webpush", WEB, "subject", "ops@example.com"),
        ("webpush", WEB, "subject", "mailto:ops@localhost"),
        ("webpush", WEB, "subject", "http://example.com"),
        ("webpush", WEB, "subject", "mailto:ops@example.com, x"),
        ("webpush", WEB, "private_key", None),
        ("webpush", WEB, "public_key", "x"),
    ],
)
def test_what_is_wrong_with_a_push_service_is_named_and_not_quoted(
    kind: str, good: dict[str, str], name: str, value: str | None
) -> None:
    fields = {"kind": kind, "name": "p"} | good | {name: value}
    text = "".join(f"{key} = {json.dumps(given)}\n" for key, given in fields.items() if given is not None)
    with pytest.raises(ConfigError, match=f"provider p: .*{name}") as caught:
        load_providers(f"[[provider]]\n{text}", "providers.toml")
    assert "s3cret" not in str(caught.value)


def test_what_push_services_are_given_is_read() -> None:
    for subject in ("mailto:ops@example.com", "https://example.com/contact"):
        text = f'[[provider]]\nkind = "webpush"\nname = "p"\nprivate_key = "x"\nsubject = "{subject}"\n'
        [entry] = load_providers(text, "providers.toml")
        assert isinstance(entry, WebPushEntry)
        assert (entry.subject, entry.channel) == (subject, "push")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('url = { env = "NOT_SET" }', "provider p: the environment variable NOT_SET is not set"),
        ('url = { file = "/nowhere/at/all" }', "provider p: /nowhere/at/all cannot be read"),
        ('url = { env = "A", file = "/b" }', "provider p: a secret has either env or file"),
        ("url = {}", "provider p: a secret has either env or file"),
        ('url = "http://user:s3cret@x"', "provider p: url must be smtp"),
        ('url = "smtp://x"\ntimeout_s = 30', "provider p: a time-out must be at most half"),
    ],
)
def test_what_cannot_be_made_is_named_and_no_secret_is_quoted(tmp_path: Path, text: str, told: str) -> None:
    made = settings(tmp_path, f'[[provider]]\nkind = "smtp"\nname = "p"\n{text}')
    with pytest.raises(ConfigError, match=told) as caught:
        list(configured("email", made))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f'{SES}region = "eu-west-1"\nendpoint = "ftp://user:s3cret@x"', "provider p: endpoint is not"),
        (f'{SES}region = "eu-west-1"\nsession_token = {{ env = "NOT_SET" }}', "provider p: .*NOT_SET is not set"),
        (f'{SES}region = "eu-west-1"\nsession_token = "s3cret token"', "provider p: session_token is empty, or has"),
        (f'{RESEND}api_key = "s3cret\\n"', "provider p: api_key is empty, or has"),
        (f'{RESEND}api_key = ""', "provider p: api_key is empty, or has"),
    ],
)
def test_what_an_email_api_cannot_use_is_named_and_not_quoted(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        list(configured("email", settings(tmp_path, text)))
    assert "s3cret" not in str(caught.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"NOTIFY_PROVIDERS: nowhere\.toml cannot be read"):
        list(configured("sms", dataclasses.replace(Settings(), providers=Path("nowhere.toml"))))
