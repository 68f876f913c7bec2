"""SMS providers against a stand-in that answers as their documentation says: the right class of outcome each time."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs

import pytest

from app.domain.errors import (
    ConfigError,
    InDoubtError,
    PermanentError,
    ProviderTimeoutError,
    ThrottledError,
    TransientError,
)
from app.domain.ports import Provider, Receipt
from app.domain.provider_file import HttpSmsEntry, TwilioEntry
from app.settings import Settings
from infrastructure.channels.http_sms import HttpSmsProvider
from infrastructure.channels.twilio import TwilioProvider
from tests.support.messages import message
from tests.support.webhook_receiver import (
    Answer,
    WebhookReceiver,
    answering,
    drip,
    drop,
    garbage,
    hang,
    status,
    webhook_receiver,
)

SID = "AC" + "0a" * 16
NUMBER = "+442071838750"
TIMEOUT_S = 0.5
SETTINGS = dataclasses.replace(Settings(), provider_timeout_s=TIMEOUT_S)
#: What Twilio documents: 201 with the message resource.
CREATED = json.dumps({"sid": "SM" + "1b" * 16, "status": "queued", "error_code": None}).encode()


def twilio_error(code: int, http: int) -> Answer:
    """Twilio's error body (https://www.twilio.com/docs/usage/twilios-response)."""
    body = {"code": code, "message": "…", "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": http}
    return answering(http, json.dumps(body).encode())


@pytest.fixture
def outside() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as receiver:
        yield receiver


def twilio(outside: WebhookReceiver, sender: str = "+15005550006", settings: Settings = SETTINGS) -> TwilioProvider:
    entry = TwilioEntry(
        name="twilio-1", account_sid=SID, auth_token="", sender=sender, url=f"http://127.0.0.1:{outside.port}"
    )
    return TwilioProvider(entry, "s3cret", settings)


def gateway(outside: WebhookReceiver, **given: object) -> HttpSmsProvider:
    values: dict[str, object] = {
        "name": "gateway-1",
        "url": "",
        "fields": {"message.to": "{to}", "message.body": "{text}", "ref": "{delivery_id}", "type": "plain"},
        "id_field": "result.id",
    }
    entry = HttpSmsEntry(**(values | given))  # type: ignore[arg-type]  # as the file gives them
    return HttpSmsProvider(entry, f"http://127.0.0.1:{outside.port}/send?x=1", {"X-Key": "k3y"}, SETTINGS)


Make = Callable[[WebhookReceiver], Provider]


@pytest.fixture(params=[twilio, gateway])
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


def send(provider: Provider, **given: object) -> Receipt | Exception:
    [answer] = provider.send([message(address=NUMBER, **given)], TIMEOUT_S)
    provider.close()
    return answer


# what is the same for all


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (status(400), PermanentError),
        (status(422), PermanentError),
        (status(401), TransientError),
        (status(403), TransientError),
        (status(404), TransientError),
        (status(302, location="/elsewhere"), TransientError),
        (status(429), TransientError),
        (status(429, retry_after="7"), ThrottledError),
        (status(503, retry_after="7"), ThrottledError),
        (status(500), TransientError),
        (status(502), TransientError),
        (hang, InDoubtError),
        (drip, InDoubtError),
        (drop, InDoubtError),
        (garbage, InDoubtError),
        (answering(200, b"\xff{not json"), Receipt),
        (answering(200, b"[]"), Receipt),
    ],
    ids=[
        *("400", "422", "401", "403", "404", "302", "429", "429 retry-after", "503 retry-after", "500", "502"),
        *("hangs", "drips", "hangs up", "garbage", "200 with garbage", "200 with an array"),
    ],
)
def test_what_an_answer_means(outside: WebhookReceiver, make: Make, answer: Answer, kind: type) -> None:
    outside.then(answer)
    found = send(make(outside))
    assert type(found) is kind, found
    assert len(outside.requests) == 1, "it is never asked twice"


def test_how_long_to_wait_is_what_it_says(outside: WebhookReceiver, make: Make) -> None:
    outside.then(status(429, retry_after="7"))
    found = send(make(outside))
    assert isinstance(found, ThrottledError)
    assert found.retry_after_s == 7


def test_nobody_listening_is_transient_and_a_connection_that_stands_still_a_time_out(make: Make) -> None:
    found = send(make(WebhookReceiver(port=1)))
    assert type(found) in (TransientError, ProviderTimeoutError)


def test_a_connection_is_kept(outside: WebhookReceiver, make: Make) -> None:
    provider = make(outside)
    for number in range(5):
        [answer] = provider.send([message(f"d-{number}", address=NUMBER)], TIMEOUT_S)
        assert isinstance(answer, Receipt)
    provider.close()
    assert len({request.client_port for request in outside.requests}) == 1


@pytest.mark.parametrize("answer", [drop, hang], ids=["hangs up", "hangs"])
def test_what_a_kept_connection_may_have_taken_is_not_sent_again(
    outside: WebhookReceiver, make: Make, answer: Answer
) -> None:
    provider = make(outside)
    provider.send([message("d-1", address=NUMBER)], TIMEOUT_S)
    outside.then(answer)
    [found] = provider.send([message("d-2", address=NUMBER)], TIMEOUT_S)
    provider.close()
    assert isinstance(found, InDoubtError)
    assert len(outside.requests) == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [("+44 20 7183 8750", NUMBER), ("+44-(0)20-7183-8750", NUMBER), (NUMBER, NUMBER)],
)
def test_a_number_in_normal_form(outside: WebhookReceiver, make: Make, given: str, expected: str) -> None:
    assert make(outside).check_address(given) == expected


