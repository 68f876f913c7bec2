"""What bridges show on `/metrics` beside what they count: looked up when somebody asks, in a thread of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast, runtime_checkable

from app.domain.channel import CHANNEL_BY_NAME
from app.domain.clock import now_ms
from app.domain.lane import ALL_TOPICS, LANE_BY_TOPIC, LANES, OUTCOMES_TOPIC, RAW_LOW_TOPIC, RAW_TOPIC, Lane, Priority
from app.domain.metric import Labels, Metric, Process
from app.domain.metric_catalogue import (
    BREAKERS,
    CALLBACKS_UNREAD,
    CALLBACKS_WAITING,
    OLDEST,
    OUT,
    PARKED,
    QUEUE,
    WAITING,
)
from app.settings import Settings
from bridges.loop import Bridge
from infrastructure import wiring
from infrastructure.kafka.groups import CALLBACKS_GROUP
from infrastructure.kafka.lag import LagReader
from infrastructure.telemetry.exposition import Exposition, Gauges, metrics_of
from infrastructure.telemetry.metrics_server import serve_metrics

Values = Mapping[Labels, float]

#: How old what is shown may be, seconds.
_LAG_S = 5.0
_NOW_S = 1.0
#: Counting parked rows, or callbacks, reads all of them.
_PARKED_S = 15.0

_TOPICS: Mapping[str, Sequence[str]] = {
    "router": (RAW_TOPIC, RAW_LOW_TOPIC),
    "dispatcher": tuple(topic for topic in ALL_TOPICS if topic in LANE_BY_TOPIC),
    "tracker": (OUTCOMES_TOPIC,),
}


@runtime_checkable
class SendsBatches(Protocol):
    """The dispatcher, as it is seen here."""

    def batches_out(self) -> Counter[Lane]:
        """How many batches are with the workers, by lane."""


def serve_bridges(bridges: Sequence[Bridge], settings: Settings, part: str) -> None:
    """Serve the metrics of the bridges that run in this process. Raises ConfigError."""
    gauges = [gauges for bridge in bridges for gauges in gauges_of(bridge, settings)]
    kinds = cast("list[Process]", [bridge.name for bridge in bridges])
    serve_metrics(settings, part, Exposition(metrics_of(*kinds), gauges).registry)


def gauges_of(bridge: Bridge, settings: Settings) -> list[Gauges]:
    """The gauges of a bridge. Connects to nothing before they are asked for."""
    gauges = []
    if bridge.name in _TOPICS:
        gauges.append(Gauges(_lag(settings, _TOPICS[bridge.name]), _LAG_S))
    if isinstance(bridge, SendsBatches):
        gauges.append(Gauges(_batches_out(bridge), _NOW_S))
        gauges += [Gauges(_breakers(settings), _NOW_S), Gauges(_queues(settings), _LAG_S)]
    if bridge.name == "scheduler":
        gauges.append(Gauges(_parked(settings), _PARKED_S))
    if bridge.name == "callbacks":
        gauges += [Gauges(_unread(settings), _LAG_S), Gauges(_callbacks(settings), _PARKED_S)]
    return gauges


def _batches_out(bridge: SendsBatches) -> Callable[[], Mapping[Metric, Values]]:
    def read() -> Mapping[Metric, Values]:
        out = bridge.batches_out()
        return {OUT: {(lane.queue,): out[lane] for lane in LANES}}

    return read


def _lag(settings: Settings, topics: Sequence[str]) -> Callable[[], Mapping[Metric, Values]]:
    reader = LagReader(settings, topics)

    def read() -> Mapping[Metric, Values]:
        lags = reader.read()
        return {
            WAITING: {(topic,): lag.records for topic, lag in lags.items()},
            OLDEST: {(topic,): lag.oldest_s for topic, lag in lags.items()},
        }

    return read


def _breakers(settings: Settings) -> Callable[[], Mapping[Metric, Values]]:
    breakers, channels = wiring.breakers(settings), wiring.channels(settings)

    def read() -> Mapping[Metric, Values]:
        now = now_ms()
        values: dict[Labels, float] = {}
        for spec in CHANNEL_BY_NAME.values():
            providers = () if spec.breaker_per_target else channels.providers(spec.name)
            if providers:
                states = [breakers.state(provider.breaker_key("")) for provider in providers]
                values[spec.name,] = float(all(state.open_until_ms > now for state in states))
        return {BREAKERS: values}

    return read


def _queues(settings: Settings) -> Callable[[], Mapping[Metric, Values]]:
    broker = wiring.broker_queues(settings)
    return lambda: {QUEUE: {(queue,): size for queue, size in broker.sizes().items()}}


def _parked(settings: Settings) -> Callable[[], Mapping[Metric, Values]]:
    store = wiring.parked(settings)

    def read() -> Mapping[Metric, Values]:
        # 0 where nothing is parked, so that the metric is there.
        values: dict[Labels, float] = {(str(priority), ""): 0.0 for priority in Priority}
        for queue, reasons in store.counts().items():
            for reason, rows in reasons.items():
                key = (queue.partition(".")[0], reason)
                values[key] = values.get(key, 0.0) + rows
        return {PARKED: values}

    return read


def _unread(settings: Settings) -> Callable[[], Mapping[Metric, Values]]:
    reader = LagReader(settings, (OUTCOMES_TOPIC,), group=CALLBACKS_GROUP)
    return lambda: {CALLBACKS_UNREAD: {(): float(sum(lag.records for lag in reader.read().values()))}}


def _callbacks(settings: Settings) -> Callable[[], Mapping[Metric, Values]]:
    receivers, pending = wiring.callback_receivers(settings), wiring.pending_callbacks(settings)

    def read() -> Mapping[Metric, Values]:
        failing = {one.key_id for one in receivers.list() if one.failing_since_ms}
        values: dict[Labels, float] = {("well",): 0.0, ("failing",): 0.0}
        for key_id, waiting in pending.counts().items():
            values["failing" if key_id in failing else "well",] += waiting
        return {CALLBACKS_WAITING: values}

    return read
