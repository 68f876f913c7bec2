"""Whatever comes in: it is refused with a reason, it harms nothing else, and the service goes on."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from app.domain.event import MAX_RECORD_BYTES
from app.domain.lane import DEAD_TOPIC, RAW_TOPIC
from tests.support.history import Row
from tests.support.stack_client import StackClient, wait_until
from tests.support.topics import Found, raw_headers, read_all, write

EVENT = {"user_id": "user-bad", "event_type": "note", "content": "Hello", "options": {"channels": ["log"]}}
SOUND = json.dumps(EVENT).encode()


def failed(stack: StackClient, event: dict[str, Any]) -> Any:
    """The one delivery of an event that is accepted and fails."""
    answer = stack.post(event)
    assert answer.status == 202, answer
    [delivery] = stack.final(answer.json["id"])["deliveries"]
    assert delivery["status"] == "failed"
    return delivery


def recorded(stack: StackClient, notification_id: str) -> list[Row]:
    """The outcomes of a notification, as soon as there are any."""
    found: list[Row] = wait_until(lambda: stack.history.outcomes(notification_id), f"{notification_id} has outcomes")
    return found


def goes_on(stack: StackClient) -> None:
    """A sound event is still delivered."""
    answer = stack.post(EVENT | {"user_id": uuid.uuid4().hex})
    assert stack.final(answer.json["id"])["status"] == "sent"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"user_id": 7}, "/user_id"),
        ({"user_id": "a\nb"}, "/user_id"),
        ({"surprise": 1}, "/surprise"),
        ({"content": ""}, "/content"),
        ({"metadata": []}, "/metadata"),
        ({"options": {"priority": "urgent"}}, "/options/priority"),
        ({"options": {"channels": ["email", "pigeon"]}}, "/options/channels/1"),
        ({"options": {"to": {"email": "a@example.com\r\nBcc: b@example.com"}}}, "/options/to/email"),
    ],
)
def test_a_refused_request_names_the_field(stack: StackClient, changes: dict[str, Any], pointer: str) -> None:
    answer = stack.post(EVENT | changes)
    assert answer.status == 422
    assert [error["pointer"] for error in answer.json["errors"]] == [pointer]


POISON = {
    "not JSON": (b"{", {}),
    "not UTF-8": (b"\xff\xfe", {}),
    "wrong types": (json.dumps(EVENT | {"user_id": 7}).encode(), {}),
    "a field too many": (json.dumps(EVENT | {"surprise": 1}).encode(), {}),
    "at the size limit": (b"x" * MAX_RECORD_BYTES, {}),
    "unknown version": (SOUND, {"ce_recordversion": b"99"}),
    "no CloudEvent": (SOUND, {"ce_specversion": b""}),
    "a time that is none": (SOUND, {"ce_time": b"yesterday"}),
}


def dead_letters(stack: StackClient, notification_id: str) -> list[Found]:
    return [one for one in read_all(stack, DEAD_TOPIC) if one.headers["notification_id"].decode() == notification_id]


@pytest.mark.parametrize("kind", POISON)
def test_poison_on_raw_ends_on_dead_with_its_reason(stack: StackClient, kind: str) -> None:
    value, headers = POISON[kind]
    notification_id = str(uuid.uuid4())
    write(stack, RAW_TOPIC, value, raw_headers(notification_id) | headers)
    [row] = recorded(stack, notification_id)
    assert (row.status, row.reason) == ("failed", "undecodable")
    [dead] = wait_until(lambda: dead_letters(stack, notification_id), "the dead letter, written beside the outcome")
    assert dead.headers["reason"] == b"undecodable"
    assert dead.headers["detail"].decode() == row.detail
    assert dead.headers["cut"] == (b"true" if len(dead.value) < len(value) else b"false")
    assert value.startswith(dead.value)
    goes_on(stack)


def test_a_record_with_no_headers_at_all_ends_on_dead(stack: StackClient) -> None:
    before = len(read_all(stack, DEAD_TOPIC))
    write(stack, RAW_TOPIC, b"", {})
    wait_until(lambda: len(read_all(stack, DEAD_TOPIC)) > before, "one more dead letter")
    goes_on(stack)


def test_an_event_larger_than_http_takes_is_not_routed(stack: StackClient) -> None:
    """It is sound, but would travel inside ever larger records."""
    notification_id = str(uuid.uuid4())
    rest = len(json.dumps(EVENT | {"content": ""}))
    value = json.dumps(EVENT | {"content": "x" * (MAX_RECORD_BYTES - rest)}).encode()
    write(stack, RAW_TOPIC, value, raw_headers(notification_id))
    assert [(row.status, row.reason) for row in recorded(stack, notification_id)] == [("failed", "undecodable")]
    goes_on(stack)


def test_an_address_that_would_inject_a_header(stack: StackClient) -> None:
    """HTTP refuses it; one that came past HTTP fails before any provider is called."""
    notification_id = str(uuid.uuid4())
    options = {"channels": ["email"], "to": {"email": "a@example.com\r\nBcc: b@example.com"}}
    write(stack, RAW_TOPIC, json.dumps(EVENT | {"options": options}).encode(), raw_headers(notification_id))
    [row] = recorded(stack, notification_id)
    assert (row.status, row.reason) == ("failed", "invalid_address")


def test_a_subject_that_would_inject_a_header(stack: StackClient) -> None:
    event = {
        "user_id": "user-001",
        "event_type": "subject_from_client",
        "content": "Hello",
        "metadata": {"title": "Hello\r\nBcc: b@example.com"},
    }
    assert failed(stack, event)["reason"] == "invalid_content"
    assert stack.mailbox("/api/messages?to=b@example.com")["messages"] == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/livez",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost:{port}/livez",  # a name that resolves there
        "http://[::ffff:127.0.0.1]:{port}/livez",
        "http://[::1]:{port}/livez",
    ],
)
def test_a_webhook_to_where_it_must_not_go(stack: StackClient, url: str) -> None:
    options = {"channels": ["webhook"], "to": {"webhook": url.format(port=stack.port)}}
    assert failed(stack, EVENT | {"options": options})["reason"] == "forbidden_address"


def test_a_template_that_loops(stack: StackClient) -> None:
    delivery = failed(stack, EVENT | {"event_type": "looping", "options": {}})
    assert delivery["reason"] == "template_error"
    assert "out of time" in delivery["outcomes"][-1]["detail"]
    goes_on(stack)
