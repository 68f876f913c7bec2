"""/metrics counts and times what the HTTP process does, and holds nothing that a client sent."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from app.domain.errors import StoreUnavailableError, TopicFullError
from app.domain.metric_catalogue import METRICS
from app.http.metrics import HttpMetrics
from app.http.services import Services
from tests.support.http_services import EVENT, RecordingLog, client_without

PATH = "/api/v1/notifications"
LOW = EVENT | {"event_type": "newsletter"}
FULL = TopicFullError("notifications.raw")
NO_ACK = StoreUnavailableError("no ack")


def value(client: FlaskClient, name: str, **labels: str) -> float | None:
    """The value of a sample, None where there is none."""
    found = [
        sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(found) <= 1
    return found[0] if found else None


def accepted(client: FlaskClient, topic: str) -> float | None:
    return value(client, "notify_http_accepted_events_total", topic=topic)


def not_taken(client: FlaskClient, cause: str) -> float | None:
    return value(client, "notify_http_not_taken_events_total", cause=cause)


def refused(client: FlaskClient, status: int, problem: str) -> float | None:
    return value(client, "notify_http_refused_requests_total", status=str(status), problem=problem)


def requests(client: FlaskClient, endpoint: str, status: int) -> float | None:
    return value(client, "notify_http_requests_total", endpoint=endpoint, status=str(status))


def acks(client: FlaskClient) -> float | None:
    return value(client, "notify_http_ack_seconds_count")


def test_what_never_happened_is_zero(http: FlaskClient) -> None:
    assert http.get("/metrics").content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert [accepted(http, topic) for topic in ("notifications.raw", "notifications.raw.low")] == [0, 0]
    assert [not_taken(http, cause) for cause in ("full", "unavailable")] == [0, 0]
    assert acks(http) == 0


def test_accepted_events_are_counted_by_topic(http: FlaskClient) -> None:
    http.post(PATH, json=EVENT)
    http.post(f"{PATH}/batch", json=[EVENT, LOW, EVENT, {}])
    assert accepted(http, "notifications.raw") == 3
    assert accepted(http, "notifications.raw.low") == 1


def test_an_event_that_comes_again_is_not_accepted_again(http: FlaskClient) -> None:
    for _ in range(2):
        assert http.post(PATH, json=EVENT, headers={"Idempotency-Key": "k"}).status_code == 202
    assert (accepted(http, "notifications.raw"), acks(http)) == (1, 1)


def test_events_that_kafka_did_not_take_are_counted_by_cause(http: FlaskClient, http_log: RecordingLog) -> None:
    http_log.errors = [FULL, FULL, NO_ACK, None]
    assert http.post(PATH, json=EVENT).status_code == 503
    assert http.post(f"{PATH}/batch", json=[EVENT, EVENT, EVENT]).status_code == 207
    assert (not_taken(http, "full"), not_taken(http, "unavailable")) == (2, 1)
    assert accepted(http, "notifications.raw") == 1
    assert refused(http, 503, "full") == 1


def test_a_log_that_raises_is_counted_for_each_event(http_services: Services) -> None:
    class Broken(RecordingLog):
        def publish(self, *_: object) -> list[Exception | None]:
            raise NO_ACK

    client = client_without(http_services, log=Broken())
    assert client.post(f"{PATH}/batch", json=[EVENT, EVENT]).status_code == 207
    assert (not_taken(client, "unavailable"), acks(client)) == (2, 0)


def test_the_time_to_the_ack_is_that_of_requests_with_an_ack(http_services: Services) -> None:
    class Slow(RecordingLog):
        def publish(self, *arguments: Any) -> list[Exception | None]:
            time.sleep(0.03)
            return super().publish(*arguments)

    log = Slow()
    client = client_without(http_services, log=log)
    client.post(f"{PATH}/batch", json=[EVENT, EVENT])
    log.errors = [NO_ACK]
    client.post(PATH, json=EVENT)
    client.post(PATH, json={})
    assert acks(client) == 1
    assert value(client, "notify_http_ack_seconds_bucket", le="0.02") == 0
    took_s = value(client, "notify_http_ack_seconds_sum")
    assert took_s is not None
    assert 0.03 <= took_s < http_services.settings.intake_timeout_s


def test_requests_are_counted_by_endpoint_and_status(http: FlaskClient) -> None:
    http.post(PATH, json=EVENT)
    for name in ("user-001", "user-002"):
        http.get(f"/api/v1/users/{name}")
    http.get("/api/v1/nothing")
    assert requests(http, "notifications.accept_one", 202) == 1
    assert requests(http, "users.show", 404) == 2
    assert requests(http, "unmatched", 404) == 1


@pytest.mark.parametrize(
    ("request_", "status", "problem"),
    [
        ({"method": "POST", "data": b"{", "content_type": "application/json"}, 400, "malformed"),
        ({"method": "POST", "json": EVENT, "headers": {"Idempotency-Key": '"'}}, 400, "invalid-idempotency-key"),
        ({"method": "POST", "data": b"{}"}, 415, "unsupported-media-type"),
        ({"method": "POST", "json": {}}, 422, "invalid"),
        ({"method": "DELETE"}, 405, "other"),
    ],
)
def test_refused_requests_are_counted_by_status_and_problem(
    http: FlaskClient, request_: dict[str, Any], status: int, problem: str
) -> None:
    assert http.open(PATH, **request_).status_code == status
    assert refused(http, status, problem) == 1


def test_an_error_of_ours_is_counted(http_services: Services) -> None:
    client = client_without(http_services, history=None)
    assert client.get(f"{PATH}/n1").status_code == 500
    assert requests(client, "notifications.show", 500) == 1
    assert refused(client, 500, "internal") == 1


def test_each_application_counts_for_itself(http: FlaskClient, http_services: Services) -> None:
    http.post(PATH, json=EVENT)
    assert accepted(client_without(dataclasses.replace(http_services)), "notifications.raw") == 0


def test_nothing_that_a_client_sent_is_shown(http: FlaskClient) -> None:
    marks = ["markuser", "marktype", "markkey", "markpath", "markquery", "markbody", "MARKMETHOD"]
    posted = http.post(
        PATH,
        json=EVENT | {"user_id": "markuser", "event_type": "marktype", "content": "markbody"},
        headers={"Idempotency-Key": "markkey"},
    )
    http.get(f"/api/v1/users/markuser/inbox/{posted.json['id']}?markquery=1")
    http.get("/api/v1/users/markuser/notifications?markquery=1")
    http.get("/markpath")
    http.open(PATH, method="MARKMETHOD")
    text = http.get("/metrics").text
    assert not [mark for mark in [*marks, posted.json["id"]] if mark in text]


def test_the_catalogue_names_every_metric_and_no_other() -> None:
    families = {family.name: family for family in HttpMetrics().registry.collect()}
    own = [metric for metric in METRICS if metric.at == ("http",)]
    assert set(families) == {metric.name for metric in own}
    for metric in own:
        assert metric.name.endswith(f"_{metric.unit}")
        family = families[metric.name]
        assert (family.documentation, family.unit) == (metric.sentence, metric.unit)
        assert all(sample.labels.keys() - {"le"} == set(metric.labels) for sample in family.samples)
