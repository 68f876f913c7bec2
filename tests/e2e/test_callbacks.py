"""A sender with an API key is told what became of what it sent, by real processes, over failures and kills."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from standardwebhooks import Webhook

from app.domain.metric_catalogue import METRICS
from tests.support.any_stack import SharedSets
from tests.support.metrics import samples, value
from tests.support.stack_client import StackClient, wait_until
from tests.support.webhook_receiver import WebhookReceiver, status, webhook_receiver

SENT = {"user_id": "told-1", "event_type": "load_high", "content": "The content of it"}
#: Its template lacks what this event leaves out.
FAILED = SENT | {"event_type": "subject_from_client", "options": {"to": {"email": "told-2@example.com"}}}
WITHIN_S = 60.0


class Sender(NamedTuple):
    """Who sends: its key, the key's id, and what signs its callbacks."""

    token: str
    key_id: str
    secret: str


@pytest.fixture(scope="module")
def stack(sets: SharedSets) -> StackClient:
    """Asks for keys; what a killed process had taken over is due again soon."""
    return sets.running(HTTP_AUTH="keys", CALLBACK_TIMEOUT_S="2")


@pytest.fixture(scope="module")
def receiver() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def sender(stack: StackClient, receiver: WebhookReceiver) -> Sender:
    made = stack.manage("keys", "create", "shop", "--scope", "send", "--json")
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)
    put = stack.manage("keys", "callback", "set", key["id"], receiver.url, "--json")
    assert put.returncode == 0, put.stderr
    return Sender(key["key"], key["id"], json.loads(put.stdout)["secret"])


def post(stack: StackClient, sender: Sender, event: dict[str, object]) -> str:
    answer = stack.post(event, Authorization=f"Bearer {sender.token}")
    assert answer.status == 202
    return str(answer.json["id"])


def told(receiver: WebhookReceiver) -> set[tuple[str, str]]:
    """(notification id, type) of what was called so far."""
    bodies = [json.loads(request.body) for request in list(receiver.requests)]
    return {(body["data"]["notification_id"], body["type"]) for body in bodies}


def test_sent_and_failed_are_told_and_told_again_after_a_500(
    stack: StackClient, sender: Sender, receiver: WebhookReceiver
) -> None:
    receiver.then(status(500))
    wanted = {
        (post(stack, sender, SENT), "notification.sent"),
        (post(stack, sender, FAILED), "notification.failed"),
    }
    wait_until(lambda: len(receiver.requests) >= 3 and told(receiver) == wanted, "both are told, one twice", WITHIN_S)
    for request in receiver.requests:
        Webhook(sender.secret).verify(request.body, request.headers)
        assert b"The content" not in request.body
        assert b"told-" not in request.body
    assert sorted(Counter(request.headers["webhook-id"] for request in receiver.requests).values()) == [1, 2]
    bodies = [json.loads(request.body) for request in receiver.requests]
    failed = next(body["data"] for body in bodies if body["type"] == "notification.failed")
    assert (failed["channel"], failed["status"], failed["reason"]) == ("email", "failed", "template_error")


def test_kills_lose_no_callback(stack: StackClient, sender: Sender, receiver: WebhookReceiver) -> None:
    times = stack.times_ready("callbacks")
    wanted = set()
    for number in range(30):
        wanted.add((post(stack, sender, SENT | {"user_id": f"killed-{number}"}), "notification.sent"))
        if number in (5, 20):
            stack.kill("callbacks")
            times += 1
            stack.wait_ready("callbacks", times)
    wait_until(lambda: wanted <= told(receiver), "all are told", WITHIN_S)


def test_what_happens_is_shown(stack: StackClient, sender: Sender, receiver: WebhookReceiver) -> None:
    names = {one.name for one in METRICS if one.at == ("callbacks",)}
    shown = {sample.name for part, sample in samples(stack) if part == "callbacks"}
    assert not [name for name in names if not any(one.startswith(name) for one in shown)]
    receiver.then(status(410))
    post(stack, sender, SENT)

    def record() -> dict[str, object]:
        found: dict[str, object] = json.loads(stack.manage("keys", "callback", "show", sender.key_id, "--json").stdout)
        return found

    wait_until(lambda: record()["disabled_why"] == "gone", "it is disabled", WITHIN_S)
    assert value(stack, "notify_disabled_receivers_total", why="gone") == 1
    assert [line for _, line in stack.lines() if "callbacks_disabled" in line and sender.key_id in line]
    for secret in (sender.token.rpartition("_")[2], sender.secret.removeprefix("whsec_"), "/hook?a=1"):
        assert not [name for name, text in stack.all_logs().items() if secret in text]
