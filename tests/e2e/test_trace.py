"""A client's trace goes on through all processes to the provider; spans are exported where that is set."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from app.domain.trace import read_traceparent, trace_id
from tests.support.any_stack import SharedSets
from tests.support.otlp_collector import Collector, otlp_collector
from tests.support.stack_client import StackClient, wait_until
from tests.support.webhook_receiver import WebhookReceiver, status, webhook_receiver

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{PARENT}-01"
CANARY = "canary"


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with webhook_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def stack(sets: SharedSets) -> StackClient:
    return sets.running()


def post(stack: StackClient, receiver: WebhookReceiver, *channels: str, **headers: str) -> str:
    """Post an event with a webhook; its id, once all is final."""
    answer = stack.post(
        {
            "user_id": f"{CANARY}-user",
            "event_type": "security_alert",
            "content": f"{CANARY} content",
            "options": {"channels": ["webhook", *channels], "to": {"webhook": f"{receiver.url}&{CANARY}"}},
        },
        **headers,
    )
    assert answer.status == 202
    stack.final(answer.json["id"])
    return str(answer.json["id"])


def test_a_webhook_gets_the_clients_trace_and_a_span_of_its_own(stack: StackClient, receiver: WebhookReceiver) -> None:
    """Also at its second try, which is another span."""
    receiver.then(status(503))
    notification_id = post(stack, receiver, "log", traceparent=GIVEN)
    got = [request.headers["traceparent"] for request in receiver.requests]
    assert len(set(got)) == 2
    assert {trace_id(read_traceparent(one)) for one in got} == {TRACE}
    assert all(PARENT not in one for one in got)
    logged = [json.loads(line) for line in re.findall(r"\| (\{.*notification_logged.*)", stack.log())]
    assert [line["trace_id"] for line in logged if line["notification_id"] == notification_id] == [TRACE]


def test_a_webhook_gets_a_trace_that_was_made_where_the_client_gave_none(
    stack: StackClient, receiver: WebhookReceiver
) -> None:
    post(stack, receiver)
    post(stack, receiver, traceparent="nonsense")
    traces = {trace_id(read_traceparent(request.headers["traceparent"])) for request in receiver.requests}
    assert len(traces) == 2
    assert "" not in traces


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    pytest.importorskip("opentelemetry.exporter.otlp", reason="the packages of requirements-otlp.in are not installed")
    with otlp_collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def exporting(sets: SharedSets, collector: Collector) -> StackClient:
    return sets.running(OTLP_ENDPOINT=collector.endpoint)


def test_each_step_of_the_way_is_a_span(
    exporting: StackClient, receiver: WebhookReceiver, collector: Collector
) -> None:
    notification_id = post(exporting, receiver, "in_app", traceparent=GIVEN)
    wanted = {"notifications.accept_one", "route", "batch", "deliver webhook", "deliver in_app"}
    wait_until(lambda: collector.of(TRACE).keys() >= wanted, "all spans are there")
    spans = collector.of(TRACE)
    request, route, deliver = spans["notifications.accept_one"], spans["route"], spans["deliver webhook"]
    assert request.parent_id == PARENT
    assert route.parent_id == request.span_id
    assert deliver.parent_id == spans["deliver in_app"].parent_id == route.span_id
    assert (request.part, route.part, deliver.part) == ("api", "router", "worker")
    [got] = [one.headers["traceparent"] for one in receiver.requests]
    assert got == f"00-{TRACE}-{deliver.span_id}-01"

    assert request.attributes["notification.ids"] == [notification_id]
    assert request.attributes["http.response.status_code"] == 202
    assert route.attributes["notification.id"] == deliver.attributes["notification.id"] == notification_id
    assert deliver.attributes["result"] == "ok"
    batch = spans["batch"]
    assert batch.trace_id != TRACE
    assert batch.attributes["notification.ids"] == [notification_id]
    assert batch.took_ms > 0


def test_a_call_that_fails_is_an_error(exporting: StackClient, receiver: WebhookReceiver, collector: Collector) -> None:
    other = TRACE[::-1]
    receiver.then(status(410))
    post(exporting, receiver, traceparent=GIVEN.replace(TRACE, other))
    wait_until(lambda: "deliver webhook" in collector.of(other), "its span is there")
    span = collector.of(other)["deliver webhook"]
    assert span.is_error
    assert span.attributes["result"] == "rejected"


def test_spans_hold_no_address_and_no_content(exporting: StackClient, collector: Collector) -> None:
    """The last of this file; what is counted is that spans came at all."""
    assert exporting.is_running
    assert collector.bodies
    assert not [body for body in collector.bodies if CANARY.encode() in body or b"127.0.0.1" in body]
