"""Idempotency-Key: accepted once, answered alike, and never in the way of intake."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.domain import codec
from app.domain.clock import now_ms
from app.domain.errors import StoreUnavailableError
from app.domain.event import Event
from app.domain.ids import derived_id
from app.http.services import Services
from infrastructure.redis.client import make_client
from infrastructure.redis.idempotency import RedisIdempotency
from tests.support.http_services import EVENT, SECRET, RecordingLog, client_without
from tests.support.redis_server import RedisServer

PATH = "/api/v1/notifications"


def post(client: FlaskClient, key: str, **changes: Any) -> Any:
    return client.post(PATH, json=EVENT | changes, headers={"Idempotency-Key": key})


def fingerprint(event: dict[str, Any]) -> str:
    return hashlib.sha256(codec.encode(codec.decode(json.dumps(event), Event))).hexdigest()


def keyed(key: str, **changes: Any) -> dict[str, Any]:
    return EVENT | changes | {"idempotency_key": key}


def test_the_same_request_is_answered_alike_and_written_once(http: FlaskClient, http_log: RecordingLog) -> None:
    first, second = post(http, '"k"'), post(http, "k")
    assert first.status_code == second.status_code == 202
    assert first.json == second.json
    assert first.headers["Location"] == second.headers["Location"]
    assert len(http_log.records) == 1


def test_the_same_event_written_otherwise_is_the_same_request(http: FlaskClient, http_log: RecordingLog) -> None:
    post(http, "k")
    text = json.dumps(dict(reversed(EVENT.items())), indent=3)
    answer = http.post(PATH, data=text, content_type="application/json", headers={"Idempotency-Key": "k"})
    assert answer.status_code == 202
    assert len(http_log.records) == 1


def test_another_request_with_the_key_is_422(http: FlaskClient, http_log: RecordingLog) -> None:
    post(http, "k")
    answer = post(http, "k", content="another")
    assert answer.status_code == 422
    assert json.loads(answer.data)["type"].endswith("idempotency-key-reused")
    assert len(http_log.records) == 1


def test_a_request_that_is_still_running_is_409(http: FlaskClient, http_services: Services) -> None:
    http_services.idempotency.begin([(derived_id(SECRET, "anonymous", "k"), fingerprint(EVENT))])
    answer = post(http, "k")
    assert (answer.status_code, answer.headers["Retry-After"]) == (409, "1")


def test_a_request_that_failed_can_be_repeated_at_once_under_the_same_id(
    http: FlaskClient, http_log: RecordingLog
) -> None:
    http_log.errors = [StoreUnavailableError("no ack")]
    assert post(http, "k").status_code == 503
    assert post(http, "k").status_code == 202
    assert len({record.id for record in http_log.records}) == 1


@pytest.mark.parametrize("key", ["", '""', '"a', 'a"b', "ä", "x" * 256, '"a\\b"'])
def test_what_is_no_key_is_400(http: FlaskClient, http_log: RecordingLog, key: str) -> None:
    answer = post(http, key)
    assert answer.status_code == 400
    assert json.loads(answer.data)["errors"][0]["header"] == "Idempotency-Key"
    assert http_log.calls == []


@pytest.mark.parametrize(("header", "key"), [('"a b"', "a b"), ("a b", "a b"), ('"q\\"\\\\"', 'q"\\')])
def test_quoted_and_bare_keys_are_read(http: FlaskClient, header: str, key: str) -> None:
    assert post(http, header).json["id"] == derived_id(SECRET, "anonymous", key, fingerprint(EVENT))


def test_a_refused_request_leaves_its_key_free(http: FlaskClient) -> None:
    assert post(http, "k", user_id=1).status_code == 422
    assert post(http, "k").status_code == 202


def test_with_redis_away_events_are_accepted_under_the_same_id(
    http_services: Services, http_log: RecordingLog, own_redis: RedisServer
) -> None:
    client = make_client(own_redis.url(), 0.5)
    http = client_without(http_services, idempotency=RedisIdempotency(client, running_s=5.0))
    own_redis.stop()
    first, second = post(http, "k"), post(http, "k")
    batch = http.post(f"{PATH}/batch", json=[keyed("k")])
    assert first.status_code == second.status_code == batch.status_code == 202
    assert first.json["id"] == second.json["id"] == batch.json["items"][0]["id"]
    assert len(http_log.records) == 3
    client.close()


def test_another_event_under_a_key_that_redis_forgot_is_another_notification(
    http: FlaskClient, http_log: RecordingLog, redis_server: RedisServer
) -> None:
    """With the first one's id it would be taken for it, and never be sent."""
    first = post(http, "k")
    redis_server.flush()
    second = post(http, "k", content="another")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json["id"] != second.json["id"]
    assert [record.id for record in http_log.records] == [first.json["id"], second.json["id"]]


