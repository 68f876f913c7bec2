"""Which receivers may be called at the same time: one that is slow or dead leaves room for the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from app.domain.callback import Callback, CallbackReceiver
from app.domain.errors import DeliveryError, InDoubtError, PermanentError, ThrottledError, TransientError
from bridges.callback_calls import CallbackCalls, Ended

NOW = 1_732_270_000_000
THREADS = 16
WAIT_S = 10.0
DOWN = TransientError("provider_transient", "HTTP 500")


class Receivers:
    """Port CallbackCaller: answers each key as it is told, or not before it is let."""

    def __init__(self) -> None:
        self.answers: dict[str, DeliveryError | None] = {}
        self.hanging: set[str] = set()
        self.let_go = threading.Event()
        self.is_closed = False

    def check_url(self, url: str) -> str:
        return url

    def call(self, receiver: CallbackReceiver, callback: Callback) -> DeliveryError | None:
        if receiver.key_id in self.hanging:
            self.let_go.wait(WAIT_S)
        return self.answers.get(receiver.key_id)

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    made = Receivers()
    yield made
    made.let_go.set()


@pytest.fixture
def calls(receivers: Receivers) -> Iterator[CallbackCalls]:
    made = CallbackCalls(receivers, threads=THREADS, failures=5)
    yield made
    receivers.let_go.set()
    made.close(NOW)


def start(calls: CallbackCalls, key_id: str, count: int = 1) -> None:
    receiver = CallbackReceiver(key_id=key_id, url="https://example.com/", salt="", since_ms=0)
    for number in range(count):
        callback = Callback(id=f"{key_id}-{number}", key_id=key_id, body=b"{}", made_at_ms=NOW, due_at_ms=NOW)
        calls.start(receiver, callback)


def end(calls: CallbackCalls, count: int, now_ms: int = NOW) -> list[Ended]:
    found: list[Ended] = []
    while len(found) < count:
        came = calls.ended(WAIT_S, now_ms)
        assert came
        found += came
    return found


def fail(calls: CallbackCalls, key_id: str, count: int, now_ms: int = NOW) -> None:
    for _ in range(count):
        start(calls, key_id)
        end(calls, 1, now_ms)


def test_a_receiver_gets_a_quarter_of_the_threads(calls: CallbackCalls, receivers: Receivers) -> None:
    assert calls.shares(["a"], NOW) == {"a": 4}
    receivers.hanging.add("a")
    start(calls, "a", 3)
    assert calls.are_under_way
    assert calls.shares(["a", "b"], NOW) == {"a": 1, "b": 4}
    start(calls, "a")
    assert calls.shares(["a"], NOW) == {}
    receivers.let_go.set()
    end(calls, 4)
    assert calls.shares(["a"], NOW) == {"a": 4}
    assert not calls.are_under_way


def test_the_last_quarter_is_for_those_that_have_no_call(calls: CallbackCalls, receivers: Receivers) -> None:
    """Three that hang have 12 of 16 threads; those that come then get one each, and nobody gets a second."""
    names = [f"slow-{number}" for number in range(3)]
    assert calls.shares([*names, "a", "b"], NOW) == dict.fromkeys(names, 4) | {"a": 1, "b": 1}
    receivers.hanging.update([*names, "a"])
    for name in names:
        start(calls, name, 4)
    start(calls, "a")
    assert calls.shares(["a", "b", "c", "d", "e"], NOW) == {"b": 1, "c": 1, "d": 1}


def test_few_threads_are_shared_as_well(receivers: Receivers) -> None:
    single = CallbackCalls(receivers, threads=1, failures=5)
    assert single.shares(["a", "b"], NOW) == {"a": 1}
    single.close(NOW)


def test_one_that_fails_is_left_alone_for_a_growing_time_then_tried_with_one_call(
    calls: CallbackCalls, receivers: Receivers
) -> None:
    receivers.answers["a"] = DOWN
    fail(calls, "a", 4)
    assert calls.shares(["a"], NOW) == {"a": 4}
    fail(calls, "a", 1)
    assert calls.shares(["a", "b"], NOW + 4999) == {"b": 4}
    assert calls.shares(["a"], NOW + 5000) == {"a": 1}
    fail(calls, "a", 1, NOW + 5000)
    assert calls.shares(["a"], NOW + 14_999) == {}
    assert calls.shares(["a"], NOW + 15_000) == {"a": 1}
    start(calls, "a")
    assert calls.shares(["a"], NOW + 15_000) == {}, "one call at a time"
    end(calls, 1, NOW + 15_000)
    for number in range(20):
        fail(calls, "a", 1, last := NOW + (number + 1) * 10**6)
    assert calls.shares(["a"], last + 299_999) == {}
    assert calls.shares(["a"], last + 300_000) == {"a": 1}, "at most five minutes"
    receivers.answers["a"] = None
    start(calls, "a")
    end(calls, 1, NOW + 2 * 10**9)
    assert calls.shares(["a"], NOW + 2 * 10**9) == {"a": 4}


def test_what_is_taken_in_between_begins_the_count_anew(calls: CallbackCalls, receivers: Receivers) -> None:
    for _ in range(3):
        receivers.answers["a"] = PermanentError("provider_rejected", "HTTP 400")
        fail(calls, "a", 4)
        receivers.answers["a"] = None
        start(calls, "a")
        end(calls, 1)
    assert calls.shares(["a"], NOW) == {"a": 4}


def test_a_call_that_ends_by_the_clock_counts_three(calls: CallbackCalls, receivers: Receivers) -> None:
    receivers.answers["a"] = InDoubtError("in_doubt", "no answer in time")
    fail(calls, "a", 2)
    assert calls.shares(["a"], NOW) == {}


def test_one_that_asks_for_time_is_left_alone_at_once(calls: CallbackCalls, receivers: Receivers) -> None:
    receivers.answers["a"] = ThrottledError("provider_throttled", "HTTP 429", retry_after_s=7)
    fail(calls, "a", 1)
    assert calls.shares(["a"], NOW + 6999) == {}
    assert calls.shares(["a"], NOW + 7000) == {"a": 1}


def test_a_call_ends_with_its_callback_and_what_was_said(calls: CallbackCalls, receivers: Receivers) -> None:
    receivers.answers["a"] = DOWN
    start(calls, "a")
    [ended] = end(calls, 1)
    assert (ended.callback.id, ended.receiver.key_id, ended.error) == ("a-0", "a", DOWN)
    assert calls.ended(0.0, NOW) == []


def test_closing_waits_for_calls_and_tells_how_they_ended(receivers: Receivers) -> None:
    made = CallbackCalls(receivers, threads=4, failures=5)
    receivers.hanging.add("a")
    start(made, "a")
    threading.Timer(0.05, receivers.let_go.set).start()
    [ended] = made.close(NOW)
    assert ended.error is None
    assert receivers.is_closed
