"""When a lane may send: children left free, bytes in the broker, breakers, limits, room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from app.domain.errors import StoreUnavailableError
from app.domain.lane import LANES, Lane, Priority
from app.domain.ports import BreakerState, Pace, SwitchedOff
from app.settings import Settings
from bridges.dispatch import gate as gate_module
from bridges.dispatch import known as known_module
from bridges.dispatch.channel_bound import Traffic
from bridges.dispatch.gate import Gate
from bridges.dispatch.known import Recent

HIGH, MEDIUM, LOW = (Lane(priority, "email") for priority in Priority)
LOW_WEBHOOK, HIGH_LOG, LOW_LOG = Lane(Priority.LOW, "webhook"), Lane(Priority.HIGH, "log"), Lane(Priority.LOW, "log")
BYTES = 1000
NOTHING = Traffic({})
UNTIL_MS = 20_000


def children(**by_priority: int) -> dict[str, int]:
    """As the workers announce it: how many children serve each queue of these priorities."""
    return {lane.queue: by_priority[lane.priority] for lane in LANES if lane.priority in by_priority}


# readings


class Clock:
    """A clock that stands until it is moved, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(gate_module, "time", made)
    monkeypatch.setattr(known_module, "time", made)
    monkeypatch.setattr(gate_module, "now_ms", lambda: int(made.now * 1000))
    return made


def test_a_reading_is_repeated_when_it_is_old(clock: Clock) -> None:
    values = iter([1, 2])
    recent = Recent(lambda: next(values), 0.5, 0)
    assert (recent(), recent()) == (1, 1)
    clock.now += 0.5
    assert recent() == 2


def test_where_its_store_is_away_the_last_one_stands_and_nobody_asks_for_a_while(clock: Clock) -> None:
    asked: list[float] = []

    def read() -> int:
        asked.append(clock.now)
        if len(asked) == 1:
            return 7
        raise StoreUnavailableError("redis")

    recent = Recent(read, 0.1, 0)
    recent()
    clock.now += 0.1
    assert recent() == 7
    clock.now += 1.0
    assert recent() == 7
    assert len(asked) == 2
    clock.now += 1.0
    recent()
    assert len(asked) == 3


def test_before_the_first_reading_stands_what_was_given(clock: Clock) -> None:
    def away() -> bool:
        raise StoreUnavailableError("redis")

    assert Recent(away, 0.1, first=False)() is False


# the gate


class Around:
    """What the gate asks, as the test sets it."""

    def __init__(self) -> None:
        self.children: Mapping[str, int] = children(high=4, medium=4, low=4)
        self.sizes: dict[str, int] = {}
        self.lengths: dict[str, int] = {}
        self.asked_lengths = 0
        self.answers_after_s = 0.0
        self.has_room = True
        self.pace = Pace(granted=5)
        self.open_until_ms = 0
        self.has_redis = True
        self.has_place = True
        self.providers: dict[str, list[Any]] = {"push": []}
        self.open: dict[str, int] = {}
        self.off: dict[str, SwitchedOff] = {}

    def ask(self, answer: Callable[[], Any]) -> Any:
        if not self.has_redis:
            raise StoreUnavailableError("redis")
        return answer()


@pytest.fixture
def around() -> Around:
    return Around()