@pytest.mark.parametrize(
    "wrong", ["", "12345", "020 7183 8750", "+44", "user@example.com", "+4420718387501234", "+1 5"]
)
def test_what_is_no_number_is_refused(outside: WebhookReceiver, make: Make, wrong: str) -> None:
    with pytest.raises(PermanentError, match="invalid_address"):
        make(outside).check_address(wrong)


def test_numbers_without_a_country_are_of_the_region_that_is_set(outside: WebhookReceiver) -> None:
    entry = HttpSmsEntry(name="g", url="", fields={"to": "{to}"})
    provider = HttpSmsProvider(entry, outside.url, {}, dataclasses.replace(SETTINGS, sms_region="GB"))
    assert provider.check_address("020 7183 8750") == NUMBER


@pytest.mark.parametrize("given", [{"text": "", "subject": " "}, {"text": "x" * 2000}], ids=["nothing", "too much"])
def test_what_no_sms_can_say_is_refused_without_a_call(
    outside: WebhookReceiver, make: Make, given: dict[str, str]
) -> None:
    found = send(make(outside), **given)
    assert isinstance(found, PermanentError)
    assert found.reason == "invalid_content"
    assert outside.requests == []


# Twilio


def test_twilio_is_asked_as_it_documents(outside: WebhookReceiver) -> None:
    outside.then(answering(201, CREATED))
    assert send(twilio(outside), text="Hello & ünïcode") == Receipt(provider_id="SM" + "1b" * 16)
    [request] = outside.requests
    assert request.path == f"/2010-04-01/Accounts/{SID}/Messages.json"
    assert request.headers["authorization"] == "Basic " + base64.b64encode(f"{SID}:s3cret".encode()).decode()
    fields = parse_qs(request.body.decode())
    assert fields == {"To": [NUMBER], "From": ["+15005550006"], "Body": ["Hello & ünïcode"]}


@pytest.mark.parametrize("public_url", ["https://notify.example.com", "https://notify.example.com/"])
def test_twilio_is_told_where_to_report(outside: WebhookReceiver, public_url: str) -> None:
    outside.then(answering(201, CREATED))
    send(twilio(outside, settings=dataclasses.replace(SETTINGS, public_url=public_url)))
    [callback] = parse_qs(outside.requests[0].body.decode())["StatusCallback"]
    assert callback == (
        "https://notify.example.com/api/v1/receipts/twilio-1?delivery_id=d-1&notification_id=n-1#rc=5&rp=5xx,ct,rt"
    )


def test_a_messaging_service_is_named_as_one(outside: WebhookReceiver) -> None:
    send(twilio(outside, sender="MG" + "2c" * 16))
    assert parse_qs(outside.requests[0].body.decode())["MessagingServiceSid"] == ["MG" + "2c" * 16]


@pytest.mark.parametrize(
    ("code", "http", "kind", "reason"),
    [
        (21211, 400, PermanentError, "invalid_address"),
        (21614, 400, PermanentError, "invalid_address"),
        (21610, 400, PermanentError, "provider_rejected"),
        (21606, 400, PermanentError, "provider_rejected"),
        (21611, 400, ThrottledError, "provider_throttled"),
        (20429, 429, TransientError, "provider_transient"),
        (20003, 401, TransientError, "provider_transient"),
        (20500, 500, TransientError, "provider_transient"),
    ],
    ids=["number", "no mobile", "STOP", "sender", "queue full", "too many", "credentials", "server"],
)
def test_what_twilios_codes_mean(
    outside: WebhookReceiver, code: int, http: int, kind: type[Exception], reason: str
) -> None:
    outside.then(twilio_error(code, http))
    found = send(twilio(outside))
    assert type(found) is kind
    assert isinstance(found, (PermanentError, ThrottledError, TransientError))
    assert found.reason == reason
    assert str(code) in found.detail
    assert NUMBER not in str(found)


# any gateway


def test_a_gateway_is_asked_as_the_file_says(outside: WebhookReceiver) -> None:
    outside.then(answering(200, b'{"result": {"id": 17}}'))
    assert send(gateway(outside), text="{to} {stays}") == Receipt(provider_id="17")
    [request] = outside.requests
    assert (request.path, request.headers["x-key"]) == ("/send?x=1", "k3y")
    assert json.loads(request.body) == {
        "message": {"to": NUMBER, "body": "{to} {stays}"},
        "ref": "d-1",
        "type": "plain",
    }


def test_a_gateway_may_be_told_the_delivery_in_a_header(outside: WebhookReceiver) -> None:
    send(gateway(outside, headers={"Idempotency-Key": "notify-{delivery_id}"}))
    assert outside.requests[0].headers["idempotency-key"] == "notify-d-1"


def test_a_form_is_a_form(outside: WebhookReceiver) -> None:
    send(gateway(outside, format="form", fields={"to": "{to}", "text": "{text}"}))
    [request] = outside.requests
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(request.body.decode())["to"] == [NUMBER]


@pytest.mark.parametrize(
    "fields",
    [{"to": "{number}"}, {"to": "{"}, {"a": "x", "a.b": "y"}, {"a.b": "y", "a": "x"}, {"to": "{to.__class__}"}],
    ids=["unknown", "open brace", "text and object", "object and text", "attribute"],
)
def test_fields_that_cannot_be_filled_are_refused_at_the_start(
    outside: WebhookReceiver, fields: dict[str, str]
) -> None:
    with pytest.raises(ConfigError, match="provider gateway-1: fields"):
        gateway(outside, fields=fields)


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://user:pass@example.com/", ""])
def test_a_url_that_is_none_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ConfigError, match="provider g: url") as caught:
        HttpSmsProvider(HttpSmsEntry(name="g", url="", fields={}), url, {}, SETTINGS)
    assert "pass" not in str(caught.value)
