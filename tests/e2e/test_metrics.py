"""Every metric of the catalogue is shown by the processes of a set, and tells what happened."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from app.domain.metric_catalogue import METRICS
from tests.support.any_stack import SharedSets
from tests.support.metrics import samples, value
from tests.support.stack_client import PARTS, POOLS, StackClient, wait_until
from tests.support.webhook_receiver import WebhookReceiver, status, webhook_receiver

ALERT = {"user_id": "user-001", "event_type": "security_alert", "content": "Suspicious login"}
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
#: A process that this set has not: `test_callbacks.py` looks at it.
ONLY_WITH_KEYS = ("callbacks",)
#: What providers report, of which this set has none that does: `test_http_receipts.py` looks at it.
ONLY_REPORTED = "notify_http_receipts"
#: Two looks of Prometheus in a row see a gauge at most this old.
FRESH_S = 20.0


@pytest.fixture(scope="module")
def receiver() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def stack(sets: SharedSets) -> StackClient:
    """Fresh: nothing was counted before."""
    sets.stop()
    return sets.running()


def webhook(receiver: WebhookReceiver, user_id: str) -> dict[str, object]:
    return ALERT | {"user_id": user_id, "options": {"channels": ["webhook"], "to": {"webhook": receiver.url}}}


def test_every_metric_is_shown_after_a_notification_and_a_failure(
    stack: StackClient, receiver: WebhookReceiver
) -> None:
    receiver.then(status(410), status(503))
    stack.final(stack.post(ALERT).json["id"])
    stack.final(stack.post(webhook(receiver, "user-refused")).json["id"])
    stack.final(stack.post(webhook(receiver, "user-later")).json["id"])
    assert stack.post({}).status == 422

    metrics = [one for one in METRICS if one.at != ONLY_WITH_KEYS and one.name != ONLY_REPORTED]

    def missing() -> set[str]:
        shown = {sample.name for _, sample in samples(stack)}
        wanted = {f"{one.name}{suffix}" for one in metrics for suffix in SUFFIXES[one.kind]}
        return wanted - shown

    wait_until(lambda: not missing(), "all are shown", FRESH_S, look_s=1.0)
    for metric in metrics:
        parts = {part for part, sample in samples(stack) if sample.name.startswith(f"{metric.name}")}
        kinds = {"http" if part == "api" else part.partition("-")[0] for part in parts}
        assert kinds == set(metric.at) - set(ONLY_WITH_KEYS), metric.name


def test_they_tell_what_happened(stack: StackClient, receiver: WebhookReceiver) -> None:
    """Of the test before: three accepted events, 3 + 1 + 1 deliveries; one refused for good, one for a while."""
    assert value(stack, "notify_http_accepted_events_total") == 3
    assert value(stack, "notify_routed_deliveries_total") == 5
    sent = {"channel": "webhook", "status": "sent"}
    wait_until(lambda: value(stack, "notify_outcome_deliveries_total", **sent) == 1, "the second webhook is sent")
    outcomes = {
        (sample.labels["channel"], sample.labels["status"], sample.labels["reason"]): sample.value
        for _, sample in samples(stack)
        if sample.name == "notify_outcome_deliveries_total"
    }
    assert outcomes == {
        ("email", "sent", ""): 1,
        ("in_app", "sent", ""): 1,
        ("push", "suppressed", "channel_not_configured"): 1,
        ("webhook", "failed", "provider_rejected"): 1,
        ("webhook", "parked", "provider_transient"): 1,
        ("webhook", "sent", ""): 1,
    }
    calls = {
        result: value(stack, "notify_provider_call_seconds_count", channel="webhook", result=result)
        for result in ("ok", "rejected", "transient")
    }
    assert calls == {"ok": 1, "rejected": 1, "transient": 1}
    assert value(stack, "notify_unparked_deliveries_total") == 1
    assert value(stack, "notify_found_claims_total", state="taken") == 6
    assert value(stack, "notify_step_seconds_count", step="record") == value(stack, "notify_batch_deliveries_count")
    assert value(stack, "notify_tracked_outcomes_total") == 6
    assert value(stack, "notify_failed_steps_total") == 0


def test_what_waits_is_seen_with_its_age_while_workers_hang(stack: StackClient) -> None:
    topic = {"topic": "notifications.low.log"}
    options = {"channels": ["log"], "priority": "low"}
    stack.signal_workers(signal.SIGSTOP)
    try:
        for _ in range(3):
            assert stack.post(ALERT | {"options": options}).status == 202

        def dispatchers(name: str) -> float:
            found = [one for part, one in samples(stack, but=POOLS) if one.name == name]
            return max(one.value for one in found if topic.items() <= one.labels.items())

        wait_until(lambda: dispatchers("notify_waiting_records") == 3, "three wait", FRESH_S, look_s=1.0)
        wait_until(lambda: dispatchers("notify_oldest_record_age_seconds") > 2, "they grow old", FRESH_S, look_s=1.0)
    finally:
        stack.signal_workers(signal.SIGCONT)
    wait_until(lambda: not value(stack, "notify_waiting_records", **topic), "none waits", FRESH_S, look_s=1.0)


def test_a_pools_counters_go_on_when_a_child_dies(stack: StackClient) -> None:
    before = value(stack, "notify_outcome_deliveries_total", channel="in_app")
    stack.kill_child("worker-high")
    stack.kill_child("worker")
    options = {"channels": ["in_app"]}
    for number in range(5):
        stack.final(stack.post(ALERT | {"user_id": f"after-{number}", "options": options}).json["id"])
    after = {"channel": "in_app"}
    wait_until(lambda: value(stack, "notify_outcome_deliveries_total", **after) == before + 5, "all are counted")


def test_each_part_shows_them(stack: StackClient) -> None:
    """Each of its processes, too: the set's API may have several. The embedded set's banner tells where."""
    targets = stack.metrics_targets()
    parts = set(PARTS) - {"mailbox"}
    assert {part for part, _ in targets} == parts
    assert len({address for _, address in targets}) == len(targets)
    if stack.profile == "real":
        assert [part for part, _ in targets].count("api") == 2
        return
    shown = [line for line in stack.log().splitlines() if "/metrics" in line]
    assert {part for part in parts if any(f" {part} http://127.0.0.1:" in line for line in shown)} == parts
