"""/metrics: what the HTTP process counts and times, in Prometheus' text format. The catalogue has their names."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import flask
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Counter, Histogram, generate_latest

from app.domain import codec
from app.domain.errors import TopicFullError
from app.domain.lane import RAW_LOW_TOPIC, RAW_TOPIC
from app.domain.metric import Metric
from app.domain.metric_catalogue import ACCEPTED, ACK, ACK_BUCKETS_S, NOT_TAKEN, RECEIPTS, REFUSED, REQUESTS
from app.domain.ports import RawRecord
from app.http.problems import CONTENT_TYPE, KINDS, MALFORMED, TOPIC_FULL, TYPE_PREFIX, UNAVAILABLE, Problem

PATH = "/metrics"
MEDIA_TYPE = CONTENT_TYPE_PLAIN_0_0_4
#: Where the application keeps them.
EXTENSION = "metrics"
UNMATCHED = "unmatched"
OTHER = "other"

_KIND_NAMES = {TYPE_PREFIX + kind.name: kind.name for kind in KINDS}


class HttpMetrics:
    """The metrics of one application, in a registry of its own. Safe between threads; each call takes microseconds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = self._counter(REQUESTS)
        self._refused = self._counter(REFUSED)
        self._receipts = self._counter(RECEIPTS)
        self._ack = Histogram(ACK.name, ACK.sentence, unit=ACK.unit, buckets=ACK_BUCKETS_S, registry=self.registry)
        # Made at once, so that what never happened is shown as 0.
        accepted, not_taken = self._counter(ACCEPTED), self._counter(NOT_TAKEN)
        self._accepted = {is_low: accepted.labels(RAW_LOW_TOPIC if is_low else RAW_TOPIC) for is_low in (False, True)}
        self._not_taken = {kind: not_taken.labels(kind.name) for kind in (TOPIC_FULL, UNAVAILABLE)}

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.sentence, metric.labels, unit=metric.unit, registry=self.registry)

    def install(self, app: flask.Flask) -> None:
        """Count and time every request of the application, whatever becomes of it."""
        app.extensions[EXTENSION] = self
        app.before_request(_note_start)
        app.after_request(self._count)

    def published(self, records: Sequence[RawRecord], errors: Sequence[Exception | None]) -> None:
        """Count what Kafka said of the events of the request at hand; per record None or what went wrong."""
        is_any_accepted = False
        for record, error in zip(records, errors, strict=True):
            if error is None:
                is_any_accepted = True
                self._accepted[record.is_low].inc()
            else:
                self._not_taken[TOPIC_FULL if isinstance(error, TopicFullError) else UNAVAILABLE].inc()
        if is_any_accepted:
            self._ack.observe(perf_counter() - flask.g.started_at_s)

    def receipt(self, provider: str, result: str) -> None:
        """Count what a provider reported; its name is one of the file of providers."""
        self._receipts.labels(provider, result).inc()

    def _count(self, response: flask.Response) -> flask.Response:
        self._requests.labels(flask.request.endpoint or UNMATCHED, response.status_code).inc()
        if response.status_code >= MALFORMED.status:
            self._refused.labels(response.status_code, _kind_name(response)).inc()
        return response


def blueprint(metrics: HttpMetrics) -> flask.Blueprint:
    """The resource."""
    routes = flask.Blueprint("metrics", __name__)

    @routes.get(PATH)
    def show() -> flask.Response:
        return flask.Response(generate_latest(metrics.registry), content_type=MEDIA_TYPE)

    return routes


def _note_start() -> None:
    flask.g.started_at_s = perf_counter()


def _kind_name(response: flask.Response) -> str:
    if response.content_type != CONTENT_TYPE:
        return OTHER
    return _KIND_NAMES.get(codec.decode(response.get_data(), Problem).type, OTHER)
