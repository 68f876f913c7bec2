"""`manage.py dead` beside a running set."""

from __future__ import annotations

import json
import uuid
from typing import Any

from app.domain.codec import encode
from app.domain.event import Options
from app.domain.lane import DEAD_TOPIC, RAW_TOPIC
from tests.support.deliveries import delivery
from tests.support.stack_client import StackClient, wait_until
from tests.support.topics import raw_headers, read_all, write

EVENT = {"user_id": "user-dead", "event_type": "note", "content": "Hello", "options": {"channels": ["in_app"]}}


def listed(stack: StackClient, *words: str) -> list[Any]:
    shown = stack.manage("dead", "list", "--json", *words)
    assert shown.returncode == 0, shown.stderr
    found: list[Any] = json.loads(shown.stdout)
    return found


def letter(stack: StackClient, notification_id: str) -> Any:
    [found] = [one for one in listed(stack) if one["notification_id"] == notification_id]
    return found


def undecodable(stack: StackClient, value: bytes) -> str:
    """An event on raw that no router can read; its id."""
    notification_id = str(uuid.uuid4())
    write(stack, RAW_TOPIC, value, raw_headers(notification_id))
    wait_until(
        lambda: any(one.headers["notification_id"] == notification_id.encode() for one in read_all(stack, DEAD_TOPIC)),
        "the dead letter",
    )
    return notification_id


def test_dead_letters_are_listed_by_lane_reason_and_time_and_shown(stack: StackClient) -> None:
    notification_id = undecodable(stack, b'{"user_id": 7, "secret": "not masked"}')
    found = letter(stack, notification_id)
    assert (found["from"], found["reason"]) == ("raw", "undecodable")
    assert found in listed(stack, "--lane", "raw", "--reason", "undecodable", "--from", "-5m", "--to", "+1m")
    for words in (("--lane", "low.email"), ("--reason", "poison"), ("--to", "-5m")):
        assert found not in listed(stack, *words)
    shown = stack.manage("dead", "show", found["place"])
    assert "not masked" in shown.stdout
    assert "not masked" in shown.stderr
    assert stack.manage("dead", "show", "0:99999").returncode == 1


def test_what_is_still_undecodable_is_dead_again_after_its_replay(stack: StackClient) -> None:
    notification_id = undecodable(stack, b"{")
    place = letter(stack, notification_id)["place"]
    tried = stack.manage("dead", "replay", place, "--dry-run")
    assert tried.stdout == "to be replayed 1\n"
    replayed = stack.manage("dead", "replay", place, "--yes")
    assert replayed.stdout.splitlines()[-1] == "replayed 1", replayed.stderr
    wait_until(
        lambda: sum(one["notification_id"] == notification_id for one in listed(stack)) == 2, "it is dead once more"
    )
    both = [one["place"] for one in listed(stack) if one["notification_id"] == notification_id]
    assert stack.manage("dead", "replay", *both, "--dry-run").stdout == "to be replayed 1\n"


def test_an_event_and_a_delivery_that_are_sound_by_now_are_sent_once(stack: StackClient) -> None:
    """As an earlier version left them; replayed again and again."""
    notification_id = str(uuid.uuid4())
    was = {f"was.{name}": value for name, value in raw_headers(notification_id).items()}
    about = {"reason": b"undecodable", "notification_id": notification_id.encode(), "cut": b"false"}
    event = EVENT | {"user_id": "user-dead-event"}
    headers = {**about, **was, "topic": RAW_TOPIC.encode(), "key": b"user-dead-event"}
    write(stack, DEAD_TOPIC, json.dumps(event).encode(), headers)
    poisoned = delivery(
        user_id="user-dead-delivery", channel="in_app", pass_no=1, options=Options(channels=("in_app",))
    )
    headers = {"reason": b"poison", "topic": poisoned.lane.topic.encode(), "delivery_id": poisoned.id.encode()}
    headers |= {"notification_id": poisoned.notification_id.encode(), "key": b"user-dead-delivery"}
    write(stack, DEAD_TOPIC, encode(poisoned), headers)

    places = [letter(stack, one)["place"] for one in (notification_id, poisoned.notification_id)]
    for _ in range(2):
        assert stack.manage("dead", "replay", *places, "--yes").returncode == 0
    assert stack.final(notification_id)["status"] == "sent"
    shown = stack.shown(poisoned.notification_id, lambda seen: seen.get("status") == "sent")
    passes = [(one["pass"], one["status"], one["reason"]) for one in shown["deliveries"][0]["outcomes"]]
    assert sorted(passes) == [(2, "accepted", "replayed"), (2, "sent", "")]
    again = stack.manage("dead", "replay", *places, "--yes")
    assert again.stdout == "had been replayed 2\n"
    for user in ("user-dead-event", "user-dead-delivery"):
        assert len(stack.get(f"/api/v1/users/{user}/inbox").json["items"]) == 1


def test_replaying_everything_by_accident_is_refused(stack: StackClient) -> None:
    assert stack.manage("dead", "replay", "--yes").returncode == 2
