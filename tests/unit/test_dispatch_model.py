"""The dispatcher and the claims, against random crashes, stalls, flushes, absences and rebalances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.domain.lane import Priority
from tests.support.dispatch_model import INCIDENTS, PARTITIONS, DispatchModel
from tests.support.model_worker import Plan

T = TypeVar("T")

#: More of these only makes runs longer.
MOST_DELIVERIES = 10
MOST_DISPATCHERS = 3

partitions = st.integers(0, PARTITIONS - 1)
kinds = st.tuples(
    st.sampled_from(["resend", "unknown"]),
    st.sampled_from(
        [
            Plan(),
            Plan(),
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
    """What may happen. Which child, dispatcher or delivery is meant is a number, so that shrinking is easy."""

    model: DispatchModel

    @initialize(
        priority=st.sampled_from([Priority.HIGH, Priority.LOW]), is_bulk=st.booleans(), per_target=st.booleans()
    )
    def start(self, priority: Priority, is_bulk: bool, per_target: bool) -> None:
        self.model = DispatchModel(priority, is_bulk=is_bulk, breaker_per_target=per_target)

    @precondition(lambda self: len(self.model.deliveries) < MOST_DELIVERIES)
    @rule(place=partitions, kinds=st.lists(kinds, min_size=1, max_size=3))
    def produce(self, place: int, kinds: list[tuple[str, Plan]]) -> None:
        for event_type, plan in kinds:
            self.model.produce(place, event_type, plan)

    @precondition(lambda self: self.model.deliveries)
    @rule(calls=calls, what=st.sampled_from(INCIDENTS), milliseconds=spans, turns=st.integers(0, 3))
    def incident(self, calls: int, what: str, milliseconds: int, turns: int) -> None:
        """A child takes a copy, gets that far, and something happens; then the others go on."""
        worker = self.model.take()
        if worker is not None:
            self.model.step(worker, calls)
            self.model.strike(what, worker)
        self.flow(milliseconds, turns)

    @precondition(lambda self: self.model.workers)
    @rule(number=numbers, calls=calls, is_end=st.booleans())
    def go_on(self, number: int, calls: int, is_end: bool) -> None:
        """A child goes on, also one that stood still; maybe it dies then."""
        worker = _one(self.model.workers, number)
        self.model.step(worker, calls)
        if is_end:
            self.model.strike("dies", worker)

    @rule(milliseconds=spans, turns=st.integers(1, 3))
    def flow(self, milliseconds: int, turns: int) -> None:
        for _ in range(turns):
            self.model.flow(milliseconds)

    @rule(number=numbers)
    def turn(self, number: int) -> None:
        _one(self.model.members, number).turn()

    @precondition(lambda self: len(self.model.members) < MOST_DISPATCHERS)
    @rule(place=partitions, is_blind=st.booleans())
    def rebalance(self, place: int, is_blind: bool) -> None:
        """A further dispatcher gets a partition; the one that had it may not know yet."""
        self.model.rebalance(place, is_blind=is_blind)

    @precondition(lambda self: self.model.deliveries)
    @rule(
        what=st.sampled_from(["repeat", "cancel", "schedule", "schedule and die", "compact", "heal", "lose a message"]),
        number=numbers,
    )
    def meanwhile(self, what: str, number: int) -> None:
        """What others do: router, clients, scheduler, Kafka's cleaner, operators, the network."""
        self.model.meanwhile(what, _one(list(self.model.deliveries), number))

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
    max_examples=800,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
