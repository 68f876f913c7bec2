"""/api/v1/receipts/{provider}: what was sent is delivered, bounced, complained about, each once, in any order."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import TestResponse

from app.domain.clock import now_ms
from app.domain.errors import StoreUnavailableError
from app.domain.ids import new_id
from app.domain.outcome import Outcome, Reason, Status
from app.domain.suppression import Destination
from app.http.receipts import MAX_BYTES
from app.http.services import Services
from tests.support.http_services import SECRET, RecordingPublisher, client_without
from tests.support.receipts import (
    FORM,
    GATEWAY,
    RESEND,
    SES,
    TWILIO,
    Posted,
    ids,
    path_of,
    resend,
    resend_event,
    ses,
    ses_bounce,
    ses_complaint,
    ses_delivery,
    subscription,
    twilio,
    twilio_reply,
    twilio_status,
)

ANNA, NUMBER = Destination("email", "anna@example.com"), Destination("sms", "+442071838750")
MESSAGE_ID = "EXAMPLE7c191be45-e9aedb9a-02f9-4d12-a87d-dd0099a07f8a-000000"
SENT_AT_MS = 1_795_000_000_000  # before what the events of these tests tell of


def post(http: FlaskClient, posted: Posted) -> TestResponse:
    return http.post(posted.path, **posted.options)


def sent(services: Services, name: str = "1", **given: Any) -> dict[str, str]:
    """A delivery that the history has as sent; the ids that its message carried."""
    values: dict[str, Any] = {
        "notification_id": f"n-{name}",
        "delivery_id": f"d-{name}",
        "user_id": "user-001",
        "event_type": "newsletter",
        "channel": "email",
        "attempt": 1,
        "status": Status.SENT,
        "provider": SES,
        "provider_id": MESSAGE_ID,
        "at_ms": SENT_AT_MS + 5,
        "accepted_at_ms": SENT_AT_MS,
        "routed_at_ms": SENT_AT_MS + 1,
    }
    outcome = Outcome(**(values | given))
    services.history.append([outcome])
    return ids(outcome.delivery_id, outcome.notification_id)


def written(services: Services) -> list[Outcome]:
    assert isinstance(services.outcomes, RecordingPublisher)
    return services.outcomes.outcomes


def track(services: Services) -> None:
    """As the tracker does, and what it has written is on Kafka no more."""
    services.history.append(written(services))
    written(services).clear()


def told(services: Services) -> list[tuple[str, str, str]]:
    return [(one.delivery_id, one.status, one.reason) for one in written(services)]


def suppressed(services: Services, place: Destination = ANNA) -> str:
    # Of the very stores that the report went to.
    return services.take_report._suppressions.find([place]).get(place, "")


def receipts(http: FlaskClient) -> dict[tuple[str, str], float]:
    return {
        (sample.labels["provider"], sample.labels["result"]): sample.value
        for family in text_string_to_metric_families(http.get("/metrics").text)
        for sample in family.samples
        if sample.name == "notify_http_receipts_total"
    }


# what is recorded


def test_a_delivery_is_recorded_with_all_that_the_history_needs(http: FlaskClient, http_services: Services) -> None:
    carried = sent(http_services, pass_no=2, attempt=3)
    answer = post(http, ses(ses_delivery(carried)))
    assert (answer.status_code, answer.mimetype, answer.data) == (200, "text/plain", b"")
    [outcome] = written(http_services)
    assert outcome == Outcome(
        notification_id="n-1",
        delivery_id="d-1",
        user_id="user-001",
        event_type="newsletter",
        channel="email",
        pass_no=2,
        attempt=3,
        status=Status.DELIVERED,
        provider=SES,
        provider_id=MESSAGE_ID,
        at_ms=outcome.at_ms,
        accepted_at_ms=SENT_AT_MS,
        routed_at_ms=SENT_AT_MS + 1,
    )
    assert outcome.at_ms > SENT_AT_MS
    track(http_services)
    shown = http.get("/api/v1/notifications/n-1").json
    assert (shown["status"], [one["status"] for one in shown["deliveries"][0]["outcomes"]]) == (
        "delivered",
        ["sent", "delivered"],
    )


@pytest.mark.parametrize(
    ("make", "status", "reason", "why"),
    [
        (ses_bounce, "bounced", "hard_bounce", "hard_bounce"),
        (ses_complaint, "complained", "", "complaint"),
        (lambda carried: ses_bounce(carried, kind="Transient"), "bounced", "soft_bounce", ""),
        (
            lambda carried: ses_bounce(carried, kind="Transient", subtype="ContentRejected"),
            *("bounced", "provider_rejected", ""),
        ),
    ],
)
def test_what_comes_back_is_recorded_and_what_is_final_suppresses(
    http: FlaskClient, http_services: Services, make: Any, status: str, reason: str, why: str
) -> None:
    assert post(http, ses(make(sent(http_services)))).status_code == 200
    assert told(http_services) == [("d-1", status, reason)]
    assert suppressed(http_services) == why


def test_resend_and_twilio_do_the_same(http: FlaskClient, http_services: Services) -> None:
    mail = sent(http_services, "mail", provider=RESEND, provider_id="56761188-7520-42d8-8898-ff6fc54ce618")
    sms = sent(http_services, "sms", channel="sms", provider=TWILIO, provider_id="SM" + "1b" * 16)
    assert post(http, resend(resend_event("email.complained", mail))).status_code == 200
    answer = post(http, twilio_status("undelivered", sms, code="30005"))
    assert (answer.status_code, answer.mimetype, answer.text) == (200, "text/xml", "<Response/>")
    assert told(http_services) == [("d-mail", "complained", ""), ("d-sms", "bounced", "hard_bounce")]
    assert (suppressed(http_services), suppressed(http_services, NUMBER)) == ("complaint", "hard_bounce")


def test_doubles_are_ignored(http: FlaskClient, http_services: Services) -> None:
    carried = sent(http_services)
    for _ in range(3):
        for event in (ses_delivery(carried), ses_complaint(carried)):
            assert post(http, ses(event)).status_code == 200
            track(http_services)
    record = http_services.history.notification("n-1")
    assert record is not None
    assert [one.status for one in record.outcomes] == [Status.SENT, Status.DELIVERED, Status.COMPLAINED]
    assert receipts(http) == {(SES, "recorded"): 2, (SES, "repeated"): 4}


@pytest.mark.parametrize("order", list(itertools.permutations(["delivery", "bounce", "complaint"])))
def test_the_order_does_not_matter(http: FlaskClient, http_services: Services, order: tuple[str, ...]) -> None:
    carried = sent(http_services)
    events = {"delivery": ses_delivery, "bounce": ses_bounce, "complaint": ses_complaint}
    for name in order:
        assert post(http, ses(events[name](carried))).status_code == 200
        track(http_services)
    assert http.get("/api/v1/notifications/n-1").json["status"] == "complained"
    counts = http.get("/api/v1/stats?group_by=status&from=2026-11-01&to=2026-12-01").json["rows"]
    assert counts == [{"status": "complained", "count": 1}]


def test_of_several_calls_the_one_that_it_is_about(http: FlaskClient, http_services: Services) -> None:
    carried = sent(http_services, pass_no=0, attempt=1, status=Status.PARKED, reason=Reason.IN_DOUBT)
    sent(http_services, pass_no=1, attempt=2, provider_id="another")
    assert post(http, ses(ses_delivery(carried))).status_code == 200
    assert [(one.pass_no, one.attempt) for one in written(http_services)] == [(0, 1)]
    track(http_services)
    assert http.get("/api/v1/notifications/n-1").json["status"] == "sent"


def test_news_resolves_what_was_unknown(http: FlaskClient, http_services: Services) -> None:
    carried = sent(http_services, status=Status.UNKNOWN, reason=Reason.IN_DOUBT, provider_id="")
    assert post(http, ses(ses_delivery(carried))).status_code == 200
    track(http_services)
    assert http.get("/api/v1/notifications/n-1").json["status"] == "delivered"


def test_of_a_forgotten_user_the_bare_facts_are_recorded(http: FlaskClient, http_services: Services) -> None:
    carried = sent(http_services)
    http_services.forget.forget("user-001")
    assert post(http, ses(ses_complaint(carried))).status_code == 200
    [outcome] = written(http_services)
    assert (outcome.status, outcome.user_id, outcome.detail, outcome.provider_id) == (Status.COMPLAINED, "", "", "")
    assert suppressed(http_services) == "complaint"
    assert [one.shown for one in http_services.take_report._suppressions.list()] == [""]


# what is not


def test_what_the_history_does_not_know_yet_is_to_come_again(http: FlaskClient, http_services: Services) -> None:
    notification_id = new_id(SECRET)
    carried = ids("d-1", notification_id)
    answer = post(http, ses(ses_bounce(carried)))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    sent(http_services, notification_id=notification_id, delivery_id="d-other", accepted_at_ms=now_ms())
    assert post(http, ses(ses_bounce(carried))).status_code == 503
    assert suppressed(http_services) == "hard_bounce", "nobody knows whether it comes again"
    assert [one.shown for one in http_services.take_report._suppressions.list()] == [""]
    sent(http_services, notification_id=notification_id, accepted_at_ms=now_ms())
    assert post(http, ses(ses_bounce(carried))).status_code == 200
    assert told(http_services) == [("d-1", "bounced", "hard_bounce")]
    assert [one.shown for one in http_services.take_report._suppressions.list()] == ["a***@example.com"]


def test_what_is_long_ago_or_none_of_ours_is_let_be(http: FlaskClient, http_services: Services) -> None:
    sent(http_services)
    old = new_id(SECRET)
    sent(http_services, notification_id=old, accepted_at_ms=SENT_AT_MS - 3 * 86_400_000)
    for carried in (
        {},
        ids("d-1", "n-2"),
        ids("d-2", "n-1"),
        ids("", "n-1"),
        ids("d-9", old),
        ids("d-1", new_id(b"x")),
    ):
        assert post(http, ses(ses_bounce(carried))).status_code == 200
    assert (written(http_services), suppressed(http_services)) == ([], "")
    assert receipts(http) == {(SES, "unknown"): 6}


@pytest.mark.parametrize("provider", [GATEWAY, "nobody", "..", "%00", "x" * 5000])
def test_who_does_not_report_is_not_there(http: FlaskClient, provider: str) -> None:
    answer = http.post(path_of(provider), data=b"{}", content_type="application/json")
    assert answer.status_code == 404
    assert receipts(http) == {}


@pytest.mark.parametrize(
    "posted",
    [
        twilio_status("delivered", ids("d-1", "n-1"))._replace(query=""),
        twilio({"MessageStatus": "delivered"}, ids("d-1", "n-1"), token="another"),
        resend(resend_event("email.bounced", ids("d-1", "n-1")), secret="whsec_YW5vdGhlcg=="),
        resend(resend_event("email.bounced", ids("d-1", "n-1")), at_s=1_700_000_000),
        ses(ses_bounce(ids("d-1", "n-1")), TopicArn="arn:aws:sns:eu-west-1:999999999999:evil"),
    ],
    ids=["another URL", "another token", "another secret", "an old time", "another topic"],
)
def test_what_is_not_signed_for_us_is_refused(http: FlaskClient, http_services: Services, posted: Posted) -> None:
    sent(http_services)
    answer = post(http, posted)
    assert (answer.status_code, answer.json["type"]) == (400, "urn:notify:problem:invalid-signature")
    assert answer.json["detail"]
    assert (written(http_services), suppressed(http_services)) == ([], "")
    assert list(receipts(http).values()) == [1]


def test_what_is_signed_and_not_to_be_read_is_named(http: FlaskClient) -> None:
    answer = post(http, resend({"type": "email.bounced", "data": {"email_id": 5, "to": ["anna@example.com"]}}))
    assert (answer.status_code, [one["pointer"] for one in answer.json["errors"]]) == (422, ["/data/email_id"])
    assert "anna" not in answer.text
    assert receipts(http) == {(RESEND, "refused"): 1}


def test_bodies_have_a_bound_and_a_type(http: FlaskClient) -> None:
    long = twilio({"Body": "x" * MAX_BYTES})
    assert post(http, long).status_code == 413
    endless = {"wsgi.input": _Endless(), "wsgi.input_terminated": True}
    chunked = http.post(long.path, content_type=FORM, environ_overrides=endless)
    assert chunked.status_code == 413
    assert http.post(path_of(SES), data=b"<x/>", content_type="application/xml").status_code == 415
    assert http.get(path_of(SES)).status_code == 405


class _Endless:
    """A body without end."""

    def read(self, size: int = -1) -> bytes:
        return b"x" * (size if size > 0 else 65_536)


def test_a_subscription_is_confirmed(http: FlaskClient) -> None:
    assert post(http, subscription()).status_code == 200
    assert receipts(http) == {(SES, "ignored"): 1}


# STOP and START


def test_stop_suppresses_and_start_lifts_it(http: FlaskClient, http_services: Services) -> None:
    for _ in range(2):
        answer = post(http, twilio_reply("Stop"))
        assert (answer.status_code, answer.text) == (200, "<Response/>")
    assert suppressed(http_services, NUMBER) == "stop"
    [listed] = http_services.take_report._suppressions.list()
    assert listed.shown == "***50"
    assert post(http, twilio_reply("hello")).status_code == 200
    assert suppressed(http_services, NUMBER) == "stop"
    assert post(http, twilio_reply("START")).status_code == 200
    assert suppressed(http_services, NUMBER) == ""
    assert written(http_services) == []
    assert receipts(http) == {(TWILIO, "stopped"): 2, (TWILIO, "ignored"): 1, (TWILIO, "started"): 1}


def test_start_does_not_make_a_number_of_none(http: FlaskClient, http_services: Services) -> None:
    carried = sent(http_services, channel="sms", provider=TWILIO)
    post(http, twilio_status("undelivered", carried, code="30006"))
    post(http, twilio_reply("START"))
    assert suppressed(http_services, NUMBER) == "hard_bounce"


# soft bounces


def soft(carried: dict[str, str]) -> Posted:
    return ses(ses_bounce(carried, kind="Transient", subtype="MailboxFull"))


def test_soft_bounces_suppress_at_their_limit(http: FlaskClient, http_services: Services) -> None:
    for number in range(3):
        assert suppressed(http_services) == ""
        carried = sent(http_services, f"s{number}")
        for _ in range(3):
            assert post(http, soft(carried)).status_code == 200, "a double counts once"
    assert suppressed(http_services) == "soft_bounces"


def test_what_is_delivered_between_begins_anew(http: FlaskClient, http_services: Services) -> None:
    for number in range(6):
        post(http, soft(sent(http_services, f"s{number}")))
        if number % 2:
            post(http, ses(ses_delivery(sent(http_services, f"ok{number}"))))
    assert suppressed(http_services) == ""


def test_a_mail_that_is_too_large_says_nothing_of_the_address(http: FlaskClient, http_services: Services) -> None:
    for number in range(4):
        carried = sent(http_services, f"s{number}")
        post(http, ses(ses_bounce(carried, kind="Transient", subtype="MessageTooLarge")))
    assert suppressed(http_services) == ""


# stores that are away


class Away:
    def __getattr__(self, name: str) -> Any:
        raise StoreUnavailableError(name)


def test_without_kafka_nothing_is_recorded_and_it_is_to_come_again(http: FlaskClient, http_services: Services) -> None:
    carried = sent(http_services)
    assert isinstance(http_services.outcomes, RecordingPublisher)
    http_services.outcomes.is_up = False
    assert post(http, ses(ses_bounce(carried))).status_code == 503
    assert suppressed(http_services) == "hard_bounce", "nothing more goes there meanwhile"
    http_services.outcomes.is_up = True
    written(http_services).clear()
    assert post(http, ses(ses_bounce(carried))).status_code == 200
    assert told(http_services) == [("d-1", "bounced", "hard_bounce")]


@pytest.mark.parametrize("port", ["_history", "_suppressions"])
def test_without_a_database_it_is_to_come_again(
    http: FlaskClient, http_services: Services, monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    carried = sent(http_services)
    with monkeypatch.context() as patch:
        patch.setattr(http_services.take_report, port, Away())
        assert post(http, ses(ses_bounce(carried))).status_code == 503
    assert written(http_services) == []
    assert post(http, ses(ses_bounce(carried))).status_code == 200
    assert told(http_services) == [("d-1", "bounced", "hard_bounce")]


def test_it_asks_for_no_key_and_logs_no_address(
    http_services: Services, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    carried = sent(http_services)
    http = client_without(http_services, settings=dataclasses.replace(http_services.settings, http_auth="keys"))
    with caplog.at_level(logging.DEBUG):
        for posted in (
            *(ses(ses_bounce(carried)), ses(ses_bounce(ids("d-1", new_id(SECRET)))), twilio_reply("STOP")),
            *(
                subscription(),
                resend(resend_event("email.bounced", carried), at_s=1),
                resend({"type": "email.bounced"}),
            ),
            ses(ses_bounce(carried))._replace(body=b"{"),
        ):
            assert post(http, posted).status_code != 401
    said = caplog.text + "".join(capfd.readouterr())
    assert not [word for word in ("anna", "2071838750", "twilio-t0ken", "whsec") if word in said]