@pytest.fixture
def gate(around: Around, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Gate:
    provider = SimpleNamespace(name="only", breaker_key=lambda address: f"breaker of {address}")

    def lengths() -> Mapping[str, int]:
        around.asked_lengths += 1
        clock.now += around.answers_after_s
        return around.lengths

    broker = SimpleNamespace(sizes=lambda: around.ask(lambda: around.sizes), lengths=lambda: around.ask(lengths))
    doubles = {
        "batch_leases": SimpleNamespace(take=lambda *_, **__: around.ask(lambda: around.has_place)),
        "lane_limits": SimpleNamespace(ask=lambda queue, wanted: around.ask(lambda: around.pace)),
        "local_limits": SimpleNamespace(ask=lambda queue, wanted: Pace(granted=wanted)),
        "breakers": SimpleNamespace(
            state=lambda key: BreakerState(open_until_ms=around.open.get(key, around.open_until_ms), level=1),
            off=lambda name: around.off.get(name),  # noqa: PLW0108 - a test exchanges the dict
        ),
        "channels": SimpleNamespace(providers=lambda channel: around.providers.get(channel, [provider])),
        "broker_queues": broker,
        "worker_registry": SimpleNamespace(children=lambda: around.ask(lambda: around.children)),
    }
    for name, double in doubles.items():
        monkeypatch.setattr(gate_module.wiring, name, lambda _, made=double: made)
    writer: Any = SimpleNamespace(has_room=lambda topic: around.has_room)
    return Gate(Settings(queue_bytes=BYTES), writer)


def two() -> list[Any]:
    """Providers of a channel, each with a breaker of its own."""
    return [SimpleNamespace(name=name, breaker_key=lambda _, name=name: name) for name in ("one", "other")]


def enter(gate: Gate, lane: Lane) -> bool:
    return gate.enter(lane, 0, not_after_ms=UNTIL_MS, life_ms=20_000, traffic=NOTHING, share=1.0)


def test_a_channel_without_a_place_is_left_alone_for_a_moment(gate: Gate, around: Around, clock: Clock) -> None:
    assert enter(gate, LOW)
    around.has_place = False
    assert not enter(gate, LOW)
    assert not gate.may_send(LOW, NOTHING)
    clock.now += gate_module._PLACE_S
    assert gate.may_send(LOW, NOTHING)


def test_without_redis_medium_and_low_take_no_place(gate: Gate, around: Around) -> None:
    around.has_redis = False
    assert enter(gate, HIGH)
    assert not enter(gate, LOW)


def test_what_is_out_here_is_enough_to_say_no(gate: Gate) -> None:
    assert not gate.may_send(HIGH, Traffic({HIGH: 3}))


def test_the_brokers_bytes_are_bounded_whoever_sent_them(gate: Gate, around: Around) -> None:
    around.sizes = {"low.log": 499, "high.log": 500}
    assert gate.may_send(HIGH_LOG, NOTHING)
    assert gate.may_send(LOW_LOG, NOTHING)


def test_low_and_medium_have_half_of_the_brokers_bytes(gate: Gate, around: Around) -> None:
    around.sizes = {"low.log": 300, "medium.email": 200}
    assert not gate.may_send(LOW_LOG, NOTHING)
    assert gate.may_send(HIGH_LOG, NOTHING)


def test_a_full_broker_holds_high_too(gate: Gate, around: Around) -> None:
    around.sizes = {"high.log": BYTES}
    assert not gate.may_send(HIGH_LOG, NOTHING)
    assert not gate.may_send(LOW_LOG, NOTHING)


def test_without_room_for_outcomes_nothing_goes(gate: Gate, around: Around) -> None:
    around.has_room = False
    assert not gate.may_send(HIGH_LOG, NOTHING)


def test_an_open_breaker_pauses_the_lane_until_it_is_half_open(gate: Gate, around: Around, clock: Clock) -> None:
    around.open_until_ms = int(clock.now * 1000) + 1000
    assert not gate.may_send(HIGH, NOTHING)
    clock.now += 1.0
    assert gate.may_send(HIGH, NOTHING)


def test_of_several_providers_all_must_be_left_alone(gate: Gate, around: Around, clock: Clock) -> None:
    around.providers["email"] = two()
    later = int(clock.now * 1000) + 1000
    around.open = {"one": later}
    assert gate.may_send(HIGH, NOTHING)
    around.open["other"] = later
    assert not gate.may_send(HIGH, NOTHING)


def test_a_channel_whose_providers_are_all_disabled_or_left_alone_is_paused(
    gate: Gate, around: Around, clock: Clock
) -> None:
    around.providers["email"] = two()
    around.off = {"one": SwitchedOff(at_ms=1)}
    assert gate.may_send(LOW, NOTHING)
    around.open = {"other": int(clock.now * 1000) + 500}
    assert not gate.may_send(LOW, NOTHING)
    around.off["other"], around.open = SwitchedOff(at_ms=1), {}
    assert not gate.may_send(HIGH, NOTHING)


def test_webhooks_are_paused_by_an_operator_alone(gate: Gate, around: Around) -> None:
    around.off = {"only": SwitchedOff(at_ms=1)}
    assert not gate.may_send(LOW_WEBHOOK, NOTHING)


def test_a_hosts_breaker_and_a_channel_without_provider_pause_no_lane(gate: Gate, around: Around, clock: Clock) -> None:
    around.open_until_ms = int(clock.now * 1000) + 1000
    assert gate.may_send(LOW_WEBHOOK, NOTHING)
    assert gate.may_send(Lane(Priority.HIGH, "push"), NOTHING)


def test_a_lane_over_its_limit_is_held_for_as_long_as_it_was_told(gate: Gate, around: Around, clock: Clock) -> None:
    assert gate.allowance(LOW, 10) == 5
    assert gate.may_send(LOW, NOTHING)
    around.pace = Pace(granted=0, retry_after_s=0.3)
    assert gate.allowance(LOW, 10) == 0
    assert not gate.may_send(LOW, NOTHING)
    assert gate.may_send(MEDIUM, NOTHING), "the others go on"
    clock.now += 0.3
    assert gate.may_send(LOW, NOTHING)


@pytest.mark.parametrize("lane", [MEDIUM, LOW])
def test_without_redis_medium_and_low_are_not_asked_for(gate: Gate, around: Around, lane: Lane) -> None:
    around.has_redis = False
    assert gate.allowance(lane, 10) == 0


@pytest.mark.parametrize("lane", [MEDIUM, LOW_LOG])
def test_without_redis_medium_and_low_stay_in_kafka_until_it_answers(
    gate: Gate, around: Around, clock: Clock, lane: Lane
) -> None:
    around.has_redis = False
    assert not gate.may_send(lane, NOTHING)
    around.has_redis = True
    clock.now += known_module._PAUSE_S
    assert gate.may_send(lane, NOTHING)


def test_without_redis_high_goes_by_limits_of_this_process(gate: Gate, around: Around) -> None:
    around.has_redis = False
    assert gate.allowance(HIGH, 10) == 10
    assert gate.may_send(HIGH, NOTHING)


def test_a_queue_was_empty_only_where_the_broker_says_so(gate: Gate, around: Around, clock: Clock) -> None:
    around.lengths = {"high.email": 0, "low.email": 2}
    assert gate.empty_at_ms("high.email") == int(clock.now * 1000)
    assert gate.empty_at_ms("low.email") == 0


def test_however_many_copies_are_overdue_the_queues_are_asked_for_ten_times_a_second(
    gate: Gate, around: Around, clock: Clock
) -> None:
    around.lengths = {"high.email": 0, "low.email": 2}
    asked_ms = int(clock.now * 1000)
    for _ in range(50):
        assert gate.empty_at_ms("high.email") == asked_ms, "what is known is as old as it is"
        gate.empty_at_ms("low.email")
        clock.now += 0.001
    assert around.asked_lengths == 1
    clock.now += gate_module._QUEUES_S
    assert gate.empty_at_ms("high.email") == int(clock.now * 1000)
    assert around.asked_lengths == 2


def test_while_the_broker_does_not_answer_nobody_knows_of_an_empty_queue(
    gate: Gate, around: Around, clock: Clock
) -> None:
    """Not by the last reading either: the clock may have been set back since, and make it look new."""
    around.lengths = {"high.email": 0}
    assert gate.empty_at_ms("high.email")
    around.has_redis = False
    clock.now += gate_module._QUEUES_S
    assert gate.empty_at_ms("high.email") == 0


def test_a_queue_counts_as_empty_from_the_asking_on_not_from_the_answer(
    gate: Gate, around: Around, clock: Clock
) -> None:
    around.lengths, around.answers_after_s = {"high.email": 0}, 3.0
    asked_ms = int(clock.now * 1000)
    assert gate.empty_at_ms("high.email") == asked_ms
