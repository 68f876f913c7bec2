"""Every metric of the HTTP process: its name with its unit, its labels, and what it tells.

Labels hold words of the code alone (topics, endpoints, problem types, status codes), nothing that a client sent.
"""

from __future__ import annotations

from msgspec import Struct


class Metric(Struct, frozen=True, kw_only=True):
    """A metric. `name` ends in `unit`; Prometheus shows a counter with `_total` behind it."""

    name: str
    unit: str
    sentence: str
    labels: tuple[str, ...] = ()


METRICS = (
    REQUESTS := Metric(
        name="notify_http_requests",
        unit="requests",
        sentence="Requests answered, by endpoint (unmatched: there is none) and status code.",
        labels=("endpoint", "status"),
    ),
    REFUSED := Metric(
        name="notify_http_refused_requests",
        unit="requests",
        sentence="Requests answered with a problem, by status code and problem type (other: one of the framework's).",
        labels=("status", "problem"),
    ),
    ACCEPTED := Metric(
        name="notify_http_accepted_events",
        unit="events",
        sentence="Events that Kafka has acknowledged, by topic.",
        labels=("topic",),
    ),
    NOT_TAKEN := Metric(
        name="notify_http_not_taken_events",
        unit="events",
        sentence="Events answered with 503, alone or in a batch, by cause (full: the topic; unavailable: no ack).",
        labels=("cause",),
    ),
    ACK := Metric(
        name="notify_http_ack_seconds",
        unit="seconds",
        sentence="From the start of a request to Kafka's acknowledgement of its events; only where at least one came.",
    ),
)

#: Upper bounds in seconds: a local broker answers within a few milliseconds, the default time-out is 5 s.
ACK_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
