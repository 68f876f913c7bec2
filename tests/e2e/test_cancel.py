"""Later, and not at all: `send_at`, DELETE and `manage.py cancel`, by the processes of a set."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.stack_client import StackClient

PATH = "/api/v1/notifications"
AHEAD_S = 4.0
#: From the time that was asked for to the provider: the scheduler looks every 0.2 s.
LATE_S = 2.0


def in_s(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def posted(stack: StackClient, user_id: str, send_at: str) -> str:
    """An event for that time; its id."""
    event = {"user_id": user_id, "event_type": "security_alert", "content": "Later"}
    to = {"email": f"{user_id}@example.com"}
    answer = stack.post(event | {"options": {"send_at": send_at, "channels": ["email", "in_app"], "to": to}})
    assert answer.status == 202, answer
    return str(answer.json["id"])


def scheduled(stack: StackClient, notification_id: str) -> Any:
    """GET of it, once both deliveries are parked."""
    return stack.shown(
        notification_id,
        lambda shown: [one["status"] for one in shown["deliveries"]] == ["parked", "parked"],
    )


def mails(stack: StackClient, user_id: str) -> int:
    return len(stack.mailbox(f"/api/messages?to={user_id}@example.com")["messages"])


def test_what_is_for_later_is_parked_shown_and_cancelled(stack: StackClient) -> None:
    send_at = in_s(3600)
    notification_id = posted(stack, "later-001", send_at)
    shown = scheduled(stack, notification_id)
    assert shown["status"] == "parked"
    for one in shown["deliveries"]:
        assert one["reason"] == "scheduled"
        assert datetime.fromisoformat(one["until"]) == datetime.fromisoformat(send_at)
    answer = stack.request("DELETE", f"{PATH}/{notification_id}")
    assert answer.status == 200, answer
    assert {(one["channel"], one["result"], one["status"]) for one in answer.json["deliveries"]} == {
        ("email", "cancelled", "cancelled"),
        ("in_app", "cancelled", "cancelled"),
    }
    shown = stack.final(notification_id)
    assert shown["status"] == "cancelled"
    for one in shown["deliveries"]:
        assert [(step["status"], step["reason"]) for step in one["outcomes"]] == [
            ("parked", "scheduled"),
            ("cancelled", "cancelled_by_client"),
        ]
    parked = json.loads(stack.manage("queues", "--json").stdout)
    assert "scheduled" not in json.dumps(parked)
    assert stack.request("DELETE", f"{PATH}/{notification_id}").json == answer.json, "repeating it is harmless"


def test_what_is_not_cancelled_is_sent_at_its_time(stack: StackClient) -> None:
    started = time.time()
    sent, kept = posted(stack, "later-002", in_s(AHEAD_S)), posted(stack, "later-003", in_s(AHEAD_S))
    scheduled(stack, kept)
    stopped = stack.manage("cancel", kept, "--json")
    assert stopped.returncode == 0, stopped.stderr
    assert json.loads(stopped.stdout)["result"] == "cancelled"
    shown = stack.final(sent, within_s=AHEAD_S + 10)
    assert shown["status"] == "sent"
    for row in stack.history.outcomes(sent):
        if row.status == "sent":
            assert AHEAD_S <= row.at_ms / 1000 - started <= AHEAD_S + LATE_S
    assert (mails(stack, "later-002"), mails(stack, "later-003")) == (1, 0)
    late = stack.request("DELETE", f"{PATH}/{sent}")
    assert (late.status, late.json["type"]) == (409, "urn:notify:problem:too-late")
    assert {one["status"] for one in late.json["deliveries"]} == {"sent"}
    again = stack.manage("cancel", sent)
    assert again.returncode == 1
    assert "too_late" in again.stdout
    assert stack.manage("cancel", "01a203a7-b81b-7fa3-88a0-d7f956e6663d").returncode == 1


def test_a_time_that_is_past_is_refused_by_its_place(stack: StackClient) -> None:
    event = {"user_id": "later-004", "event_type": "security_alert", "content": "Late"}
    answer = stack.post(event | {"options": {"send_at": in_s(-300)}})
    assert answer.status == 422
    assert answer.json["errors"] == [{"detail": "is in the past", "pointer": "/options/send_at"}]