def test_what_was_accepted_is_answered_alike_once_its_time_is_past(
    http: FlaskClient, http_log: RecordingLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"send_at": datetime.fromtimestamp(now_ms() / 1000 + 5, UTC).isoformat()}
    first = post(http, "k", options=options)
    monkeypatch.setattr("app.domain.event_rules.now_ms", lambda: now_ms() + 120_000)
    assert post(http, "k", options=options).json == first.json
    refused = post(http, "new", options=options)
    assert refused.status_code == 422
    assert refused.json["errors"] == [{"detail": "is in the past", "pointer": "/options/send_at"}]
    assert len(http_log.records) == 1
    monkeypatch.undo()
    assert post(http, "new", options=options).status_code == 202  # the key was left free


def test_redis_that_forgot_changes_no_id(http: FlaskClient, redis_server: RedisServer) -> None:
    first = post(http, "k")
    redis_server.flush()
    assert post(http, "k").json == first.json


def test_items_of_a_batch_have_their_own_keys(http: FlaskClient, http_log: RecordingLog) -> None:
    single = post(http, "a").json["id"]
    answer = http.post(f"{PATH}/batch", json=[keyed("a"), keyed("b"), keyed("a", content="another"), EVENT])
    assert answer.status_code == 207
    items = answer.json["items"]
    assert [item["status"] for item in items] == ["accepted", "accepted", "rejected", "accepted"]
    assert items[0]["id"] == single
    assert items[2]["problem"]["type"].endswith("idempotency-key-reused")
    assert [len(call) for call in http_log.calls] == [1, 2]
    assert http.post(f"{PATH}/batch", json=[keyed("b")]).json["items"][0]["id"] == items[1]["id"]


def test_a_batch_tells_how_many_of_it_were_there(http: FlaskClient) -> None:
    first = http.post(f"{PATH}/batch", json=[keyed("a"), EVENT])
    second = http.post(f"{PATH}/batch", json=[keyed("a"), keyed("b"), EVENT])
    assert first.headers.get("Idempotency-Replayed") is None
    assert second.headers["Idempotency-Replayed"] == "1"
    assert second.json["items"][0] == first.json["items"][0]


def test_a_key_twice_in_a_batch_is_written_once(http: FlaskClient, http_log: RecordingLog) -> None:
    items = http.post(f"{PATH}/batch", json=[keyed("a"), keyed("a"), keyed("a", content="another")]).json["items"]
    assert [item["status"] for item in items] == ["accepted", "accepted", "rejected"]
    assert items[0]["id"] == items[1]["id"]
    assert len(http_log.records) == 1


def test_the_header_of_a_batch_stands_for_every_item_without_a_key(http: FlaskClient, http_log: RecordingLog) -> None:
    events = [EVENT, keyed("own"), EVENT]
    first, second = (
        http.post(f"{PATH}/batch", json=events, headers={"Idempotency-Key": "whole"}).json["items"] for _ in range(2)
    )
    assert first == second
    assert len({item["id"] for item in first}) == 3
    assert len(http_log.records) == 3


def test_a_batch_that_failed_in_part_is_completed_by_repeating_it(http: FlaskClient, http_log: RecordingLog) -> None:
    http_log.errors = [None, StoreUnavailableError("no ack")]
    events = [keyed("a"), keyed("b")]
    assert http.post(f"{PATH}/batch", json=events).status_code == 207
    assert http.post(f"{PATH}/batch", json=events).status_code == 202
    assert len(http_log.records) == 3
    assert len({record.id for record in http_log.records}) == 2
