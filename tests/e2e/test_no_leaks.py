"""No address and no content in any log line, metric or page of Flower: canaries go through everything that fails."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from celery import Celery
from kombu import Queue

from app.domain.lane import FINISHED_TOPIC, LANES, OUTCOMES_TOPIC, RAW_TOPIC
from tests.support.any_stack import SharedSets
from tests.support.metrics import texts
from tests.support.smtp_receiver import SmtpReceiver, smtp_receiver
from tests.support.stack_client import PARTS, ROOT, StackClient, wait_until
from tests.support.topics import raw_headers, write
from tests.support.webhook_receiver import WebhookReceiver, hang, status, webhook_receiver

#: In every canary, whatever it is put into: an address, a URL, a word of the content.
MARK = "canary"


@pytest.fixture(scope="module")
def smtp() -> Iterator[SmtpReceiver]:
    with smtp_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def webhook() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def stack(sets: SharedSets, smtp: SmtpReceiver) -> StackClient:
    own = {"LOG_LEVEL": "debug", "SMTP_URL": smtp.url, "BREAKER_FAILURES": "1"}
    return sets.running(**own, PROVIDER_TIMEOUT_S="8", NOT_AFTER_S="20", NOT_AFTER_HIGH_S="20")


def event(**given: object) -> dict[str, object]:
    """An event that is full of canaries, for a user who is one."""
    number = uuid.uuid4().hex[:8]
    base: dict[str, object] = {
        "user_id": f"{MARK}-user-{number}",
        "event_type": "security_alert",
        "content": f"{MARK} content {number}",
        "metadata": {"device": f"{MARK}-device", f"{MARK}_key": [f"{MARK}-deep"]},
    }
    return base | given


def to(channel: str, address: str) -> dict[str, object]:
    return {"options": {"channels": [channel], "to": {channel: address}}}


def hook(webhook: WebhookReceiver) -> str:
    return f"http://{MARK}.localhost:{webhook.port}/{MARK}-path?token={MARK}-token"


def accepted(stack: StackClient, body: dict[str, object]) -> str:
    answer = stack.post(body)
    assert answer.status == 202, answer
    return str(answer.json["id"])


def flower(stack: StackClient, path: str) -> str:
    """A page of Flower's."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.flower_port, timeout=30)
    try:
        connection.request("GET", path, headers={"Authorization": f"Basic {stack.flower_auth()}"})
        response = connection.getresponse()
        assert response.status == 200, path
        return response.read().decode()
    finally:
        connection.close()


def flower_pages(stack: StackClient) -> dict[str, str]:
    """All that Flower tells, with what the workers have in hand at the moment."""
    pages = {path: flower(stack, path) for path in ("/api/workers?refresh=1", "/api/tasks?limit=1000", "/metrics")}
    pages |= {path: flower(stack, path) for path in ("/", "/workers", "/tasks", "/broker")}
    for worker in json.loads(pages["/api/workers?refresh=1"]):
        path = f"/api/workers?refresh=1&workername={quote(worker)}"  # for one worker it also tells what runs
        pages[path] = flower(stack, path)
        pages[worker] = flower(stack, f"/worker/{quote(worker)}")
    for task in list(json.loads(pages["/api/tasks?limit=1000"]))[:20]:
        pages[task] = flower(stack, f"/task/{task}") + flower(stack, f"/api/task/info/{task}")
    return pages


def inspect_active(stack: StackClient) -> str:
    """What `celery inspect active` prints."""
    argv = [sys.executable, "-m", "celery", "-A", "tasks", "inspect", "active", "--json", "--timeout", "2"]
    shown = subprocess.run(argv, cwd=ROOT, env=stack.environ, capture_output=True, text=True, timeout=60, check=True)
    return shown.stdout


def send_unknown_task(stack: StackClient) -> None:
    """What a worker of another version would put on a queue."""
    with Celery(broker=stack.endpoints()["broker_url"]) as app:
        body = [{"head": {"queue": "high.log"}, "items": [{"content": f"{MARK} content"}]}]
        app.send_task("a_step_of_tomorrow", args=body, queue=Queue("high.log", exchange="", routing_key="high.log"))


def leaks(where: dict[str, str]) -> list[str]:
    return [f"{name}: {line[:300]}" for name, text in where.items() for line in text.splitlines() if MARK in line]


