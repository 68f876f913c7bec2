"""The model of DESIGN's dispatcher and claims: real dispatcher and real steps over stores that can do anything.

What happens is up to the test (`tests/unit/test_dispatch_model.py`); what must hold is checked here, all the time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
import structlog
from msgspec import structs

from app.domain.catalogue import Catalogue, EventRule
from app.domain.channel import ChannelSpec
from app.domain.codec import encode
from app.domain.delivery import Delivery
from app.domain.event import Event, Options, To
from app.domain.lane import Lane, Priority
from app.domain.outcome import Reason, Status
from app.settings import Settings
from tasks import pipeline
from tests.support.model_dispatcher import Member
from tests.support.model_stores import START_MS, Partition, Stores
from tests.support.model_worker import CURRENT, Plan, Scenario, Worker

CHILDREN = 3
STORES = ("kafka", "redis", "broker", "sql")
#: What may happen while a child stands somewhere in its copy; twice where it takes more to come of it.
INCIDENTS = (
    *("nothing", "dies", "dies", "dies written", "stands still", "stands still", "stands still", "flush", "cancel"),
    *("breaker", "dispatcher dies", "dispatcher uncommitted"),
    *(f"{store} {fault}" for store in STORES for fault in ("refuses", "deaf")),
    *("sql refuses", "sql refuses"),  # some of high go on then, past others
)
#: What others do: router, clients, scheduler, Kafka, operators, the network, the clock.
OTHERS = (
    *(
        "nothing",
        "repeat",
        "cancel",
        "cancel and die",
        "schedule",
        "schedule and die",
        "compact",
        "heal",
        "lose a message",
        "turn",
    ),
    *("rebalance", "rebalance unawares", "set the clock back"),
)
BREAKER_MS = 2000
MOST_MEMBERS = 3
#: By less than a copy's life, by about one, by many.
SET_BACK_MS = (500, 3500, 30_000)
PARTITIONS = 2
LIFE_S = 3.0
TTL_MS = 10 * 24 * 3600 * 1000
#: Turns of everything within which all must be final; each takes a second of the model's time.
TURNS_TO_END = 600
#: More calls of ports than any copy makes.
TO_THE_END = 1000
POISON_DEATHS = 3

_SETTINGS = Settings(batch_max=4, linger_low_ms=0, provider_timeout_s=1.0, not_after_high_s=LIFE_S, not_after_s=LIFE_S)


class DispatchModel:
    """One lane, its dispatchers, workers and scheduler."""

    def __init__(self, priority: Priority, *, is_bulk: bool, breaker_per_target: bool) -> None:
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(pipeline, "step_context", lambda: CURRENT.context)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        spec = ChannelSpec(
            name="email", contact="email", is_bulk=is_bulk, breaker_per_target=breaker_per_target, calls_network=True
        )
        self.stores = Stores()
        self.scenario = Scenario(self.stores, _SETTINGS, spec, _catalogue(priority))
        self.lane = Lane(priority, "email")
        self.partitions: list[Partition] = [(self.lane.topic, number) for number in range(PARTITIONS)]
        self.stores.lanes = {place: [] for place in self.partitions}
        self.deliveries: dict[str, tuple[Partition, Delivery]] = {}
        self.members: list[Member] = []
        self.workers: list[Worker] = []
        self.start_dispatcher()

    def close(self) -> None:
        """End all threads."""
        for worker in self.workers:
            worker.kill(has_written=False)
        self._patch.undo()
        structlog.reset_defaults()

    # deliveries

    def produce(self, partition: int, event_type: str, plan: Plan) -> None:
        """A new delivery on the lane."""
        delivery_id = f"d{len(self.deliveries)}"
        place = self.partitions[partition]
        delivery = Delivery(
            id=delivery_id,
            notification_id=f"n-{delivery_id}",
            channel=self.lane.channel,
            priority=self.lane.priority,
            event=Event(user_id=f"u{partition}", event_type=event_type, content="", options=_options(plan)),
            accepted_at_ms=self.stores.now_ms,
            routed_at_ms=self.stores.now_ms,
            expires_at_ms=START_MS + TTL_MS,
        )
        self.scenario.plans[delivery_id] = plan
        self.deliveries[delivery_id] = (place, delivery)
        self.stores.produce(place, delivery)

    def meanwhile(self, what: str, number: int) -> None:
        """One of `OTHERS`; the number says to which delivery, partition or dispatcher."""
        place, delivery = list(self.deliveries.values())[number % len(self.deliveries)]
        if what == "repeat":  # the router was killed before its commit
            self.stores.produce(place, delivery)
        elif what.startswith("cancel"):
            self.stores.cancel(delivery, has_crashed=what == "cancel and die")
        elif what == "compact":
            self.stores.compact()
        elif what == "heal":
            self.heal()
        elif what == "lose a message":
            del self.stores.queue[-1:]
        elif what == "turn":
            self.members[number % len(self.members)].turn()
        elif what == "set the clock back":
            self.stores.set_clock_back(SET_BACK_MS[number % len(SET_BACK_MS)])
        elif what.startswith("schedule"):
            self.schedule(has_crashed=what == "schedule and die")
        elif what.startswith("rebalance") and len(self.members) < MOST_MEMBERS:
            self.rebalance(place, is_blind=what == "rebalance unawares")

    def schedule(self, *, has_crashed: bool = False) -> None:
        """The scheduler brings back what is due; it may die before it deletes the rows."""
        if self.stores.kafka.fault == "refuses" or self.stores.sql.fault != "none":
            return
        for key, row in list(self.stores.parked.items()):
            if row.due_at_ms <= self.stores.now_ms:
                self.stores.produce(self.deliveries[row.delivery.id][0], row.delivery.next_pass())
                if not has_crashed:
                    del self.stores.parked[key]

    # dispatchers

    def start_dispatcher(self, partitions: Sequence[Partition] | None = None) -> None:
        """A new member, and who has these partitions (None: all) learns of it when it reads."""
        member = Member(self.stores, _SETTINGS, self.lane.priority)
        self.members.append(member)
        for place in self.partitions if partitions is None else partitions:
            self.stores.group.owners[place] = member

    def rebalance(self, place: Partition, *, is_blind: bool) -> None:
        """A new member gets a partition; a blind one that had it goes on as if it still did."""
        self.stores.group.owners[place].is_blind = is_blind
        self.start_dispatcher([place])

    def turn_all(self) -> None:
        """One turn of each dispatcher."""
        for member in list(self.members):
            member.turn()

    def kill_dispatcher(self, member: Member, *, loses_commit: bool) -> None:
        """A member dies, maybe with its last commit on its way; another takes its partitions over."""
        self.members.remove(member)
        left = [place for place, owner in self.stores.group.owners.items() if owner is member]
        if loses_commit:
            for place in left:
                self.stores.group.commits[place] = self.stores.group.commits.get(place, [])[:-1]
        self.start_dispatcher(left)

    # workers

    def take(self) -> Worker | None:
        """A free child takes the first copy from the queue; the dispatchers are asked for one where it is empty."""
        if not self.stores.queue:
            self.turn_all()
        self.workers = [worker for worker in self.workers if not worker.is_over]
        if len(self.workers) >= CHILDREN or not self.stores.queue or self.stores.broker.fault != "none":
            return None
        worker = Worker(self.scenario, encode(self.stores.queue.pop(0).batch))
        worker.resume()
        self.workers.append(worker)
        return worker

    def step(self, worker: Worker, calls: int) -> None:
        """Let a child go on, over this many calls of ports."""
        for _ in range(calls):
            if not worker.is_over:
                worker.resume()

    def strike(self, what: str, worker: Worker) -> None:
        """One of `INCIDENTS`, while the child stands where it stands."""
        subject, _, how = what.partition(" ")
        if what == "stands still":
            worker.is_still = True
        elif subject == "dies" and not worker.is_over:
            worker.kill(has_written=how == "written")
        elif what == "flush":
            self.stores.flush()
        elif what == "cancel":
            self.stores.cancel(worker.batch.items[0].delivery)
        elif what == "breaker":
            self.stores.breaker_open_until_ms = self.stores.now_ms + BREAKER_MS
        elif subject == "dispatcher":
            owner = self.stores.group.owners[worker.batch.head.topic, worker.batch.head.partition]
            self.kill_dispatcher(owner, loses_commit=how == "uncommitted")
        elif subject in STORES:
            getattr(self.stores, subject).fault = how

    # time

    def flow(self, milliseconds: int) -> None:
        """Everybody who does not stand still does what there is to do, then time passes."""
        self.turn_all()
        while (worker := self.take()) is not None:
            self.step(worker, TO_THE_END)
        for worker in self.workers:
            if not worker.is_still:
                self.step(worker, TO_THE_END)
        self.schedule()
        self.stores.now_ms += milliseconds

    def heal(self) -> None:
        """All stores are back, every dispatcher knows what is its, and nobody stands still."""
        for store in self.stores.stores:
            store.fault = "none"
        for member in self.members:
            member.is_blind = False
        for worker in self.workers:
            worker.is_still = False

    def run_to_end(self) -> None:
        """Heal, let everything run, and check that nothing was lost and everything is committed."""
        self.heal()
        for _ in range(TURNS_TO_END):
            if self._is_at_rest():
                break
            self.flow(1000)
        for delivery_id in self.deliveries:
            self._check_end(delivery_id)
        for place, bodies in self.stores.lanes.items():
            if bodies and self.stores.group.committed(place) != len(bodies):
                self.stores.violated(f"{place}: stuck at {self.stores.group.committed(place)} of {len(bodies)}")
        self.check()

    def check(self) -> None:
        """Nothing has been violated so far."""
        assert not self.stores.violations, self.stores.violations

    def _is_at_rest(self) -> bool:
        committed = all(
            self.stores.group.committed(place) == len(bodies) for place, bodies in self.stores.lanes.items() if bodies
        )
        return committed and not self.stores.parked and not self.workers and not self.stores.queue

    def _check_end(self, delivery_id: str) -> None:
        finals = {(outcome.status, outcome.reason) for outcome in self.stores.finals(delivery_id)}
        if not finals:
            self.stores.violated(f"{delivery_id} is lost")
        for final in finals - self._allowed(delivery_id):
            self.stores.violated(f"{delivery_id} ended as {final}")
        if any(status is Status.CANCELLED for status, _ in finals):
            self._check_cancelled(delivery_id)

    def _check_cancelled(self, delivery_id: str) -> None:
        """What ended as cancelled got no yes, and no call of it is in doubt."""
        is_handed_over = "in_doubt" in self.scenario.plans[delivery_id].answers
        for call in self.scenario.calls.get(delivery_id, []):
            is_forgotten = call.flushes != self.stores.flushes or self.stores.cancelled[delivery_id] < call.flushes
            is_excused = is_forgotten or not call.is_claimed or call.worker.has_lost_redis
            if (call.is_yes or is_handed_over) and not is_excused:
                self.stores.violated(f"{delivery_id} was called, maybe with success, and ended as cancelled")

    def _allowed(self, delivery_id: str) -> set[tuple[Status, str]]:
        """How this delivery may end."""
        plan, (_, delivery) = self.scenario.plans[delivery_id], self.deliveries[delivery_id]
        allowed: set[tuple[Status, str]] = set()
        is_cancelled = delivery_id in self.stores.cancelled
        if is_cancelled:
            allowed.add((Status.CANCELLED, Reason.CANCELLED_BY_CLIENT))
        if plan.rendering != "good":
            return allowed | {(Status.FAILED, Reason.POISON)}
        allowed |= {
            (Status.SENT, ""),
            (Status.FAILED, Reason.PROVIDER_REJECTED),
            (Status.FAILED, Reason.RETRIES_EXHAUSTED),
        }
        was_called = bool(self.scenario.calls.get(delivery_id)) or self.scenario.deaths[delivery_id]
        if (delivery.event.event_type == "unknown" or is_cancelled) and was_called:
            allowed.add((Status.UNKNOWN, Reason.IN_DOUBT))
        if self.scenario.deaths_alone[delivery_id] >= POISON_DEATHS:
            allowed.add((Status.FAILED, Reason.POISON))
        return allowed


def _options(plan: Plan) -> Options:
    return Options(to=To(email="inline@example.com")) if plan.is_inline else Options()


def _catalogue(priority: Priority) -> Catalogue:
    """Two event types, named for what they do with a call whose end is not known."""
    default = EventRule(
        event_type="resend",
        category="model",
        priority=priority,
        channels=("email",),
        ttl_s=TTL_MS // 1000,
        subject="",
        text="",
        critical=True,
        in_doubt="resend",
    )
    rules = {name: structs.replace(default, event_type=name, in_doubt=name) for name in ("resend", "unknown")}
    return Catalogue(rules=rules, default=default, max_ttl_s=TTL_MS // 1000)
