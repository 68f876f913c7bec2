"""Email APIs against a stand-in that answers as their documentation says: the right class of outcome each time."""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
import re
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy

import pytest

from app.domain.errors import (
    ConfigError,
    DeliveryError,
    InDoubtError,
    PermanentError,
    ProviderTimeoutError,
    ThrottledError,
    TransientError,
)
from app.domain.ports import Provider, Receipt
from app.domain.provider_file import ResendEntry, SesEntry
from app.settings import Settings
from infrastructure.channels.email_message import build_email
from infrastructure.channels.resend import ResendProvider
from infrastructure.channels.ses import SesProvider
from tests.support.messages import message
from tests.support.sigv4 import fault
from tests.support.webhook_receiver import (
    Answer,
    WebhookReceiver,
    answering,
    drip,
    drop,
    garbage,
    hang,
    huge,
    status,
    webhook_receiver,
)

ADDRESS = "anna.private@example.com"
KEY_ID, KEY, TOKEN, API_KEY = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG", "IQoJb3JpZ2lu//8=", "re_123_s3cret"
SECRETS = (KEY_ID, KEY, TOKEN, API_KEY, ADDRESS, "anna.private")
#: Long, so that what does answer does so in time on a machine that is busy; short for those that never do.
TIMEOUT_S, HANG_TIMEOUT_S = 5.0, 1.0
SETTINGS = dataclasses.replace(Settings(), provider_timeout_s=TIMEOUT_S, email_from="Grüße <no-reply@mail.example.com>")
DELIVERY_ID = "0f8fad5b-d9cb-889f-a165-70867728950e"


@pytest.fixture
def outside() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as receiver:
        yield receiver


def ses(outside: WebhookReceiver, *, token: str = TOKEN, settings: Settings = SETTINGS, **given: str) -> SesProvider:
    root = f"http://127.0.0.1:{outside.port}"
    values = {"name": "ses-1", "region": "eu-west-1", "endpoint": root} | given
    entry = SesEntry(access_key_id="", secret_access_key="", **values)
    return SesProvider(entry, KEY_ID, KEY, token, settings)


def resend(outside: WebhookReceiver, *, settings: Settings = SETTINGS) -> ResendProvider:
    entry = ResendEntry(name="resend-1", api_key="", url=f"http://127.0.0.1:{outside.port}")
    return ResendProvider(entry, API_KEY, settings)


Make = Callable[[WebhookReceiver], Provider]


@pytest.fixture(params=[ses, resend])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


def send(provider: Provider, timeout_s: float = TIMEOUT_S, **given: object) -> Receipt | Exception:
    [answer] = provider.send([message(**({"address": ADDRESS} | given))], timeout_s)
    provider.close()
    return answer


def refused(found: object) -> DeliveryError:
    """The error, which has neither a secret nor an address in it, however it came about."""
    assert isinstance(found, DeliveryError), found
    error: BaseException | None = found
    while error is not None:
        assert not [one for one in SECRETS if one in f"{error} {error!r}"]
        error = error.__cause__ or error.__context__
    return found


# what is the same for all


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(400), PermanentError),
        (status(409), PermanentError),
        (status(413), PermanentError),
        (status(418), PermanentError),
        (status(422), PermanentError),
        (status(401), TransientError),
        (status(403), TransientError),
        (status(404), TransientError),
        (status(302, location="/elsewhere"), TransientError),
        (status(408), TransientError),
        (status(429), TransientError),
        (status(429, retry_after="7"), ThrottledError),
        (status(503, retry_after="7"), ThrottledError),
        (status(500), TransientError),
        (status(502), TransientError),
        (status(599), TransientError),
        (hang, InDoubtError),
        (drip, InDoubtError),
        (drop, InDoubtError),
        (garbage, InDoubtError),
        (answering(200, b"\xff{not json"), Receipt),
        (answering(200, b"[]"), Receipt),
        (answering(200, b'{"id": {"a": 1}, "MessageId": ["x"]}'), Receipt),
        (answering(400, b"\xff{not json"), PermanentError),
        (answering(400, b'{"name": ["x"], "__type": {"a": 1}, "message": null}'), PermanentError),
        (answering(500, b"<html>"), TransientError),
        (huge, Receipt),
    ],
    ids=[
        *("400", "409", "413", "418", "422", "401", "403", "404", "302", "408", "429", "429 retry-after"),
        *("503 retry-after", "500", "502", "599", "hangs", "drips", "hangs up", "garbage", "200 with garbage"),
        *("200 with an array", "200 with other types", "400 with garbage", "400 with other types", "500 with a page"),
        "200 without end",
    ],
)
def test_what_an_answer_means(outside: WebhookReceiver, make: Make, answer: Answer, kind: type) -> None:
    outside.then(answer)
    found = send(make(outside), HANG_TIMEOUT_S if answer in (hang, drip) else TIMEOUT_S)
    assert type(found) is kind, found
    if kind is not Receipt:
        refused(found)
    assert len(outside.requests) == 1, "it is never asked twice"