def test_a_way_through_everything_that_works_and_fails(
    stack: StackClient, smtp: SmtpReceiver, webhook: WebhookReceiver
) -> None:
    """Nothing is looked for yet; each failure is known to have happened."""
    stack.put(f"/api/v1/users/{MARK}-known", {"contacts": {"email": f"{MARK}@example.com", "phone": f"+49{MARK}"}})
    stack.put(f"/api/v1/users/{MARK}-known/preferences", {"channels": {f"{MARK}": {"email": False}}})
    stack.get(f"/api/v1/users/{MARK}-nobody")
    stack.get(f"/{MARK}?{MARK}={MARK}")
    refused = stack.post(event(**{f"{MARK}_field": 1}), Idempotency_Key=f'"{MARK}"')
    assert refused.status == 422
    assert stack.request("POST", "/api/v1/notifications", f"{{{MARK}".encode()).status == 400

    sent = accepted(stack, event(user_id=f"{MARK}-known", **to("email", f"{MARK}.sent@example.com")))
    assert stack.final(sent)["status"] == "sent"
    smtp.then("rcpt", f"550 no {MARK}.refused@example.com here")
    smtp.then("data", "451 later", "451 later")
    failed = [
        accepted(stack, event(**to("email", f"{MARK}.refused@example.com"))),
        accepted(stack, event(**to("email", f"{MARK} is no address"))),
        accepted(stack, event(**to("webhook", f"http://10.0.0.1/{MARK}?token={MARK}"))),
        accepted(stack, event(**to("webhook", f"http://{MARK}.invalid/{MARK}")) | {"event_type": "load_high"}),
        accepted(stack, event(event_type="looping", content=f"{MARK}")),
        accepted(stack, event(event_type="subject_from_client", metadata={"title": f"{MARK}\nBcc: {MARK}"})),
        accepted(stack, event(**to("chat", f"discord://{MARK}?template=/{MARK}"))),
        accepted(stack, event(**to("chat", f"json://{MARK}.localhost/{MARK}-token"))),
    ]
    webhook.then(status(410), status(503), status(503))
    failed.append(accepted(stack, event(**to("webhook", webhook.url + f"&{MARK}-token"))))
    for notification_id in [failed[0], failed[1], failed[2], *failed[4:]]:
        stack.final(notification_id)
    later = accepted(stack, event(**to("webhook", webhook.url + f"&{MARK}-later")))
    assert stack.final(later)["status"] == "sent"


def test_a_way_through_records_that_are_none(stack: StackClient) -> None:
    notification_id = str(uuid.uuid4())
    body = json.dumps(event(options={"priority": f"{MARK}-priority"})).encode()
    write(stack, RAW_TOPIC, body, raw_headers(notification_id))
    write(stack, RAW_TOPIC, f"{{{MARK}".encode(), raw_headers(str(uuid.uuid4())))
    for lane in LANES[:2]:
        write(stack, lane.topic, json.dumps({"id": "1", "priority": f"{MARK}"}).encode(), {MARK: MARK.encode()})
    write(stack, OUTCOMES_TOPIC, json.dumps({"status": f"{MARK}"}).encode(), {})
    write(stack, FINISHED_TOPIC, json.dumps({"queue": f"{MARK}", "open": MARK}).encode(), {})
    wait_until(lambda: stack.history.outcomes(notification_id), "it is recorded")
    send_unknown_task(stack)
    wait_until(lambda: "unregistered task" in stack.log(), "Celery told of a task it does not know")
    for line in ("lane_record_undecodable", "outcome_undecodable", "finished_undecodable", "event_not_routed"):
        wait_until(lambda line=line: line in stack.log(), line)


def test_flower_and_inspect_tell_nothing_of_what_workers_have_in_hand(
    stack: StackClient, webhook: WebhookReceiver
) -> None:
    """While a call hangs; then its worker is killed, which Celery has something to say about."""
    webhook.then(hang, hang)
    body = event(**to("webhook", webhook.url + f"&{MARK}-hangs"))
    before = len(webhook.requests)
    accepted(stack, body)
    wait_until(lambda: len(webhook.requests) > before, "a call hangs")
    inspected = inspect_active(stack)
    assert "high.webhook" in inspected
    pages = flower_pages(stack)
    running = [
        name for name, text in pages.items() if "workername" in name and '"args": "(\'high.webhook\', 1)"' in text
    ]
    assert running, "no page tells of the batch in hand"
    assert not leaks(pages)
    assert not leaks({"celery inspect active": inspected})
    for pool in ("worker-high", "worker"):
        for child in stack.children(pool):
            child.send_signal(signal.SIGKILL)
    webhook.released.set()
    wait_until(lambda: "signal 9" in stack.log() or "WorkerLostError" in stack.log(), "the kill is logged")


def test_a_worker_and_a_store_that_die_tell_nothing(stack: StackClient) -> None:
    """Redis is away while deliveries are under way."""
    with stack.redis_frozen():
        accepted(stack, event(**to("email", f"{MARK}.redis@example.com")))
        wait_until(lambda: "redis" in stack.log(), "somebody missed it")
    stack.final(accepted(stack, event(options={"channels": ["in_app", "log"]})))


def test_no_canary_anywhere(stack: StackClient) -> None:
    """The last of this file: all logs of all parts at every level, all metrics, all of Flower."""
    assert not leaks(stack.all_logs())
    assert not leaks(texts(stack))
    assert not leaks(flower_pages(stack))


def test_every_line_of_our_parts_is_json_and_those_about_a_notification_have_its_id(stack: StackClient) -> None:
    ours = [line for part, line in stack.lines() if part in PARTS]
    assert ours
    read = []
    for line in ours:
        assert line.startswith("{"), line
        read.append(json.loads(line))
    assert {"debug", "info", "warning", "error"} >= {line["level"] for line in read}
    about = [line for line in read if "delivery_id" in line]
    assert about
    assert all(line.get("notification_id") for line in about), about
