"""A user is forgotten while the whole set runs: stores, answers and logs hold nothing of them, others keep theirs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.stack_client import StackClient

MARK = "kestrel"


def event(user_id: str, mark: str, event_type: str, **options: Any) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "event_type": event_type,
        "content": f"{mark} content",
        "metadata": {"device": f"{mark} phone"},
        "options": {"to": {"email": f"{mark}-inline@example.com"}, "channels": ["email", "in_app"], **options},
    }


def posted(stack: StackClient, body: dict[str, Any]) -> str:
    answer = stack.post(body)
    assert answer.status == 202, answer
    return str(answer.json["id"])


def quiet_now() -> dict[str, str]:
    now = datetime.now(UTC)
    return {"start": f"{now - timedelta(hours=2):%H:%M}", "end": f"{now + timedelta(hours=3):%H:%M}"}


def test_nothing_of_a_forgotten_user_is_left(stack: StackClient) -> None:
    for user_id, mark in (("forget-me", MARK), ("keep-me", "plover")):
        stack.put(f"/api/v1/users/{user_id}", {"contacts": {"email": f"{mark}@example.com"}})
        stack.final(posted(stack, event(user_id, mark, "order_shipped")))
        stack.put(f"/api/v1/users/{user_id}/preferences", {"quiet_hours": quiet_now()})
    waiting = [posted(stack, event("forget-me", MARK, "order_shipped")) for _ in range(2)]
    kept = posted(stack, event("keep-me", "plover", "order_shipped"))
    for notification_id in (*waiting, kept):
        stack.shown(notification_id, lambda shown: {one["status"] for one in shown["deliveries"]} == {"parked"})
    assert MARK.encode() in stack.stored()

    done = stack.request("DELETE", "/api/v1/users/forget-me")
    assert done.status == 200, done
    assert done.json["removed"] == {
        "users": 1,
        "preferences": 1,
        "inbox": 1,
        "devices": 0,
        "notifications": 3,
        "outcomes": 6,
        "parked": 4,
    }

    for notification_id in waiting:
        shown = stack.final(notification_id)
        assert (shown["status"], shown["event"]) == ("cancelled", None)
        assert {one["reason"] for one in shown["deliveries"]} == {"user_forgotten"}
    again = stack.manage("users", "forget", "forget-me", "--vacuum")
    assert again.returncode == 0, again.stderr
    assert MARK.encode() not in stack.stored()
    assert b"plover" in stack.stored()
    assert MARK not in stack.log_path.read_text()
    paths = ["", "/preferences", "/inbox", "/notifications"]
    assert MARK not in str([stack.get(f"/api/v1/users/forget-me{path}") for path in paths])
    assert stack.shown(kept, lambda shown: shown["status"] == "parked")["event"]["content"] == "plover content"

    later = stack.final(posted(stack, event("forget-me", "afterwards", "order_shipped")))
    assert {one["status"] for one in later["deliveries"]} == {"sent"}
