"""The metric catalogue obeys its own rules, and docs/metrics.md shows the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.domain.metric import ALL_PROCESSES, Metric
from app.domain.metric_catalogue import METRICS

DOCS = Path(__file__).parents[2] / "docs"
#: Labels by which a series could become one a user, an address or a notification.
PERSONAL = {"user", "user_id", "host", "address", "id", "notification_id", "delivery_id", "event_type", "url"}


def row(metric: Metric) -> str:
    """The line of docs/metrics.md."""
    name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    at = "all" if metric.at == ALL_PROCESSES else ", ".join(metric.at)
    return f"| `{name}` | {metric.kind} | {metric.unit} | {labels} | {at} | {metric.sentence} |"


def test_every_metric_has_its_row_and_no_other_has() -> None:
    shown = [line for line in (DOCS / "metrics.md").read_text().splitlines() if line.startswith("| `notify_")]
    assert "\n".join(shown) == "\n".join(map(row, METRICS))


def test_names_are_given_once() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_and_labelled_by_the_rules(metric: Metric) -> None:
    assert metric.name.startswith("notify_")
    assert metric.name.endswith(f"_{metric.unit}")
    assert metric.sentence.endswith(".")
    assert metric.at
    assert not PERSONAL & set(metric.labels)
    assert all(len(labels) == len(metric.labels) for labels in metric.zeros)
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(metric.buckets)