def test_how_long_to_wait_is_what_it_says(outside: WebhookReceiver, make: Make) -> None:
    outside.then(status(429, retry_after="7"))
    found = send(make(outside))
    assert isinstance(found, ThrottledError)
    assert found.retry_after_s == 7


def test_nobody_listening_is_transient_and_a_connection_that_stands_still_a_time_out(make: Make) -> None:
    found = send(make(WebhookReceiver(port=1)))
    assert type(refused(found)) in (TransientError, ProviderTimeoutError)


def test_a_connection_is_kept(outside: WebhookReceiver, make: Make) -> None:
    provider = make(outside)
    for number in range(5):
        [answer] = provider.send([message(f"d-{number}", address=ADDRESS)], TIMEOUT_S)
        assert isinstance(answer, Receipt)
    provider.close()
    assert len({request.client_port for request in outside.requests}) == 1


@pytest.mark.parametrize("answer", [drop, hang, garbage], ids=["hangs up", "hangs", "garbage"])
def test_what_a_kept_connection_may_have_taken_is_not_sent_again(
    outside: WebhookReceiver, make: Make, answer: Answer
) -> None:
    provider = make(outside)
    provider.send([message("d-1", address=ADDRESS)], TIMEOUT_S)
    outside.then(answer)
    [found] = provider.send([message("d-2", address=ADDRESS)], HANG_TIMEOUT_S if answer is hang else TIMEOUT_S)
    provider.close()
    assert isinstance(refused(found), InDoubtError)
    assert len(outside.requests) == 2


def test_all_say_the_same_of_an_address(outside: WebhookReceiver, make: Make) -> None:
    assert make(outside).check_address("Anna@BÜCHER.example") == "Anna@xn--bcher-kva.example"
    assert make(outside).check_address(ADDRESS) == ADDRESS


@pytest.mark.parametrize("wrong", ["", "anna", "@example.com", "a b@example.com", "jürgen@example.com", "a@b@c.com"])
def test_what_is_no_address_is_refused_without_a_call(outside: WebhookReceiver, make: Make, wrong: str) -> None:
    with pytest.raises(PermanentError, match="invalid_address"):
        make(outside).check_address(wrong)
    found = refused(send(make(outside), address=wrong))
    assert (type(found), found.reason) == (PermanentError, "invalid_address")
    assert outside.requests == []


@pytest.mark.parametrize(
    "given", [{"subject": "a\r\nBcc: b@example.com"}, {"text": "\ud800"}], ids=["line break", "surrogate"]
)
def test_content_that_cannot_be_sent_is_refused_without_a_call(
    outside: WebhookReceiver, make: Make, given: dict[str, str]
) -> None:
    found = refused(send(make(outside), **given))
    assert (type(found), found.reason) == (PermanentError, "invalid_content")
    assert outside.requests == []


def test_a_repetition_has_the_same_content_or_resend_would_refuse_it(outside: WebhookReceiver) -> None:
    outside.then(status(500))
    provider = resend(outside)
    for _ in range(2):
        provider.send([message(DELIVERY_ID, address=ADDRESS)], TIMEOUT_S)
    provider.close()
    first, second = outside.requests
    assert first.body == second.body


