"""What a process shows on `/metrics`: what its meter has counted, and gauges that are looked up when asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from app.domain.errors import StoreUnavailableError
from app.domain.meter import METER, Meter, Timed
from app.domain.metric import ALL_PROCESSES, Labels, Metric, Process
from app.domain.metric_catalogue import METRICS

_log = structlog.get_logger()

Value = TypeVar("Value")
Values = Mapping[Labels, float]
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class Gauges:
    """Gauges of one source, read at most every `every_s` seconds and only when somebody asks: no scrape, no cost.

    `read` gives each metric's values by label values. Where its store is away they are left out: old ones would lie.
    """

    def __init__(self, read: Callable[[], Mapping[Metric, Values]], every_s: float) -> None:
        self._read = read
        self._every_s = every_s
        self._lock = threading.Lock()
        self._values: Mapping[Metric, Values] = {}
        self._until = 0.0

    def values(self) -> Mapping[Metric, Values]:
        """What was read last, or is read now."""
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    self._values = self._read()
                except StoreUnavailableError as error:
                    _log.warning("gauges_unavailable", error=str(error))
                    self._values = {}
                self._until = time.monotonic() + self._every_s
            return self._values


class Exposition(Collector):
    """These metrics, by a meter and by gauges."""

    def __init__(self, metrics: Sequence[Metric], gauges: Sequence[Gauges] = (), meter: Meter = METER) -> None:
        self._metrics = metrics
        self._gauges = gauges
        self._meter = meter
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[Family]:
        """For Prometheus' client: every metric with its values by now."""
        readings = self._meter.readings()
        counts = _by_metric([(one.name, one.labels, one.value) for one in readings.counted])
        timed = _by_metric([(one.name, one.labels, one) for one in readings.timed])
        looked_up = {metric.name: values for source in self._gauges for metric, values in source.values().items()}
        for metric in self._metrics:
            if metric.kind == "counter":
                yield _counter(metric, counts.get(metric.name, {}))
            elif metric.kind == "histogram":
                yield _histogram(metric, timed.get(metric.name, {}))
            else:
                yield _gauge(metric, looked_up.get(metric.name, {}))


def metrics_of(*kinds: Process) -> list[Metric]:
    """What a process shows that is of these kinds."""
    return [metric for metric in METRICS if set(metric.at) & set(kinds)]


def shared_metrics() -> list[Metric]:
    """What every process shows, whatever it is: for one that counts its own elsewhere."""
    return [metric for metric in METRICS if metric.at == ALL_PROCESSES]


def _by_metric(found: Sequence[tuple[str, Labels, Value]]) -> dict[str, dict[Labels, Value]]:
    by_name: dict[str, dict[Labels, Value]] = {}
    for name, labels, value in found:
        by_name.setdefault(name, {})[labels] = value
    return by_name


def _counter(metric: Metric, values: Values) -> CounterMetricFamily:
    family = CounterMetricFamily(metric.name, metric.sentence, labels=metric.labels)
    for labels, value in (dict.fromkeys(metric.zeros, 0.0) | dict(values)).items():
        family.add_metric(labels, value)
    return family


def _gauge(metric: Metric, values: Values) -> GaugeMetricFamily:
    family = GaugeMetricFamily(metric.name, metric.sentence, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _histogram(metric: Metric, values: Mapping[Labels, Timed]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(metric.name, metric.sentence, labels=metric.labels)
    nothing = Timed(metric.name, (), [0] * (len(metric.buckets) + 1), 0.0)
    for labels, timed in (dict.fromkeys(metric.zeros, nothing) | dict(values)).items():
        bounds, upto = [*map(str, metric.buckets), "+Inf"], 0
        shown = []
        for bound, count in zip(bounds, timed.buckets, strict=True):
            upto += count
            shown.append((bound, upto))
        family.add_metric(labels, shown, timed.total)
    return family
