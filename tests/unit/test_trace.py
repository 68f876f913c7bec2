"""Trace context is read by the W3C's rules, and carried on; records of earlier versions have none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.domain.codec import decode, encode
from app.domain.delivery import Delivery
from app.domain.event import Event
from app.domain.lane import Priority
from app.domain.trace import NO_TRACER, child_of, read_traceparent, trace_id

ROOT = Path(__file__).parents[2]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GIVEN = f"00-{TRACE}-00f067aa0ba902b7-01"
OLD = b"""{"id": "d1", "notification_id": "n1", "channel": "log", "priority": "low", "accepted_at_ms": 1,
  "routed_at_ms": 1, "expires_at_ms": 2, "event": {"user_id": "u", "event_type": "t", "content": "c"}}"""


@pytest.mark.parametrize("text", [GIVEN, GIVEN.replace("00-", "01-", 1), GIVEN.replace("00-", "cc-", 1) + "-more"])
def test_what_is_a_traceparent_is_read_also_of_later_versions(text: str) -> None:
    assert read_traceparent(text) == GIVEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        GIVEN[:-1],
        GIVEN + "-more",
        GIVEN + "x",
        "01" + GIVEN[2:] + "more",
        GIVEN.upper(),
        GIVEN.replace("00-", "ff-", 1),
        GIVEN.replace(TRACE, "0" * 32),
        GIVEN.replace("00f067aa0ba902b7", "0" * 16),
        GIVEN + "\r\nX-Injected: 1",
    ],
)
def test_what_is_none_counts_as_not_given(text: str) -> None:
    assert read_traceparent(text) == ""


def test_a_child_is_another_span_of_the_same_trace() -> None:
    child = child_of(GIVEN)
    assert read_traceparent(child) == child
    assert trace_id(child) == TRACE
    assert child != GIVEN
    assert child.endswith("-01")


def test_where_there_is_no_trace_one_begins_that_nobody_records() -> None:
    one, other = child_of(""), child_of("")
    assert read_traceparent(one) == one
    assert one.endswith("-00")
    assert trace_id(one) != trace_id(other)


def test_without_an_export_a_span_carries_the_trace_on() -> None:
    span = NO_TRACER.start("request", parent=GIVEN)
    assert trace_id(span.traceparent) == TRACE
    assert not NO_TRACER.is_on


def test_deliveries_of_an_earlier_version_have_no_trace_and_need_no_field_for_it() -> None:
    old = decode(OLD, Delivery)
    assert old.traceparent == ""
    assert b"traceparent" not in encode(old)
    assert trace_id(old.next_pass().traceparent) == ""


def test_a_trace_goes_on_over_a_parking() -> None:
    event = Event(user_id="u", event_type="t", content="c")
    delivery = Delivery(
        id="d",
        notification_id="n",
        channel="log",
        priority=Priority.LOW,
        event=event,
        accepted_at_ms=1,
        routed_at_ms=1,
        expires_at_ms=2,
        traceparent=GIVEN,
    )
    assert decode(encode(delivery.next_pass()), Delivery).traceparent == GIVEN


def test_without_the_setting_no_part_loads_what_exports() -> None:
    """redis-py looks for OpenTelemetry's metrics by itself where they are installed; the exporter is ours alone."""
    program = (
        "import sys, app.http.wsgi, bridges.router, bridges.dispatcher, tasks.pipeline\n"
        "from app.settings import settings\nfrom infrastructure import wiring\n"
        "assert not wiring.tracer(settings(), 'x').is_on\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.exporter') or name.endswith('.otlp')])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
