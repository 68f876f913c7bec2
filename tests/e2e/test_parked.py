"""`manage.py parked` beside a running set."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.stack_client import StackClient, wait_until

USERS = 6


@pytest.fixture
def waiting(stack: StackClient, request: pytest.FixtureRequest) -> list[str]:
    """Notifications of users in their quiet hours, parked; those of other tests are gone."""
    assert stack.manage("parked", "drop", "--lane", "medium.in_app", "--yes").returncode == 0
    now = datetime.now(UTC)
    quiet = {"start": f"{now - timedelta(hours=1):%H:%M}", "end": f"{now + timedelta(hours=2):%H:%M}"}
    ids = []
    for number in range(USERS):
        user = f"{request.node.originalname}-{number}"
        stack.put(f"/api/v1/users/{user}", {"timezone": "UTC"})
        assert stack.put(f"/api/v1/users/{user}/preferences", {"quiet_hours": quiet}).status == 200
        options = {"channels": ["in_app"], "priority": "medium"}
        event = {"user_id": user, "event_type": "comment_mention", "content": "Look", "options": options}
        ids.append(stack.post(event).json["id"])
    for one in ids:
        stack.shown(one, lambda seen: seen["status"] == "parked")
    return ids


def rows(stack: StackClient, *words: str) -> list[Any]:
    shown = stack.manage("parked", "list", "--json", "--lane", "medium.in_app", *words)
    assert shown.returncode == 0, shown.stderr
    found: list[Any] = json.loads(shown.stdout)
    return found


def test_parked_list_tells_lane_reason_and_times(stack: StackClient, waiting: list[str]) -> None:
    found = {row["notification_id"]: row for row in rows(stack, "--reason", "quiet_hours", "--parked-since", "-5m")}
    assert set(waiting) <= set(found)
    row = found[waiting[0]]
    assert datetime.fromisoformat(row["due"]) - datetime.fromisoformat(row["parked"]) > timedelta(hours=1)
    assert rows(stack, "--due-before", "+30m") == []
    assert rows(stack, "--reason", "lane_full") == []
    assert stack.manage("parked", "list", "--due-before", "soon").returncode == 2


def test_what_is_dropped_is_cancelled_with_its_reason_and_never_sent(stack: StackClient, waiting: list[str]) -> None:
    words = ("--lane", "medium.in_app", "--reason", "quiet_hours")
    before = len(rows(stack))
    tried = stack.manage("parked", "drop", *words, "--dry-run")
    assert f"would drop up to {before}" in tried.stdout
    refused = stack.manage("parked", "drop", *words)  # stdin is no terminal: nobody says yes
    assert refused.returncode == 1
    assert len(rows(stack)) == before
    dropped = stack.manage("parked", "drop", *words, "--yes")
    assert dropped.stdout.splitlines()[-1] == f"dropped {before}", dropped.stderr
    for one in waiting:
        [delivery] = stack.final(one)["deliveries"]
        assert (delivery["status"], delivery["reason"]) == ("cancelled", "dropped_by_operator")
    assert rows(stack) == []


def test_what_is_released_comes_back_at_once(
    stack: StackClient, waiting: list[str], request: pytest.FixtureRequest
) -> None:
    """Half is released while the quiet hours still hold, and is parked again; then they are lifted."""
    words = ("--lane", "medium.in_app", "--reason", "quiet_hours", "--yes")
    half = stack.manage("parked", "release", *words, "--limit", str(USERS // 2))
    assert half.stdout.splitlines()[-1] == f"released {USERS // 2}"

    def came_back() -> int:
        shown = [stack.get(f"/api/v1/notifications/{one}").json for one in waiting]
        return sum(one["status"] == "parked" and one["deliveries"][0]["outcomes"][-1]["pass"] == 1 for one in shown)

    wait_until(lambda: came_back() == USERS // 2, "the released half is parked again, in its next pass")
    for number in range(USERS):
        user = f"{request.node.originalname}-{number}"
        assert stack.put(f"/api/v1/users/{user}/preferences", {"quiet_hours": None}).status == 200
    while (done := stack.manage("parked", "release", *words).stdout.splitlines()[-1]) != "nothing is parked that fits":
        assert done.startswith("released ")
    for one in waiting:
        assert stack.final(one)["status"] == "sent"
