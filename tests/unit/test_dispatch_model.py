"""The dispatcher and the claims, against random crashes, stalls, flushes, absences and rebalances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.domain.lane import Priority
from app.domain.outcome import Status
from tests.support.dispatch_model import INCIDENTS, OTHERS, PARTITIONS, TO_THE_END, DispatchModel
from tests.support.model_worker import Plan, Worker

T = TypeVar("T")

#: More of them only makes runs longer.
MOST_DELIVERIES = 8
#: The default of the setting.
RESEND_AFTER_MS = 2000

partitions = st.integers(0, PARTITIONS - 1)
kinds = st.tuples(
    st.sampled_from(["resend", "unknown"]),
    st.sampled_from(
        [
            Plan(),
            Plan(is_inline=True),
            Plan(is_limited=True),
            Plan(answers=("transient",)),
            Plan(answers=("in_doubt",)),
            Plan(answers=("permanent",)),
            Plan(rendering="kills"),
            Plan(rendering="raises"),
        ]
    ),
)
#: From a step's length to well beyond a copy's life, in milliseconds.
spans = st.sampled_from([50, 1000, 2100, 3000, 6000])
#: Calls of ports that a child gets through before it stops.
calls = st.integers(0, 9)
numbers = st.integers(0, 7)


class DispatchMachine(RuleBasedStateMachine):
    """What may happen. Which child, dispatcher or delivery is meant is a number, so that shrinking is easy.

    There are few rules, and each does much, because hypothesis switches some of them off in most runs.
    """

    model: DispatchModel

    @initialize(
        priority=st.sampled_from([Priority.HIGH, Priority.LOW]), is_bulk=st.booleans(), per_target=st.booleans()
    )
    def start(self, priority: Priority, is_bulk: bool, per_target: bool) -> None:
        self.model = DispatchModel(priority, is_bulk=is_bulk, breaker_per_target=per_target)

    @rule(
        place=partitions,
        kinds=st.lists(kinds, max_size=3),
        calls=calls,
        what=st.sampled_from(INCIDENTS),
        milliseconds=spans,
        turns=st.integers(0, 3),
    )
    def incident(
        self, place: int, kinds: list[tuple[str, Plan]], calls: int, what: str, milliseconds: int, turns: int
    ) -> None:
        """Deliveries come in, a child takes a copy, gets that far, and something happens; then the others go on."""
        for event_type, plan in kinds:
            if len(self.model.deliveries) < MOST_DELIVERIES:
                self.model.produce(place, event_type, plan)
        worker = self.model.take()
        if worker is not None:
            self.model.step(worker, calls)
            self.model.strike(what, worker)
        for _ in range(turns):
            self.model.flow(milliseconds)

    @precondition(lambda self: self.model.workers)
    @rule(number=numbers, calls=calls, what=st.sampled_from(INCIDENTS))
    def go_on(self, number: int, calls: int, what: str) -> None:
        """A child goes on, also one that stood still, and something happens to it."""
        worker = _one(self.model.workers, number)
        self.model.step(worker, calls)
        self.model.strike(what, worker)

    @precondition(lambda self: self.model.deliveries)
    @rule(what=st.sampled_from(OTHERS), number=numbers, milliseconds=spans)
    def meanwhile(self, what: str, number: int, milliseconds: int) -> None:
        """What others do, and then time passes."""
        self.model.meanwhile(what, number)
        self.model.flow(milliseconds)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "model"):
            self.model.check()

    def teardown(self) -> None:
        if hasattr(self, "model"):
            try:
                if not self.model.stores.violations:
                    self.model.run_to_end()
            finally:
                self.model.close()


def _one(found: Sequence[T], number: int) -> T:
    return found[number % len(found)]


TestDispatch = DispatchMachine.TestCase
TestDispatch.settings = settings(
    max_examples=600,
    stateful_step_count=10,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


# holes that the model once showed, as the shortest way to each


@pytest.fixture(params=list(Priority)[::2], ids=str)
def model(request: pytest.FixtureRequest) -> Iterator[DispatchModel]:
    made = DispatchModel(request.param, is_bulk=False, breaker_per_target=False)
    yield made
    made.close()


def stand_before(model: DispatchModel, calls: int) -> Worker:
    """A child that has taken a copy and got through this many calls of ports."""
    worker = model.take()
    assert worker is not None
    model.step(worker, calls)
    model.strike("stands still", worker)
    return worker


def test_a_pass_beside_a_repetition_of_the_one_before_is_not_lost(model: DispatchModel) -> None:
    model.produce(0, "resend", Plan(is_limited=True))
    model.flow(2500)
    model.meanwhile("repeat", 0)
    model.schedule()
    model.run_to_end()
    assert [outcome.status for outcome in model.stores.finals("d0")] == [Status.SENT]


def test_where_the_claims_answer_late_no_call_is_begun_and_nothing_is_in_doubt(model: DispatchModel) -> None:
    model.produce(0, "unknown", Plan())
    worker = stand_before(model, 3)
    model.stores.now_ms += 2500
    model.step(worker, TO_THE_END)
    assert not model.scenario.calls
    model.run_to_end()
    assert [outcome.status for outcome in model.stores.finals("d0")] == [Status.SENT]


def test_a_child_that_stood_still_after_parking_does_not_undo_what_the_next_copy_sent(model: DispatchModel) -> None:
    model.produce(0, "resend", Plan(is_limited=True))
    late = stand_before(model, 5)
    assert list(model.stores.parked) == [("d0", 0)]
    model.stores.now_ms += 6000
    copy = stand_before(model, TO_THE_END)
    assert copy.is_over
    assert len(model.stores.finals("d0")) == 1
    model.step(late, TO_THE_END)
    model.run_to_end()
    assert len(model.scenario.calls["d0"]) == 1


def test_nor_what_the_next_copy_is_calling(model: DispatchModel) -> None:
    model.produce(0, "resend", Plan(is_limited=True))
    late = stand_before(model, 5)
    model.stores.now_ms += 6000
    model.schedule()
    stand_before(model, 4)
    assert len(model.scenario.calls["d0"]) == 1
    model.step(late, TO_THE_END)
    model.flow(50)
    model.run_to_end()
    assert len(model.scenario.calls["d0"]) == 1


def test_a_parked_pass_waits_for_the_call_that_another_copy_makes(model: DispatchModel) -> None:
    model.produce(0, "resend", Plan(is_limited=True))
    model.strike("dies", stand_before(model, 4))
    model.stores.now_ms += 6000
    model.schedule()
    calling = stand_before(model, 4)
    assert len(model.scenario.calls["d0"]) == 1
    model.strike("dispatcher dies", calling)
    model.flow(50)
    model.run_to_end()
    assert len(model.scenario.calls["d0"]) == 1


def test_what_an_earlier_owner_finishes_is_not_sent_again_however_far_it_reaches(model: DispatchModel) -> None:
    for _ in range(6):
        model.produce(0, "resend", Plan())
    worker = stand_before(model, 0)
    assert len(worker.batch.items) == 6
    model.strike("dispatcher dies", worker)
    model.step(worker, TO_THE_END)
    model.run_to_end()
    assert not model.stores.queue
    assert all(len(calls) == 1 for calls in model.scenario.calls.values())


def test_a_queue_that_was_empty_before_a_copy_was_overdue_says_nothing_of_it(
    model: DispatchModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.produce(0, "resend", Plan())
    model.turn_all()
    [copy] = model.stores.queue
    overdue_ms = copy.batch.head.not_after_ms + RESEND_AFTER_MS
    model.stores.now_ms = overdue_ms + 1000
    monkeypatch.setattr(model.members[0].dispatcher._gate, "empty_at_ms", lambda _: overdue_ms)
    model.turn_all()
    assert model.stores.queue == [copy], "it is there"
    monkeypatch.setattr(model.members[0].dispatcher._gate, "empty_at_ms", lambda _: overdue_ms + 1)
    model.stores.queue.clear()
    model.turn_all()
    assert len(model.stores.queue) == 1, "it is sent again"


def test_a_lost_copy_is_sent_again_in_its_time_also_where_the_clock_was_set_back_by_an_hour(
    model: DispatchModel,
) -> None:
    model.produce(0, "resend", Plan())
    model.turn_all()
    [first] = model.stores.queue
    model.stores.queue.clear()
    model.stores.now_ms -= 3_600_000
    model.turn_all()
    assert not model.stores.queue
    model.stores.now_ms += 3000 + RESEND_AFTER_MS
    model.turn_all()
    [second] = model.stores.queue
    assert second.batch.head.not_after_ms < first.batch.head.not_after_ms, "it lives no hour longer"
