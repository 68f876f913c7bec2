"""Port ReceiptReader: what each provider posts is believed by its signature alone, and read as it is documented."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import structs
from standardwebhooks import Webhook

from app.domain.clock import now_ms
from app.domain.errors import ConfigError, StoreUnavailableError
from app.domain.ports import ReceiptReader
from app.domain.report import InvalidSignatureError, ReceiptRequest, Report, ReportKind
from app.domain.violation import InvalidInputError, MalformedInputError
from app.settings import Settings
from infrastructure.channels.receipt_readers import ConfiguredReceiptReaders
from infrastructure.channels.sns import SnsMessage, SnsVerifier, is_amazons
from infrastructure.channels.sns_fetch import SnsFetch
from infrastructure.channels.twilio import CALLED_AGAIN
from infrastructure.channels.twilio_receipts import START_WORDS, STOP_WORDS, is_signed, twilio_signature
from infrastructure.channels.webhook_signature import TOLERANCE_S, WebhookVerifier
from tests.support.certificate import make_certificate
from tests.support.receipts import (
    CERTIFICATE_URL,
    GATEWAY,
    RESEND,
    SES,
    SIGNING_SECRET,
    SUBSCRIBE_URL,
    TWILIO,
    Posted,
    ids,
    reporting_settings,
    resend,
    resend_event,
    ses,
    ses_bounce,
    ses_complaint,
    ses_delivery,
    ses_event,
    sns,
    sns_document,
    sns_page,
    subscription,
    twilio,
    twilio_reply,
    twilio_status,
)
from tests.support.webhook_receiver import answering, status, webhook_receiver

CARRIED = ids("d-1", "n-1")
ADDRESS, NUMBER = "anna@example.com", "+442071838750"


@pytest.fixture
def readers(tmp_path: Path) -> ConfiguredReceiptReaders:
    return ConfiguredReceiptReaders(reporting_settings(Settings.load({}), tmp_path), sns_page)


def request(posted: Posted) -> ReceiptRequest:
    headers = {name.lower(): value for name, value in posted.headers.items()}
    return ReceiptRequest(query=posted.query, headers=headers, body=posted.body)


def reader(readers: ConfiguredReceiptReaders, posted: Posted) -> ReceiptReader:
    found = readers.of(posted.path.rpartition("/")[2])
    assert found is not None
    return found


def read(readers: ConfiguredReceiptReaders, posted: Posted) -> list[Report]:
    return list(reader(readers, posted).read(request(posted)))


def said(readers: ConfiguredReceiptReaders, posted: Posted) -> list[tuple[str, str, str]]:
    """Kind, address, detail of each report."""
    return [(one.kind, one.address, one.detail) for one in read(readers, posted)]


GOOD: dict[str, Callable[[], Posted]] = {
    "twilio": lambda: twilio_status("delivered", CARRIED),
    "resend": lambda: resend(resend_event("email.delivered", CARRIED)),
    "ses": lambda: ses(ses_delivery(CARRIED)),
    "ses version 2": lambda: ses(ses_delivery(CARRIED), version="2"),
    "ses with a subject": lambda: ses(ses_delivery(CARRIED), Subject="Amazon SES Email Event Notification"),
}


# what is the same for all


@pytest.mark.parametrize("name", GOOD)
def test_what_is_signed_is_read(readers: ConfiguredReceiptReaders, name: str) -> None:
    [report] = read(readers, GOOD[name]())
    address = NUMBER if name == "twilio" else ADDRESS
    assert (report.kind, report.address, report.delivery_id, report.notification_id) == (
        *(ReportKind.DELIVERED, address),
        *("d-1", "n-1"),
    )
    assert report.provider_id
    assert 0 < report.at_ms <= now_ms()


@pytest.mark.parametrize("name", GOOD)
def test_whatever_is_altered_is_refused(readers: ConfiguredReceiptReaders, name: str) -> None:
    posted = GOOD[name]()
    other = {b"d-1": b"d-2", b"delivered": b"failed", b"Delivery": b"Complaint", b"anna": b"bens"}
    altered = [posted.body.replace(old, new) for old, new in other.items() if old in posted.body]
    altered += [posted.body.replace(b"2071838750", b"2071838751")] if name == "twilio" else []
    assert altered
    for body in altered:
        with pytest.raises(InvalidSignatureError):
            read(readers, posted._replace(body=body))


@pytest.mark.parametrize("name", ["twilio", "resend"])
def test_without_its_headers_it_is_refused(readers: ConfiguredReceiptReaders, name: str) -> None:
    posted = GOOD[name]()
    for left_out in posted.headers:
        if left_out != "Content-Type":
            headers = {key: value for key, value in posted.headers.items() if key != left_out}
            with pytest.raises(InvalidSignatureError):
                read(readers, posted._replace(headers=headers))


@pytest.mark.parametrize("provider", [TWILIO, SES, RESEND])
@given(body=st.binary(max_size=200), header=st.text(max_size=40), query=st.text("&=%ab", max_size=20))
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_hostile_is_refused_and_nothing_else(
    readers: ConfiguredReceiptReaders, provider: str, body: bytes, header: str, query: str
) -> None:
    names = ("x-twilio-signature", "svix-id", "svix-timestamp", "svix-signature")
    asked = ReceiptRequest(query=query, headers=dict.fromkeys(names, header), body=body)
    found = readers.of(provider)
    assert found is not None
    with pytest.raises((InvalidSignatureError, InvalidInputError)):
        found.read(asked)


def test_who_does_not_report_has_no_reader(readers: ConfiguredReceiptReaders, tmp_path: Path) -> None:
    assert readers.of(GATEWAY) is None
    assert readers.of("nobody") is None
    assert ConfiguredReceiptReaders(Settings.load({})).of(TWILIO) is None
    settings = reporting_settings(Settings.load({}), tmp_path)
    lines = (settings.providers or tmp_path).read_text().splitlines()
    (tmp_path / "silent.toml").write_text(
        "\n".join(line for line in lines if not line.startswith(("topic_arn", "signing_secret")))
    )
    silent = ConfiguredReceiptReaders(dataclasses.replace(settings, providers=tmp_path / "silent.toml"))
    assert (silent.of(SES), silent.of(RESEND)) == (None, None)
    assert silent.of(TWILIO) is not None


def test_a_secret_that_is_none_is_named_and_not_quoted(tmp_path: Path) -> None:
    settings = reporting_settings(Settings.load({}), tmp_path)
    path = settings.providers or tmp_path
    path.write_text(path.read_text().replace(SIGNING_SECRET, "s3cret"))
    with pytest.raises(ConfigError, match="provider resend-1: signing_secret must be whsec_") as caught:
        ConfiguredReceiptReaders(settings, sns_page).of(RESEND)
    assert "s3cret" not in str(caught.value)


# Twilio


#: From Twilio's own library (tests/unit/test_request_validator.py of twilio-python) and its documentation.
TWILIO_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
TWILIO_VECTORS = [
    (
        TWILIO_URL,
        [
            *(("CallSid", "CA1234567890ABCDE"), ("Digits", "1234"), ("From", "+14158675309")),
            *(("To", "+18005551212"), ("Caller", "+14158675309")),
        ],
        "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
    ),
    (
        TWILIO_URL,
        [
            *(("CallSid", "CA1234567890ABCDE"), ("Digits", "1234"), ("From", "+12349013030")),
            *(("To", "+18005551212"), ("Caller", "+12349013030")),
        ],
        "0/KCTR6DLpKmkAf8muzZqo1nDgQ=",
    ),
    (
        TWILIO_URL,
        [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234")],
        "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
    ),
]


@pytest.mark.parametrize(("url", "fields", "signature"), TWILIO_VECTORS)
def test_twilios_published_signatures(url: str, fields: list[tuple[str, str]], signature: str) -> None:
    assert twilio_signature("12345", url, fields) == signature
    assert is_signed("12345", url, list(reversed(fields)), signature)
    assert not is_signed("12346", url, fields, signature)
    assert not is_signed("12345", url, fields[1:], signature)
    assert not is_signed("12345", url + "&", fields, signature)


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (TWILIO_URL.replace(".com", ".com:1234"), "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (TWILIO_URL, "kvajT1Ptam85bY51eRf/AJRuM3w="),
        (TWILIO_URL.replace("https", "http"), "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        (TWILIO_URL.replace(".com", ".com:1234").replace("https", "http"), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
    ],
)
def test_twilio_signs_with_a_port_or_without(url: str, signature: str) -> None:
    assert is_signed("12345", url, TWILIO_VECTORS[0][1], signature)


def test_what_makes_twilio_call_again_may_be_signed_too(readers: ConfiguredReceiptReaders) -> None:
    fields = {"MessageStatus": "delivered", "To": NUMBER}
    assert said(readers, twilio(fields, CARRIED, fragment=CALLED_AGAIN)) == [("delivered", NUMBER, "")]
    with pytest.raises(InvalidSignatureError):
        read(readers, twilio(fields, CARRIED, fragment="#rc=1"))


def test_a_callback_of_another_delivery_is_not_signed(readers: ConfiguredReceiptReaders) -> None:
    posted = twilio_status("delivered", CARRIED)
    with pytest.raises(InvalidSignatureError):
        read(readers, posted._replace(query=posted.query.replace("d-1", "d-2")))
    with pytest.raises(InvalidSignatureError):
        read(readers, twilio({"MessageStatus": "delivered"}, CARRIED, token="another"))


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("queued", "", []),
        ("sent", "", []),
        ("read", "", []),
        ("delivered", "", [("delivered", NUMBER, "")]),
        ("undelivered", "30005", [("hard_bounce", NUMBER, "code 30005")]),
        ("failed", "30006", [("hard_bounce", NUMBER, "code 30006")]),
        ("undelivered", "30003", [("soft_bounce", NUMBER, "code 30003")]),
        ("undelivered", "30007", [("refused", NUMBER, "code 30007")]),
        ("failed", "", [("refused", NUMBER, "")]),
        ("failed", "+442071838750", [("refused", NUMBER, "")]),
        ("failed", "21610", [("stop", NUMBER, ""), ("refused", NUMBER, "code 21610")]),
    ],
)
def test_what_twilios_statuses_mean(
    readers: ConfiguredReceiptReaders, state: str, code: str, expected: list[tuple[str, str, str]]
) -> None:
    assert said(readers, twilio_status(state, CARRIED, code=code)) == expected


@pytest.mark.parametrize("word", sorted(STOP_WORDS | START_WORDS))
def test_words_that_stop_and_start(readers: ConfiguredReceiptReaders, word: str) -> None:
    kind = "stop" if word in STOP_WORDS else "start"
    for text in (word, word.lower(), f" {word}\n"):
        assert said(readers, twilio_reply(text)) == [(kind, NUMBER, "")]
    assert said(readers, twilio_reply(f"please {word}")) == []


def test_twilio_names_the_word_of_other_languages(readers: ConfiguredReceiptReaders) -> None:
    assert said(readers, twilio_reply("ARRÊT", OptOutType="STOP")) == [("stop", NUMBER, "")]
    assert said(readers, twilio_reply("OUI", OptOutType="START")) == [("start", NUMBER, "")]
    assert said(readers, twilio_reply("STOP", OptOutType="HELP")) == []


def test_who_is_no_number_stops_nothing(readers: ConfiguredReceiptReaders) -> None:
    assert read(readers, twilio_reply("STOP", sender="whatsapp:+442071838750")) == []
    assert read(readers, twilio_reply("STOP", sender="")) == []


# Resend


#: https://docs.svix.com/receiving/verifying-payloads/how-manual
SVIX_SECRET, SVIX_AT_S = "whsec_plJ3nmyCDGBKInavdOK15jsl", 1731705121
SVIX_BODY = b'{"event_type":"ping","data":{"success":true}}'
SVIX_HEADERS = {
    "svix-id": "msg_loFOjxBNrRLzqYUf",
    "svix-timestamp": str(SVIX_AT_S),
    "svix-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
}


def test_svixs_published_signature() -> None:
    verifier = WebhookVerifier(SVIX_SECRET, "here")
    verifier.check(SVIX_HEADERS, SVIX_BODY, now_s=SVIX_AT_S)
    several = SVIX_HEADERS | {"svix-signature": "v1,AAAA v2,x " + SVIX_HEADERS["svix-signature"]}
    verifier.check(several, SVIX_BODY, now_s=SVIX_AT_S + TOLERANCE_S)
    named = {name.replace("svix", "webhook"): value for name, value in SVIX_HEADERS.items()}
    verifier.check(named, SVIX_BODY, now_s=SVIX_AT_S - TOLERANCE_S)


def test_the_signature_of_svixs_older_example() -> None:
    headers = {
        "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "svix-timestamp": "1614265330",
        "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    verifier = WebhookVerifier("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "here")
    verifier.check(headers, b'{"test": 2432232314}', now_s=1_614_265_330)


@pytest.mark.parametrize(
    ("headers", "body", "now_s"),
    [
        (SVIX_HEADERS, SVIX_BODY + b" ", SVIX_AT_S),
        (SVIX_HEADERS, SVIX_BODY, SVIX_AT_S + TOLERANCE_S + 1),
        (SVIX_HEADERS, SVIX_BODY, SVIX_AT_S - TOLERANCE_S - 1),
        (SVIX_HEADERS | {"svix-id": "msg_other"}, SVIX_BODY, SVIX_AT_S),
        (SVIX_HEADERS | {"svix-timestamp": str(SVIX_AT_S + 1)}, SVIX_BODY, SVIX_AT_S),
        (SVIX_HEADERS | {"svix-timestamp": "now"}, SVIX_BODY, SVIX_AT_S),
        (SVIX_HEADERS | {"svix-timestamp": "9" * 5000}, SVIX_BODY, SVIX_AT_S),
        (SVIX_HEADERS | {"svix-signature": SVIX_HEADERS["svix-signature"].replace("v1", "v2")}, SVIX_BODY, SVIX_AT_S),
        (SVIX_HEADERS | {"svix-signature": "v1,"}, SVIX_BODY, SVIX_AT_S),
        ({}, SVIX_BODY, SVIX_AT_S),
    ],
)
def test_what_svix_did_not_sign(headers: dict[str, str], body: bytes, now_s: int) -> None:
    with pytest.raises(InvalidSignatureError):
        WebhookVerifier(SVIX_SECRET, "here").check(headers, body, now_s=now_s)


@given(body=st.text(max_size=200), message_id=st.text("abcdef0123456789_", min_size=1, max_size=30))
def test_what_the_reference_signs_is_found_right(body: str, message_id: str) -> None:
    at = datetime.now(UTC)
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SVIX_SECRET).sign(message_id, at, body),
    }
    WebhookVerifier(SVIX_SECRET, "here").check(headers, body.encode(), now_s=int(at.timestamp()))


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("email.sent", {}, []),
        ("email.opened", {}, []),
        ("email.delivery_delayed", {}, []),
        ("contact.created", {"data": 5}, []),
        ("email.delivered", {}, [("delivered", ADDRESS, "")]),
        ("email.complained", {}, [("complaint", ADDRESS, "")]),
        ("email.failed", {"failed": {"reason": "reached_daily_quota"}}, [("refused", ADDRESS, "")]),
        ("email.bounced", {}, [("hard_bounce", ADDRESS, "")]),
        (
            "email.bounced",
            {"bounce": {"message": f"550 {ADDRESS}", "type": "Permanent", "subType": "Suppressed"}},
            [("hard_bounce", ADDRESS, "Permanent, Suppressed")],
        ),
        (
            "email.bounced",
            {"bounce": {"type": "Transient", "subType": "MailboxFull"}},
            [("soft_bounce", ADDRESS, "Transient, MailboxFull")],
        ),
        (
            "email.bounced",
            {"bounce": {"type": "Transient", "subType": "ContentRejected"}},
            [("refused", ADDRESS, "Transient, ContentRejected")],
        ),
        (
            "email.bounced",
            {"bounce": {"type": "Undetermined", "subType": f"for {ADDRESS}"}},
            [("soft_bounce", ADDRESS, "Undetermined")],
        ),
        ("email.delivered", {"to": ["Anna <Anna@BÜCHER.example>"]}, [("delivered", "Anna@xn--bcher-kva.example", "")]),
        ("email.delivered", {"to": [ADDRESS, "ben@example.com"]}, [("delivered", "", "")]),
        ("email.delivered", {"to": ["nobody"]}, [("delivered", "", "")]),
    ],
)
def test_what_resends_events_mean(
    readers: ConfiguredReceiptReaders, kind: str, data: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    event = resend_event(kind, CARRIED, **{name: value for name, value in data.items() if name != "data"})
    assert said(readers, resend(event | ({"data": data["data"]} if "data" in data else {}))) == expected


@pytest.mark.parametrize("key_id", ["", "0123456789ab"])
def test_whom_to_tell_comes_back_with_the_report(readers: ConfiguredReceiptReaders, key_id: str) -> None:
    tags = dict(CARRIED) | ({"key_id": key_id} if key_id else {})
    [report] = read(readers, resend(resend_event("email.delivered", {}, tags=tags)))
    assert report.key_id == key_id


@pytest.mark.parametrize(
    "tags", [dict(CARRIED), [{"name": name, "value": value} for name, value in CARRIED.items()], None, {}, []]
)
def test_tags_of_either_form_are_read(readers: ConfiguredReceiptReaders, tags: Any) -> None:
    [report] = read(readers, resend(resend_event("email.delivered", {}, tags=tags)))
    assert (report.delivery_id, report.notification_id) == (("d-1", "n-1") if tags else ("", ""))


@pytest.mark.parametrize(
    ("event", "where"),
    [
        ([], ""),
        ({}, "/type"),
        ({"type": 5}, "/type"),
        ({"type": "email.bounced"}, "/data"),
        ({"type": "email.bounced", "data": {}}, "/data/email_id"),
        ({"type": "email.bounced", "data": {"email_id": "e", "to": "anna"}}, "/data/to"),
        ({"type": "email.bounced", "data": {"email_id": "e", "bounce": []}}, "/data/bounce"),
    ],
)
def test_what_is_signed_and_not_to_be_read_is_pointed_at(
    readers: ConfiguredReceiptReaders, event: Any, where: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(readers, resend(event))
    assert [one.pointer for one in caught.value.violations] == [where]
    assert "anna" not in str(caught.value)


# Amazon SES


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (ses_event("Send", CARRIED, {}), []),
        (ses_event("Open", CARRIED, {"ipAddress": "192.0.2.1"}), []),
        (ses_event("DeliveryDelay", CARRIED, {"delayType": "MailboxFull"}), []),
        (ses_event("Reject", CARRIED, {"reason": "Bad content"}), [("refused", ADDRESS, "Reject")]),
        (ses_delivery(CARRIED), [("delivered", ADDRESS, "")]),
        (ses_bounce(CARRIED), [("hard_bounce", ADDRESS, "Permanent, General")]),
        (ses_bounce(CARRIED, subtype="NoEmail"), [("hard_bounce", ADDRESS, "Permanent, NoEmail")]),
        (ses_bounce(CARRIED, kind="Transient"), [("soft_bounce", ADDRESS, "Transient, General")]),
        (
            ses_bounce(CARRIED, kind="Transient", subtype="MessageTooLarge"),
            [("refused", ADDRESS, "Transient, MessageTooLarge")],
        ),
        (
            ses_bounce(CARRIED, kind="Undetermined", subtype="Undetermined"),
            [("soft_bounce", ADDRESS, "Undetermined, Undetermined")],
        ),
        (ses_bounce(CARRIED, to="Anna <Anna@BÜCHER.example>"), None),
        (ses_complaint(CARRIED), [("complaint", ADDRESS, "abuse")]),
        (ses_complaint(CARRIED, kind=None), [("complaint", ADDRESS, "")]),
        (ses_complaint(CARRIED, kind="not-spam"), []),
        ({"notificationType": "Bounce", "mail": {"messageId": "x"}, "bounce": {"bounceType": "Permanent"}}, []),
        ({"eventType": "Bounce"}, []),
    ],
)
def test_what_ses_events_mean(
    readers: ConfiguredReceiptReaders, event: Any, expected: list[tuple[str, str, str]] | None
) -> None:
    wanted = [("hard_bounce", "Anna@xn--bcher-kva.example", "Permanent, General")] if expected is None else expected
    assert said(readers, ses(event)) == wanted


def test_ses_tells_the_time_of_what_it_reports(readers: ConfiguredReceiptReaders) -> None:
    [report] = read(readers, ses(ses_bounce(CARRIED)))
    assert report.at_ms == round(datetime(2026, 11, 22, 23, 41, 12, 669_000, tzinfo=UTC).timestamp() * 1000)


def test_a_greeting_is_no_event(readers: ConfiguredReceiptReaders) -> None:
    text = "Successfully validated SNS topic for Amazon SES event publishing."
    assert read(readers, sns(sns_document(text))) == []


@pytest.mark.parametrize(
    ("message", "where"), [('{"mail": {}}', "/mail/messageId"), ('{"eventType": 5}', "/eventType")]
)
def test_an_event_that_cannot_be_read_is_pointed_at(
    readers: ConfiguredReceiptReaders, message: str, where: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(readers, sns(sns_document(message)))
    assert [one.pointer for one in caught.value.violations] == [where]


def test_what_is_no_json_is_malformed(readers: ConfiguredReceiptReaders) -> None:
    for body in (b"", b"nope", b"{", b'{"Type": "\xff"}'):
        with pytest.raises(MalformedInputError):
            read(readers, sns({})._replace(body=body))


def test_another_topic_is_not_believed_whoever_signed_for_it(readers: ConfiguredReceiptReaders) -> None:
    stranger = sns_document(json.dumps(ses_bounce(CARRIED)), TopicArn="arn:aws:sns:eu-west-1:999999999999:evil")
    with pytest.raises(InvalidSignatureError, match="TopicArn"):
        read(readers, sns(stranger))


@pytest.mark.parametrize("kind", ["Other", ""])
def test_a_document_of_another_type_is_refused(readers: ConfiguredReceiptReaders, kind: str) -> None:
    with pytest.raises(InvalidSignatureError, match="Type"):
        read(readers, sns(sns_document("{}", kind=kind)))


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem",
        "https://evil.example/sns.eu-west-1.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/x.pem",
        "https://user@sns.eu-west-1.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/x.pem",
        "https://s3.eu-west-1.amazonaws.com/x.pem",
        "https://sns.evil.amazonaws.com/x.pem",
        "https://sns.eu-west-1.amazonaws.com/x.crt",
        "https://sns.eu-west-1.amazonaws.com/../x.pem",
        "https://sns.eu-west-1.amazonaws.com\\@evil.example/x.pem",
        "https://[/x.pem",
        "",
    ],
)
def test_a_certificate_of_elsewhere_is_not_even_fetched(readers: ConfiguredReceiptReaders, url: str) -> None:
    fetched: list[str] = []
    verifier = SnsVerifier(lambda one: fetched.append(one) or sns_page(one))  # type: ignore[func-returns-value]
    document = sns_document("{}") | {"SigningCertURL": url}
    with pytest.raises(InvalidSignatureError, match="SigningCertURL"):
        verifier.check(_message(document))
    assert fetched == []


def _message(document: dict[str, str]) -> SnsMessage:
    return SnsMessage(
        kind=document["Type"],
        id=document["MessageId"],
        topic_arn=document["TopicArn"],
        message=document["Message"],
        timestamp=document["Timestamp"],
        signature_version=document["SignatureVersion"],
        signature=document["Signature"],
        certificate_url=document["SigningCertURL"],
    )


@pytest.mark.parametrize("url", [CERTIFICATE_URL, "https://sns.cn-north-1.amazonaws.com.cn/a.pem"])
def test_amazons_places(url: str) -> None:
    assert is_amazons(url)


def test_a_certificate_is_fetched_once_and_asked_for_again_where_it_could_not_be(tmp_path: Path) -> None:
    answers: list[Any] = [StoreUnavailableError("SNS: no answer"), b"no certificate", *[sns_page(CERTIFICATE_URL)] * 9]
    fetched: list[str] = []

    def fetch(url: str) -> bytes:
        fetched.append(url)
        answer = answers[len(fetched) - 1]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, bytes)
        return answer

    verifier = SnsVerifier(fetch)
    message = _message(sns_document("{}"))
    for _ in range(2):
        with pytest.raises(StoreUnavailableError):
            verifier.check(message)
    for _ in range(3):
        verifier.check(message)
    assert fetched == [CERTIFICATE_URL] * 3


@pytest.mark.parametrize("signature", ["", "AAAA", "not base64", "ü"])
def test_a_signature_that_is_none_is_refused(signature: str) -> None:
    with pytest.raises(InvalidSignatureError):
        SnsVerifier(sns_page).check(structs.replace(_message(sns_document("{}")), signature=signature))


def test_a_signature_of_one_version_is_none_of_the_other() -> None:
    for version, other in (("1", "2"), ("2", "1")):
        message = _message(sns_document("{}", version=version))
        SnsVerifier(sns_page).check(message)
        for wrong in (other, "3", ""):
            with pytest.raises(InvalidSignatureError):
                SnsVerifier(sns_page).check(structs.replace(message, signature_version=wrong))


def test_our_topics_subscription_is_confirmed_and_no_other(tmp_path: Path) -> None:
    fetched: list[str] = []

    def fetch(url: str) -> bytes:
        fetched.append(url)
        return sns_page(url)

    readers = ConfiguredReceiptReaders(reporting_settings(Settings.load({}), tmp_path), fetch)
    assert read(readers, subscription()) == []
    assert fetched == [CERTIFICATE_URL, SUBSCRIBE_URL]
    for refused in (
        subscription(TopicArn="arn:aws:sns:eu-west-1:999999999999:evil"),
        subscription(SubscribeURL="https://evil.example/?Action=ConfirmSubscription"),
    ):
        with pytest.raises(InvalidSignatureError):
            read(readers, refused)
    assert fetched == [CERTIFICATE_URL, SUBSCRIBE_URL]


def test_a_subscription_that_cannot_be_confirmed_is_to_be_asked_for_again(tmp_path: Path) -> None:
    def fetch(url: str) -> bytes:
        if url == SUBSCRIBE_URL:
            raise StoreUnavailableError("SNS: HTTP 500")
        return sns_page(url)

    readers = ConfiguredReceiptReaders(reporting_settings(Settings.load({}), tmp_path), fetch)
    with pytest.raises(StoreUnavailableError):
        read(readers, subscription())


def test_pages_are_fetched_over_tls_and_no_redirect_is_followed(tmp_path: Path) -> None:
    tls = make_certificate(tmp_path)
    with webhook_receiver(tls.server) as outside:
        fetch = SnsFetch(dataclasses.replace(Settings(), store_timeout_s=5.0), tls.client)
        url = f"https://localhost:{outside.port}/SimpleNotificationService-1.pem"
        outside.then(answering(200, b"a page"), status(302, location="/elsewhere"), status(500))
        assert fetch(url) == b"a page"
        for _ in range(2):
            with pytest.raises(StoreUnavailableError):
                fetch(url)
        with pytest.raises(StoreUnavailableError):
            SnsFetch(dataclasses.replace(Settings(), store_timeout_s=5.0))(url)
    with pytest.raises(StoreUnavailableError):
        fetch("https://localhost:1/")


def test_the_signatures_of_these_tests_can_fail() -> None:
    document = sns_document("{}")
    other = base64.b64encode(bytes(256)).decode()
    with pytest.raises(InvalidSignatureError):
        SnsVerifier(sns_page).check(_message(document | {"Signature": other}))