def test_nothing_is_logged(outside: WebhookReceiver, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for answer in (status(403), status(400), drop, garbage):
            outside.then(answer)
            send(make(outside))
    assert not [one for one in SECRETS if one in caplog.text]


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://user:pass@example.com/"])
def test_a_url_that_is_none_is_refused_and_not_quoted(url: str) -> None:
    for made in (
        lambda: SesProvider(
            SesEntry(name="p", region="eu-west-1", access_key_id="", secret_access_key="", endpoint=url),
            *(KEY_ID, KEY, "", SETTINGS),
        ),
        lambda: ResendProvider(ResendEntry(name="p", api_key="", url=url), API_KEY, SETTINGS),
    ):
        with pytest.raises(ConfigError, match=r"provider p: (url|endpoint) is not") as caught:
            made()
        assert "pass" not in str(caught.value)


@pytest.mark.parametrize("value", ["", "s3cret\r\nX: y", "s3 cret", "s3crèt"])
def test_a_credential_that_cannot_be_one_is_refused_and_not_quoted(outside: WebhookReceiver, value: str) -> None:
    entry = SesEntry(name="p", region="eu-west-1", access_key_id="", secret_access_key="")
    with pytest.raises(ConfigError, match="provider p: api_key is empty") as caught:
        ResendProvider(ResendEntry(name="p", api_key=""), value, SETTINGS)
    assert "s3c" not in str(caught.value)
    with pytest.raises(ConfigError, match="provider p: access_key_id is empty"):
        SesProvider(entry, value, KEY, "", SETTINGS)
    with pytest.raises(ConfigError, match="provider p: secret_access_key is empty"):
        SesProvider(entry, KEY_ID, value, "", SETTINGS)


# Amazon SES


def test_ses_is_asked_as_it_documents(outside: WebhookReceiver) -> None:
    outside.then(answering(200, b'{"MessageId": "0102018f-abc-000000"}'))
    given = {"subject": "Größe", "text": "Grüße", "html": "<p>Grüße</p>", "delivery_id": DELIVERY_ID}
    found = send(ses(outside, configuration_set="events"), **given)
    assert found == Receipt(provider_id="0102018f-abc-000000")
    [request] = outside.requests
    assert request.path == "/v2/email/outbound-emails"
    assert request.headers["content-type"] == "application/json"
    body = json.loads(request.body)
    raw = base64.b64decode(body["Content"]["Raw"].pop("Data"), validate=True)
    assert body == {
        "Content": {"Raw": {}},
        "Destination": {"ToAddresses": [ADDRESS]},
        "EmailTags": [{"Name": "delivery_id", "Value": DELIVERY_ID}, {"Name": "notification_id", "Value": "n-1"}],
        "ConfigurationSetName": "events",
    }
    smtp = build_email(message(address=ADDRESS, **given), SETTINGS.email_from, "mail.example.com")
    assert without_boundary(raw) == without_boundary(smtp), "the very mail that SMTP would carry"
    mail = message_from_bytes(raw, policy=policy.default)
    assert (mail["To"], mail["From"], mail["Subject"]) == (ADDRESS, SETTINGS.email_from, "Größe")
    assert mail["Message-ID"] == f"<{DELIVERY_ID}@mail.example.com>"


def test_without_a_configuration_set_none_is_named(outside: WebhookReceiver) -> None:
    send(ses(outside))
    assert "ConfigurationSetName" not in json.loads(outside.requests[0].body)


@pytest.mark.parametrize("token", ["", TOKEN], ids=["lasting", "expiring"])
def test_ses_finds_the_signature_right(outside: WebhookReceiver, token: str) -> None:
    assert isinstance(send(ses(outside, token=token), text="Grüße"), Receipt)
    [request] = outside.requests
    assert fault(request, KEY, f"{KEY_ID}/*/eu-west-1/ses/aws4_request") == ""
    assert request.headers.get("x-amz-security-token", "") == token
    assert ("x-amz-security-token" in request.headers["authorization"]) == bool(token)
    assert request.headers["host"] == f"127.0.0.1:{outside.port}"


def test_the_check_of_the_signature_can_fail(outside: WebhookReceiver) -> None:
    send(ses(outside))
    [request] = outside.requests
    scope = f"{KEY_ID}/*/eu-west-1/ses/aws4_request"
    assert fault(request, "another", scope) == "InvalidSignatureException"
    assert fault(request._replace(body=request.body + b" "), KEY, scope) == "InvalidSignatureException"
    assert fault(request._replace(path="/v2/email"), KEY, scope) == "InvalidSignatureException"
    assert fault(request, KEY, f"{KEY_ID}/*/us-east-1/ses/aws4_request") == "UnrecognizedClientException"


def test_unless_told_otherwise_ses_is_called_in_its_region() -> None:
    entry = SesEntry(name="p", region="us-gov-west-1", access_key_id="", secret_access_key="")
    provider = SesProvider(entry, KEY_ID, KEY, "", SETTINGS)
    assert provider._target.url == "https://email.us-gov-west-1.amazonaws.com/v2/email/outbound-emails"
    assert provider._headers["Host"] == "email.us-gov-west-1.amazonaws.com"


def without_boundary(mail: bytes) -> bytes:
    """A mail without the text, drawn by lot each time, that parts its text from its HTML."""
    [boundary] = set(re.findall(rb'boundary="([^"]+)"', mail))
    return mail.replace(boundary, b"-")


UNVERIFIED = f"Email address is not verified. The following identities failed the check in region EU-WEST-1: {ADDRESS}"


@pytest.mark.parametrize(
    ("kind", "http", "text", "expected", "reason"),
    [
        ("MessageRejected", 400, "Illegal attachment", PermanentError, "provider_rejected"),
        ("MessageRejected", 400, UNVERIFIED, TransientError, "provider_transient"),
        ("BadRequestException", 400, f"Illegal address {ADDRESS}", PermanentError, "provider_rejected"),
        ("BadRequestException", 400, "Configuration set <x> does not exist", TransientError, "provider_transient"),
        ("MailFromDomainNotVerifiedException", 400, "", TransientError, "provider_transient"),
        ("AccountSuspendedException", 400, "", TransientError, "provider_transient"),
        ("SendingPausedException", 400, "", TransientError, "provider_transient"),
        ("LimitExceededException", 400, "", TransientError, "provider_transient"),
        ("NotFoundException", 404, "", TransientError, "provider_transient"),
        ("TooManyRequestsException", 429, "Maximum sending rate exceeded.", ThrottledError, "provider_throttled"),
        ("ThrottlingException", 400, "Rate exceeded", ThrottledError, "provider_throttled"),
        ("UnrecognizedClientException", 403, "", TransientError, "provider_transient"),
        ("InvalidSignatureException", 403, "", TransientError, "provider_transient"),
        ("AccessDeniedException", 403, f"User: {KEY_ID} is not", TransientError, "provider_transient"),
        ("ExpiredTokenException", 403, "", TransientError, "provider_transient"),
        ("ExpiredTokenException", 400, "", TransientError, "provider_transient"),
        ("IncompleteSignature", 400, "", TransientError, "provider_transient"),
        ("RequestExpired", 400, "", TransientError, "provider_transient"),
        ("InternalFailure", 500, "", TransientError, "provider_transient"),
        ("ServiceUnavailable", 503, "", TransientError, "provider_transient"),
        ("SomethingNewException", 400, "", PermanentError, "provider_rejected"),
    ],
)
@pytest.mark.parametrize("place", ["header", "header with URL", "__type", "__type with namespace", "code"])
def test_what_ses_types_of_errors_mean(
    outside: WebhookReceiver, kind: str, http: int, text: str, expected: type, reason: str, place: str
) -> None:
    given = {"header": kind, "header with URL": f"{kind}:http://internal.amazon.com/coral/com.amazon.coral/"}.get(place)
    named = {"__type": {"__type": kind}, "code": {"code": kind}}.get(place, {})
    if place == "__type with namespace":
        named = {"__type": f"com.amazonaws.sesv2#{kind}"}
    headers = {"x_amzn_errortype": given} if given else {}
    outside.then(answering(http, json.dumps({"message": text} | named).encode(), **headers))
    found = refused(send(ses(outside)))
    assert (type(found), found.reason) == (expected, reason)
    assert f"HTTP {http}" in found.detail
    assert kind in found.detail


@pytest.mark.parametrize(
    ("text", "wait_s"), [("Maximum sending rate exceeded.", 1.0), ("Daily message quota exceeded.", 600.0)]
)
def test_ses_is_left_alone_longer_when_the_day_is_used_up(outside: WebhookReceiver, text: str, wait_s: float) -> None:
    body = json.dumps({"message": text}).encode()
    outside.then(answering(429, body, x_amzn_errortype="TooManyRequestsException"))
    found = refused(send(ses(outside)))
    assert isinstance(found, ThrottledError)
    assert found.retry_after_s == wait_s


# Resend


def resend_error(name: str, http: int, text: str = "…") -> bytes:
    """Resend's error body."""
    return json.dumps({"statusCode": http, "name": name, "message": text}).encode()


def test_resend_is_asked_as_it_documents(outside: WebhookReceiver) -> None:
    outside.then(answering(200, b'{"id": "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"}'))
    given = {"subject": "Größe", "text": "Grüße", "html": "<p>Grüße</p>", "delivery_id": DELIVERY_ID}
    assert send(resend(outside), **given) == Receipt(provider_id="49a3999c-0ce1-4ea6-ab68-afcd6dc2e794")
    [request] = outside.requests
    assert request.path == "/emails"
    assert request.headers["authorization"] == f"Bearer {API_KEY}"
    assert request.headers["idempotency-key"] == DELIVERY_ID
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "Notify/1"
    assert json.loads(request.body) == {
        "from": "Grüße <no-reply@mail.example.com>",
        "to": [ADDRESS],
        "subject": "Größe",
        "text": "Grüße",
        "html": "<p>Grüße</p>",
        "headers": {"Auto-Submitted": "auto-generated"},
        "tags": [{"name": "delivery_id", "value": DELIVERY_ID}, {"name": "notification_id", "value": "n-1"}],
    }


def test_a_link_to_unsubscribe_is_in_the_headers_of_both(outside: WebhookReceiver) -> None:
    link = "https://notify.example.com/unsubscribe/" + "x" * 200
    send(resend(outside), unsubscribe_url=link)
    send(ses(outside), unsubscribe_url=link)
    of_resend, of_ses = (json.loads(request.body) for request in outside.requests)
    assert of_resend["headers"] == {
        "Auto-Submitted": "auto-generated",
        "List-Unsubscribe": f"<{link}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    assert f"List-Unsubscribe: <{link}>\r\n".encode() in base64.b64decode(of_ses["Content"]["Raw"]["Data"])


def test_a_mail_without_html_has_none(outside: WebhookReceiver) -> None:
    send(resend(outside), html="")
    assert "html" not in json.loads(outside.requests[0].body)


INVALID_TO = f"Invalid `to` field. The email address needs to follow the `email@example.com` format: {ADDRESS}"


@pytest.mark.parametrize(
    ("name", "http", "text", "expected", "reason"),
    [
        ("validation_error", 400, "", PermanentError, "provider_rejected"),
        ("validation_error", 422, INVALID_TO, PermanentError, "invalid_address"),
        ("validation_error", 403, "The example.com domain is not verified.", TransientError, "provider_transient"),
        ("missing_required_field", 422, "", PermanentError, "provider_rejected"),
        ("invalid_parameter", 422, "", PermanentError, "provider_rejected"),
        ("invalid_idempotency_key", 400, "", PermanentError, "provider_rejected"),
        ("missing_api_key", 401, "", TransientError, "provider_transient"),
        ("restricted_api_key", 401, API_KEY, TransientError, "provider_transient"),
        ("invalid_api_key", 403, API_KEY, TransientError, "provider_transient"),
        ("invalid_api_key", 400, API_KEY, TransientError, "provider_transient"),
        ("invalid_from_address", 422, "Invalid `from` field", TransientError, "provider_transient"),
        ("invalid_access", 422, "", TransientError, "provider_transient"),
        ("not_found", 404, "", TransientError, "provider_transient"),
        ("method_not_allowed", 405, "", TransientError, "provider_transient"),
        ("invalid_idempotent_request", 409, "", InDoubtError, "in_doubt"),
        ("concurrent_idempotent_requests", 409, "", InDoubtError, "in_doubt"),
        ("rate_limit_exceeded", 429, "", TransientError, "provider_transient"),
        ("daily_quota_exceeded", 429, "", ThrottledError, "provider_throttled"),
        ("monthly_quota_exceeded", 429, "", ThrottledError, "provider_throttled"),
        ("security_error", 451, "", PermanentError, "provider_rejected"),
        ("application_error", 500, "", TransientError, "provider_transient"),
        ("internal_server_error", 500, "", TransientError, "provider_transient"),
        ("something_new", 400, "", PermanentError, "provider_rejected"),
    ],
)
def test_what_resends_names_of_errors_mean(
    outside: WebhookReceiver, name: str, http: int, text: str, expected: type, reason: str
) -> None:
    outside.then(answering(http, resend_error(name, http, text)))
    found = refused(send(resend(outside)))
    assert (type(found), found.reason) == (expected, reason)
    assert f"HTTP {http}" in found.detail
    assert name in found.detail


@pytest.mark.parametrize(
    ("name", "headers", "wait_s"),
    [
        ("rate_limit_exceeded", {"retry_after": "3"}, 3),
        ("rate_limit_exceeded", {"ratelimit_reset": "2"}, 2),
        ("rate_limit_exceeded", {"retry_after": "3", "ratelimit_reset": "2"}, 3),
        ("daily_quota_exceeded", {"retry_after": "1"}, 600),
        ("monthly_quota_exceeded", {"ratelimit_reset": "1"}, 600),
    ],
)
def test_how_long_resend_is_left_alone(
    outside: WebhookReceiver, name: str, headers: dict[str, str], wait_s: float
) -> None:
    outside.then(answering(429, resend_error(name, 429), **headers))
    found = refused(send(resend(outside)))
    assert isinstance(found, ThrottledError)
    assert found.retry_after_s == wait_s


@pytest.mark.parametrize("make_one", [ses, resend])
@pytest.mark.parametrize("word", [f"for {ADDRESS}", "x" * 100, API_KEY, "a\nb"])
def test_an_error_that_is_named_by_no_plain_word_is_not_told(
    outside: WebhookReceiver, make_one: Make, word: str
) -> None:
    outside.then(answering(400, json.dumps({"name": word, "__type": word}).encode()))
    assert refused(send(make_one(outside))).detail == "HTTP 400"
