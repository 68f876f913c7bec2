"""A worker child of the dispatch model: the real steps, stopped before every call of a port."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from collections.abc import Sequence

from celery.exceptions import Ignore

from app.domain.batch import Batch
from app.domain.catalogue import Catalogue
from app.domain.channel import ChannelSpec
from app.domain.codec import decode
from app.domain.lane import Priority
from app.domain.outcome import Outcome
from app.domain.ports import Message
from app.settings import Settings
from tasks import pipeline
from tests.support.model_ports import step_context_of
from tests.support.model_stores import Key, Stores
from tests.support.stepwise import KilledError, Stepwise

#: Where each worker's thread finds its context: `CURRENT.context`.
CURRENT = threading.local()


@dataclasses.dataclass(slots=True, kw_only=True, eq=False)
class Call:
    """A provider call. `is_claimed`: the claims say so; `is_noted`: they know its answer; `is_yes`: it may be a yes."""

    worker: Worker
    pass_no: int
    flushes: int
    is_claimed: bool
    is_noted: bool = False
    is_yes: bool = True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is in store for a delivery: what rendering it does, and what the provider answers, call after call.

    `is_inline`: the address is in the event, so that high needs no SQL.
    """

    rendering: str = "good"
    answers: tuple[str, ...] = ()
    is_limited: bool = False
    is_inline: bool = False


class Scenario:
    """What the workers of a run share: the stores, the channel, each delivery's plan, and the calls so far."""

    def __init__(self, stores: Stores, settings: Settings, spec: ChannelSpec, catalogue: Catalogue) -> None:
        self.stores = stores
        self.settings = settings
        self.spec = spec
        self.catalogue = catalogue
        self.plans: dict[str, Plan] = {}
        self.calls: dict[str, list[Call]] = {}
        self.deaths: Counter[str] = Counter()
        self.deaths_alone: Counter[str] = Counter()


class Worker:
    """One child with one copy of a batch."""

    def __init__(self, scenario: Scenario, copy: bytes) -> None:
        self.scenario = scenario
        self.stores = scenario.stores
        self.batch = decode(copy, Batch)
        self.outcomes_put: dict[Key, Outcome] = {}
        self.context = step_context_of(self)
        self.has_lost_redis = False
        self.has_died = False
        self.is_still = False
        self._flushes = self.stores.flushes
        self._steps = Stepwise(self._run)

    @property
    def is_over(self) -> bool:
        """Whether it is through, or dead."""
        return self._steps.is_over

    @property
    def is_late(self) -> bool:
        """Whether its copy's time is over."""
        return self.stores.now_ms >= self.batch.head.not_after_ms

    def resume(self) -> None:
        """Go on to the next call of a port."""
        self._steps.resume()
        if not self.is_over:
            return
        if self.has_died or self.is_late or self.has_lost_redis:
            self.count_death()
        elif self.stores.flushes == self._flushes:
            self._check_claims()

    def kill(self, *, has_written: bool) -> None:
        """The child dies where it stands, before or after its producer got rid of what it had."""
        self.has_died = True
        self._steps.kill()
        self.count_death()
        if has_written and self.stores.kafka.fault == "none":
            self.stores.land(list(self.outcomes_put.values()))

    def count_death(self) -> None:
        """Whatever ends other than well may leave deliveries in doubt, and count against one that was alone."""
        ids = [item.delivery.id for item in self.batch.items]
        self.scenario.deaths.update(ids)
        if self.batch.head.alone:
            self.scenario.deaths_alone.update(ids)

    # what the doubles call

    def pause(self) -> None:
        """Stop until resumed."""
        self._steps.pause()

    def die(self) -> None:
        """The code that runs kills its process."""
        self.has_died = True
        raise KilledError

    def call(self, message: Message, timeout_s: float) -> Call:
        """A provider call begins: checks that it may."""
        delivery_id, pass_no = message.delivery_id, int(message.subject)
        if self.stores.now_ms + timeout_s * 1000 > self.batch.head.not_after_ms:
            self.stores.violated(f"call of {delivery_id} could last beyond not_after")
        claim = self.stores.claims.read(delivery_id)
        call = Call(
            worker=self,
            pass_no=pass_no,
            flushes=self.stores.flushes,
            is_claimed=claim is not None and claim.state == "c" and claim.owner == self.batch.owner,
        )
        if self._needs_claim and not call.is_claimed:
            self.stores.violated(f"{delivery_id} is called without a claim")
        if call.is_claimed and self.stores.stopped.get(delivery_id) == self.stores.flushes:
            self.stores.violated(f"{delivery_id} is called after it was cancelled")
        earlier = self.scenario.calls.setdefault(delivery_id, [])
        for one in earlier:
            if (one.pass_no == pass_no or one.is_yes) and not _is_excused(one, call, message.event_type):
                self.stores.violated(f"{delivery_id} is called twice: pass {one.pass_no}, then {pass_no}")
        earlier.append(call)
        return call

    def note(self, keys: Sequence[Key]) -> None:
        """The claims know of the answers to these calls of ours."""
        for delivery_id, pass_no in keys:
            for call in self.scenario.calls.get(delivery_id, []):
                call.is_noted = call.is_noted or (call.worker is self and call.pass_no == pass_no)

    @property
    def _needs_claim(self) -> bool:
        """Only high goes on without, and only where Redis is away."""
        return not self.has_lost_redis or self.batch.items[0].delivery.priority is not Priority.HIGH

    def _check_claims(self) -> None:
        """A child that ended well has settled what it recorded, and given back what it did not call."""
        for item in self.batch.items:
            claim, verdict = self.stores.claims.read(item.delivery.id), item.verdict
            if claim is None or verdict is None or item.twin >= 0 or claim.owner != self.batch.owner:
                continue
            if verdict.open is None or claim.state == "h":
                self.stores.violated(f"{item.delivery.id} is left as {claim}")

    def _run(self) -> None:
        CURRENT.context = self.context
        self.pause()
        batch, is_stale = self.batch, self.is_late
        try:
            for step in (pipeline.validate, pipeline.check_preferences, pipeline.limit_rate, pipeline.deliver):
                batch = step.run(batch)
        except Ignore:
            return
        if is_stale:
            self.stores.violated("a copy that was read after its not_after is run")
        pipeline.record.run(batch)


def _is_excused(earlier: Call, call: Call, event_type: str) -> bool:
    """Whether the repetition could not be prevented."""
    if earlier.flushes != call.flushes or not earlier.is_claimed or call.worker.has_lost_redis:
        return True
    worker = earlier.worker
    is_in_doubt = not earlier.is_noted and (worker.has_died or worker.is_late or worker.has_lost_redis)
    return is_in_doubt and event_type != "unknown"
