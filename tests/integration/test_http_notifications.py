"""POST and GET of notifications, one at a time and in batches."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.domain import codec
from app.domain.errors import StoreUnavailableError, TopicFullError
from app.domain.event import MAX_EVENT_BYTES, Event
from app.domain.ids import derived_id, is_ours
from app.domain.outcome import Outcome, Reason, Status
from app.http.notifications import MAX_BATCH_BYTES, MAX_BATCH_EVENTS
from app.http.services import Services
from tests.support.http_services import EVENT, SECRET, RecordingLog, client_without

PATH = "/api/v1/notifications"
AT_MS = 1_732_270_000_123
AT = "2024-11-22T10:06:40.123Z"


def outcome(notification_id: str, **values: Any) -> Outcome:
    """An outcome of EVENT on email; `delivery_id` empty: of the event as a whole."""
    event = codec.decode(json.dumps(EVENT), Event)
    values.setdefault("channel", "email" if values.get("delivery_id") else "")
    shared = {"user_id": event.user_id, "event_type": event.event_type, "event": event, "accepted_at_ms": AT_MS}
    return Outcome(notification_id=notification_id, **({"at_ms": AT_MS} | shared | values))


def test_an_event_is_accepted_once_it_is_written(http: FlaskClient, http_log: RecordingLog) -> None:
    answer = http.post(PATH, json=EVENT)
    assert answer.status_code == 202
    [record] = http_log.records
    assert answer.json == {"id": record.id, "status": "accepted"}
    assert answer.headers["Location"] == f"{PATH}/{record.id}"
    assert is_ours(record.id, SECRET)
    assert (record.user_id, record.event_type, record.is_low) == ("user-001", "security_alert", False)
    assert codec.decode(record.body, Event) == codec.decode(json.dumps(EVENT), Event)


@pytest.mark.parametrize(
    ("changes", "is_low"),
    [
        ({"event_type": "newsletter"}, True),
        ({"event_type": "newsletter", "options": {"priority": "high"}}, False),
        ({"options": {"priority": "low"}}, True),
        ({"event_type": "of_no_rule"}, False),
    ],
)
def test_low_goes_its_own_way(http: FlaskClient, http_log: RecordingLog, changes: dict[str, Any], is_low: bool) -> None:
    assert http.post(PATH, json=EVENT | changes).status_code == 202
    assert http_log.records[0].is_low is is_low


def test_a_full_topic_is_503_with_the_seconds_to_wait(http: FlaskClient, http_log: RecordingLog) -> None:
    http_log.errors = [TopicFullError("notifications.raw", retry_after_s=1.5)]
    answer = http.post(PATH, json=EVENT)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")


def test_no_ack_is_503_that_says_how_to_repeat(http: FlaskClient, http_log: RecordingLog) -> None:
    http_log.errors = [StoreUnavailableError("no ack")]
    answer = http.post(PATH, json=EVENT)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert "may still have landed" in json.loads(answer.data)["detail"]


def test_a_log_that_raises_is_503_too(http_services: Services) -> None:
    class Broken(RecordingLog):
        def publish(self, *_: object) -> list[Exception | None]:
            raise StoreUnavailableError("no broker")

    assert client_without(http_services, log=Broken()).post(PATH, json=EVENT).status_code == 503


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [({"x": 1}, "/x"), ({"user_id": 1}, "/user_id"), ({"options": {"channels": ["fax"]}}, "/options/channels/0")],
)
def test_a_refusal_names_the_field(
    http: FlaskClient, http_log: RecordingLog, changes: dict[str, Any], pointer: str
) -> None:
    answer = http.post(PATH, json=EVENT | changes)
    assert answer.status_code == 422
    assert [error["pointer"] for error in json.loads(answer.data)["errors"]] == [pointer]
    assert http_log.calls == []


def test_bodies_that_are_not_json_are_refused(http: FlaskClient) -> None:
    assert http.post(PATH, data=b"{", content_type="application/json").status_code == 400
    assert http.post(PATH, data=json.dumps(EVENT), content_type="application/x-www-form-urlencoded").status_code == 415
    assert http.post(PATH, data=json.dumps(EVENT)).status_code == 415
    assert http.post(PATH, data=b"x" * (MAX_EVENT_BYTES + 1), content_type="application/json").status_code == 413
    assert http.put(PATH).status_code == 405


def test_a_batch_is_answered_item_by_item_and_written_in_one_call(http: FlaskClient, http_log: RecordingLog) -> None:
    events = [EVENT, EVENT | {"user_id": 3}, 7, EVENT | {"user_id": "user-002"}]
    answer = http.post(f"{PATH}/batch", json=events)
    assert answer.status_code == 207
    items = answer.json["items"]
    assert [(item["index"], item["status"]) for item in items] == [
        (0, "accepted"),
        (1, "rejected"),
        (2, "rejected"),
        (3, "accepted"),
    ]
    [records] = http_log.calls
    assert [record.user_id for record in records] == ["user-001", "user-002"]
    assert [items[0]["id"], items[3]["id"]] == [record.id for record in records]
    assert items[1]["problem"]["errors"][0]["pointer"] == "/user_id"
    assert items[2]["problem"]["status"] == 422


def test_a_batch_of_good_events_is_202(http: FlaskClient) -> None:
    answer = http.post(f"{PATH}/batch", json=[EVENT] * MAX_BATCH_EVENTS)
    assert answer.status_code == 202
    assert len({item["id"] for item in answer.json["items"]}) == MAX_BATCH_EVENTS


def test_a_batch_may_come_line_by_line(http: FlaskClient) -> None:
    lines = json.dumps(EVENT) + "\r\n\n{nope\n" + json.dumps(EVENT) + "\n"
    answer = http.post(f"{PATH}/batch", data=lines, content_type="application/x-ndjson")
    assert answer.status_code == 207
    assert [item["status"] for item in answer.json["items"]] == ["accepted", "rejected", "accepted"]
    assert answer.json["items"][1]["problem"]["status"] == 400


def test_an_item_that_was_not_written_is_told_apart(http: FlaskClient, http_log: RecordingLog) -> None:
    http_log.errors = [None, TopicFullError("notifications.raw", retry_after_s=4), StoreUnavailableError("no ack")]
    answer = http.post(f"{PATH}/batch", json=[EVENT, EVENT, EVENT])
    assert answer.status_code == 207
    assert [item["status"] for item in answer.json["items"]] == ["accepted", "rejected", "rejected"]
    assert [item["problem"]["status"] for item in answer.json["items"][1:]] == [503, 503]
    assert answer.headers["Retry-After"] == "4"


def test_one_item_that_is_too_large_leaves_the_others(http: FlaskClient) -> None:
    large = EVENT | {"content": "x" * MAX_EVENT_BYTES}
    answer = http.post(f"{PATH}/batch", json=[large, EVENT])
    assert answer.status_code == 207
    assert answer.json["items"][0]["problem"]["status"] == 413


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 422),
        (b"{}", 422),
        (b"[", 400),
        (json.dumps([EVENT] * (MAX_BATCH_EVENTS + 1)).encode(), 413),
        (b"[" + b" " * MAX_BATCH_BYTES + b"]", 413),
        (b"[" * 100_000, 400),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(
    http: FlaskClient, http_log: RecordingLog, body: bytes, status: int
) -> None:
    assert http.post(f"{PATH}/batch", data=body, content_type="application/json").status_code == status
    assert http_log.calls == []


def test_a_batch_of_millions_of_items_takes_no_memory_for_each(http: FlaskClient) -> None:
    """Requests come many at a time, and each of these would have had 160 MB of objects."""
    body = b"[" + b"0," * (MAX_BATCH_BYTES // 2 - 2) + b"0]"
    assert len(body) <= MAX_BATCH_BYTES
    tracemalloc.start()
    try:
        answer = http.post(f"{PATH}/batch", data=body, content_type="application/json")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 413
    assert f"more than {MAX_BATCH_EVENTS}" in answer.json["errors"][0]["detail"]
    assert peak < 6 * len(body), "copies of the body only"


def test_what_follows_too_many_items_is_read_all_the_same(http: FlaskClient) -> None:
    body = b"[" + b"0," * (MAX_BATCH_EVENTS + 7) + b"nope]"
    assert http.post(f"{PATH}/batch", data=body, content_type="application/json").status_code == 400


def test_a_fresh_notification_is_known_without_any_store(http: FlaskClient) -> None:
    posted = http.post(PATH, json=EVENT)
    answer = http.get(posted.headers["Location"])
    assert answer.status_code == 200
    assert (answer.json["id"], answer.json["status"]) == (posted.json["id"], "accepted")
    assert answer.json["deliveries"] == []


@pytest.mark.parametrize("name", ["01a2038c-d396-7d6f-8235-af57d698db32", "nonsense", "%00", "a" * 3000])
def test_an_id_that_never_was_is_404(http: FlaskClient, name: str) -> None:
    answer = http.get(f"{PATH}/{name}")
    assert answer.status_code == 404
    assert answer.content_type == "application/problem+json"


def test_a_notification_shows_its_deliveries_with_times_in_rfc_3339(
    http: FlaskClient, http_services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.http.notification_view.now_ms", lambda: AT_MS + 1000)
    posted = http.post(PATH, json=EVENT).json["id"]
    http_services.history.append(
        [
            outcome(posted, delivery_id="d1", channel="email", status=Status.PARKED, until_at_ms=AT_MS + 1000),
            outcome(
                posted,
                delivery_id="d1",
                channel="email",
                pass_no=1,
                status=Status.SENT,
                provider="smtp",
                provider_id="m",
            ),
        ]
    )
    shown = http.get(f"{PATH}/{posted}").json
    assert (shown["id"], shown["accepted_at"]) == (posted, AT)
    assert shown["event"]["content"] == EVENT["content"]
    email, in_app = shown["deliveries"]
    assert (email["id"], email["channel"], email["status"]) == ("d1", "email", "sent")
    assert [(one["status"], one["pass"], one["at"], one["until"]) for one in email["outcomes"]] == [
        ("parked", 0, AT, "2024-11-22T10:06:41.123Z"),
        ("sent", 1, AT, None),
    ]
    assert (in_app["channel"], in_app["status"], in_app["outcomes"]) == ("in_app", "accepted", [])


def test_what_has_expired_goes_out_on_no_channel_that_nothing_was_heard_of(
    http: FlaskClient, http_services: Services
) -> None:
    """The catalogue may have got one since; a notification that was sent does not wait for it."""
    http_services.history.append([outcome("n1", delivery_id="d1", channel="email", status=Status.SENT)])
    shown = http.get(f"{PATH}/n1").json
    assert shown["status"] == "sent"
    assert [one["channel"] for one in shown["deliveries"]] == ["email"]


def test_an_event_that_yields_no_delivery_says_why(http: FlaskClient, http_services: Services) -> None:
    http_services.history.append([outcome("n1", status=Status.FAILED, reason=Reason.NO_CHANNELS, event=None)])
    shown = http.get(f"{PATH}/n1").json
    assert (shown["status"], shown["reason"], shown["deliveries"]) == ("failed", "no_channels", [])


def test_a_user_has_their_notifications_newest_first_page_by_page(http: FlaskClient, http_services: Services) -> None:
    http_services.history.append(
        [
            outcome(
                f"n{number}",
                delivery_id=f"d{number}",
                channel="email",
                status=Status.SENT,
                accepted_at_ms=AT_MS + number,
            )
            for number in range(5)
        ]
    )
    path, seen = "/api/v1/users/user-001/notifications", []
    cursor: str | None = ""
    while cursor is not None:
        page = http.get(path, query_string={"limit": 2} | ({"cursor": cursor} if cursor else {})).json
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == ["n4", "n3", "n2", "n1", "n0"]
    assert http.get("/api/v1/users/nobody/notifications").json == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=201", "limit=x", "limit=²", "cursor=zzz", "page=2"),
        # Read by its first digits alone it would be a small number.
        *("limit=000000100000000", "limit=0000002009999999999999999999", f"limit={'9' * 5000}"),
        *("limit=1&limit=2", "cursor=a&cursor=b"),
    ],
)
def test_a_wrong_parameter_is_named(http: FlaskClient, query: str) -> None:
    answer = http.get(f"/api/v1/users/user-001/notifications?{query}")
    assert answer.status_code == 422
    assert json.loads(answer.data)["errors"][0]["parameter"] == query.partition("=")[0]


def test_with_the_history_away_events_are_still_taken(http_services: Services) -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            raise StoreUnavailableError("history")

    client = client_without(http_services, history=Away())
    posted = client.post(PATH, json=EVENT)
    assert posted.status_code == 202
    for path in (posted.headers["Location"], "/api/v1/users/user-001/notifications"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) >= 1


def test_health_speaks_of_intake_alone(http: FlaskClient, http_log: RecordingLog) -> None:
    assert http.get("/livez").status_code == 200
    assert http.get("/readyz").status_code == 200
    http_log.is_up = False
    assert http.get("/livez").status_code == 200
    assert http.get("/readyz").status_code == 503


def test_ids_of_keys_are_derived(http: FlaskClient) -> None:
    answer = http.post(PATH, json=EVENT, headers={"Idempotency-Key": '"k"'})
    body = codec.encode(codec.decode(json.dumps(EVENT), Event))
    assert answer.json["id"] == derived_id(SECRET, "anonymous", "k", hashlib.sha256(body).hexdigest())
