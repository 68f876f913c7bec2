"""An event posted over HTTP is delivered and recorded, by the processes of a set."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.stack_client import ROOT, StackClient, wait_until

ALERT = {
    "user_id": "user-001",
    "event_type": "security_alert",
    "content": "Suspicious login attempt detected from a new device",
    "metadata": {
        "device": "Unknown iPhone",
        "location": "Somewhere in the world",
        "ip_address": "203.0.113.42",
        "timestamp": 1732270000,
    },
}
STEPS = {"validate", "check_preferences", "limit_rate", "deliver", "record"}
#: From the 202 to the mailbox, the inbox and the timeline.
SOON_S = 2.0


def accepted(stack: StackClient, event: dict[str, Any], **headers: str) -> str:
    """Post the event; its id."""
    answer = stack.post(event, **headers)
    assert answer.status == 202, answer
    return str(answer.json["id"])


def by_channel(shown: Any) -> dict[str, Any]:
    """The deliveries of a notification, by channel."""
    return {delivery["channel"]: delivery for delivery in shown["deliveries"]}


def mails(stack: StackClient, address: str) -> list[Any]:
    """What the mailbox has for an address."""
    found: list[Any] = stack.mailbox(f"/api/messages?to={address}")["messages"]
    return found


def test_the_readmes_curl(stack: StackClient) -> None:
    """Email, inbox entry and timeline, soon after the 202; push says that it has no provider."""
    answer = stack.post(ALERT)
    assert answer.status == 202
    notification_id = answer.json["id"]
    assert answer.json["status"] == "accepted"
    assert answer.headers["location"] == f"/api/v1/notifications/{notification_id}"
    shown = stack.final(notification_id, within_s=SOON_S)
    [mail] = mails(stack, "user-001@example.com")
    assert "Security alert" in mail["subject"]
    [entry] = stack.get("/api/v1/users/user-001/inbox").json["items"]
    assert entry["notification_id"] == notification_id

    states = {channel: (one["status"], one["reason"]) for channel, one in by_channel(shown).items()}
    assert states == {
        "email": ("sent", ""),
        "in_app": ("sent", ""),
        "push": ("suppressed", "channel_not_configured"),
    }
    whole = stack.mailbox(f"/api/messages/{mail['id']}")
    assert "Suspicious login attempt" in whole["text"]
    assert "Unknown iPhone" in whole["html"]


def test_show_prints_the_same_timeline_as_get(stack: StackClient) -> None:
    notification_id = accepted(stack, ALERT | {"user_id": "user-show"})
    shown = stack.final(notification_id)
    printed = stack.manage("show", notification_id, "--json")
    assert printed.returncode == 0, printed.stderr
    assert json.loads(printed.stdout) == shown


def test_an_id_that_never_was_is_not_found(stack: StackClient) -> None:
    assert stack.get("/api/v1/notifications/0190163d-8694-739b-aea5-966c26f8ad91").status == 404
    assert stack.manage("show", "0190163d-8694-739b-aea5-966c26f8ad91").returncode == 1


def test_a_batch_answers_item_by_item(stack: StackClient) -> None:
    lines = [ALERT | {"user_id": "user-batch"}, ALERT | {"user_id": ""}, {"event_type": "note"}]
    body = "\n".join(json.dumps(line) for line in lines).encode()
    answer = stack.request("POST", "/api/v1/notifications/batch", body, {"Content-Type": "application/x-ndjson"})
    assert answer.status == 207
    items = answer.json["items"]
    assert [item["status"] for item in items] == ["accepted", "rejected", "rejected"]
    assert items[1]["problem"]["errors"][0]["pointer"] == "/user_id"
    assert stack.final(items[0]["id"])["status"] == "sent"


def test_a_repeated_request_is_one_notification(stack: StackClient) -> None:
    """Same Idempotency-Key, same id, one email; with another body it is refused."""
    event = ALERT | {"user_id": "user-key", "options": {"channels": ["email"], "to": {"email": "key@example.com"}}}
    ids = {accepted(stack, event, Idempotency_Key='"one-of-a-kind"') for _ in range(3)}
    assert len(ids) == 1
    assert stack.final(ids.pop())["status"] == "sent"
    assert len(mails(stack, "key@example.com")) == 1
    assert stack.post(event | {"content": "else"}, Idempotency_Key='"one-of-a-kind"').status == 422


def test_what_a_user_does_not_want_is_suppressed(stack: StackClient) -> None:
    """A preference switches one channel of a category off; a critical type ignores it."""
    stack.put("/api/v1/users/user-off", {"contacts": {"email": "off@example.com"}})
    off = {"billing": {"email": False}, "security": {"email": False}}
    assert stack.put("/api/v1/users/user-off/preferences", {"channels": off}).status == 200
    receipt = {"user_id": "user-off", "event_type": "payment_receipt", "content": "Thank you"}
    states = by_channel(stack.final(accepted(stack, receipt)))
    assert (states["email"]["status"], states["email"]["reason"]) == ("suppressed", "preference_off")
    assert states["in_app"]["status"] == "sent"
    assert by_channel(stack.final(accepted(stack, ALERT | {"user_id": "user-off"})))["email"]["status"] == "sent"


def test_quiet_hours_park_until_they_end(stack: StackClient) -> None:
    now = datetime.now(UTC)
    start, end = now - timedelta(hours=1), now + timedelta(hours=2)
    quiet = {"start": start.strftime("%H:%M"), "end": end.strftime("%H:%M")}
    stack.put("/api/v1/users/user-quiet", {"timezone": "UTC"})
    assert stack.put("/api/v1/users/user-quiet/preferences", {"quiet_hours": quiet}).status == 200
    options = {"channels": ["in_app"]}
    event = {"user_id": "user-quiet", "event_type": "comment_mention", "content": "Look", "options": options}
    shown = stack.shown(accepted(stack, event), lambda seen: seen["status"] == "parked")
    [parked] = shown["deliveries"]
    assert parked["reason"] == "quiet_hours"
    assert abs(datetime.fromisoformat(parked["until"]) - end) < timedelta(minutes=2)


def test_what_is_over_a_users_limit_waits_for_its_slot(stack: StackClient) -> None:
    """Four at once where one a second may go: the others are parked, each until a slot of its own, then sent."""
    event = {"user_id": "user-limit", "event_type": "note", "content": "Hello", "options": {"channels": ["log"]}}
    body = json.dumps([event] * 4).encode()
    answer = stack.request("POST", "/api/v1/notifications/batch", body, {"Content-Type": "application/json"})
    assert answer.status == 202
    deliveries = [stack.final(item["id"])["deliveries"][0] for item in answer.json["items"]]
    assert {delivery["status"] for delivery in deliveries} == {"sent"}
    slots = [
        outcome["until"]
        for delivery in deliveries
        for outcome in delivery["outcomes"]
        if (outcome["status"], outcome["reason"]) == ("parked", "rate_limited_user")
    ]
    assert len(set(slots)) == 3


@pytest.mark.parametrize("priority", ["high", "medium", "low"])
def test_a_client_may_choose_the_priority(stack: StackClient, priority: str) -> None:
    event = ALERT | {"user_id": "user-prio", "options": {"priority": priority, "channels": ["in_app"]}}
    notification_id = accepted(stack, event)
    stack.final(notification_id)
    assert {row.priority for row in stack.history.outcomes(notification_id)} == {priority}


def test_a_user_without_contacts_has_no_address(stack: StackClient) -> None:
    shown = stack.final(accepted(stack, ALERT | {"user_id": "user-nobody"}))
    assert by_channel(shown)["email"]["reason"] == "no_address"


def test_workers_know_the_five_steps(stack: StackClient) -> None:
    argv = [sys.executable, "-m", "celery", "-A", "tasks", "inspect", "registered", "--json", "--timeout", "3"]
    shown = subprocess.run(argv, cwd=ROOT, env=stack.environ, capture_output=True, text=True, timeout=60, check=True)
    workers = json.loads(shown.stdout[shown.stdout.index("{") :])
    assert {name.partition("@")[0] for name in workers} == {"worker-high", "worker", "worker-low"}
    assert all(set(names) >= STEPS for names in workers.values())


def test_flower_shows_the_steps_and_no_personal_data(stack: StackClient) -> None:
    stack.final(accepted(stack, ALERT))

    def tasks() -> Any:
        found = stack.flower("/api/tasks?limit=10000") or {}
        return found if {task["name"] for task in found.values()} >= STEPS else None

    found = wait_until(tasks, "Flower has seen all steps")
    assert {task["name"] for task in found.values()} == STEPS
    assert any("high.email" in (task["args"] or "") for task in found.values())
    for personal in ("user-001", "example.com", "Suspicious", "iPhone", "203.0.113.42"):
        assert personal not in json.dumps(found)


def test_queues_shows_every_lane(stack: StackClient) -> None:
    shown = stack.manage("queues", "--all", "--json")
    assert shown.returncode == 0, shown.stderr
    assert {"high.email", "low.log"} <= {row["lane"] for row in json.loads(shown.stdout)}


def test_what_a_stop_leaves_undelivered_is_delivered_by_the_next_start(stack: StackClient) -> None:
    """Real Kafka keeps it. The embedded broker forgets all at a stop, so that what is left is parked before."""
    stack.kill("mailbox", signal.SIGSTOP)
    options = {"channels": ["email"], "to": {"email": "left@example.com"}}
    ids = [accepted(stack, ALERT | {"user_id": f"user-left-{number}", "options": options}) for number in range(20)]
    assert stack.stop() == 0
    if stack.profile == "embedded":
        assert "nothing is left running" in stack.log()
    assert {row.status for one in ids for row in stack.history.outcomes(one)} <= {"parked"}
    stack.start_again()
    for notification_id in ids:
        assert stack.final(notification_id)["status"] == "sent"
    reasons = {row.reason for one in ids for row in stack.history.outcomes(one)}
    assert ("shutdown" in reasons) == (stack.profile == "embedded")
    wait_until(lambda: len(mails(stack, "left@example.com")) == len(ids), "one mail for each")
