"""The ports as a worker child of the dispatch model sees them: over its stores, with a pause before each call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from app.domain.batch import Finished
from app.domain.breaker import CLOSED
from app.domain.catalogue import EventRule
from app.domain.channel import ChannelSpec
from app.domain.delivery import Delivery, Parked
from app.domain.errors import InDoubtError, PermanentError, StoreUnavailableError, TransientError
from app.domain.lane import Lane
from app.domain.outcome import Outcome, Reason
from app.domain.ports import (
    BreakerState,
    Charged,
    Claimable,
    Message,
    Permit,
    ProviderTerms,
    Receipt,
    StoredPreferences,
    SwitchedOff,
    Taken,
    UserCharge,
)
from app.domain.rate import Rate
from app.domain.retry import RetryPolicy
from app.domain.suppression import Destination
from app.domain.users import Contacts, Preferences, Recipient
from tasks.context import StepContext
from tests.support.model_stores import Key

if TYPE_CHECKING:
    from tests.support.model_worker import Worker

T = TypeVar("T")

#: How long a delivery that is over its user's limit waits for its slot.
SLOT_MS = 2000
RETRIES = 2


def step_context_of(worker: Worker) -> StepContext:
    """The ports of this child."""
    settings = worker.scenario.settings
    return StepContext(
        settings=settings,
        catalogue=worker.scenario.catalogue,
        claims=_Claims(worker),
        marks=_Never(),  # type: ignore[arg-type]  # of deliveries to devices only
        devices=_Never(),  # type: ignore[arg-type]  # the same
        suppressions=_NotSuppressed(),  # type: ignore[arg-type]  # the steps ask only
        user_limits=_Limits(worker),
        local_limits=_NoLimits(),
        breakers=_Breakers(worker),
        health=_Health(),
        rates=_NoRates(),
        forgotten=_Nobody(),
        users=_Users(worker),  # type: ignore[arg-type]  # the steps ask for recipients only
        preferences=_Preferences(worker),  # type: ignore[arg-type]  # the steps ask for the stored ones only
        parked=_Parked(worker),  # type: ignore[arg-type]  # the steps park only
        channels=_Channels(worker),
        renderer=_Renderer(worker),
        outcomes=_Outcomes(worker),
        retry=RetryPolicy(
            max_retries=RETRIES,
            base_high_s=settings.retry_base_high_s,
            base_s=settings.retry_base_s,
            cap_s=settings.retry_cap_s,
        ),
        now_ms=lambda: worker.stores.now_ms,
    )


class _Port:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._stores = worker.stores


class _Never:
    """A port that nobody is to ask."""


class _NotSuppressed:
    def find(self, destinations: Collection[Destination]) -> Mapping[Destination, str]:
        return {}


class _Nobody:
    def forgotten_at(self, user_ids: Collection[str]) -> Mapping[str, int]:
        return {}


class _Claims(_Port):
    def take(self, wanted: Sequence[Claimable], *, owner: str, until_ms: int, alone: bool) -> list[Taken]:
        return self._ask(lambda: self._stores.claims.take(wanted, owner=owner, until_ms=until_ms, alone=alone))

    def advance(
        self, *, owner: str, until_ms: int, answered: Sequence[tuple[str, int, str]], calling: Sequence[Claimable]
    ) -> list[Permit]:
        def run() -> list[Permit]:
            self._worker.note([(delivery_id, pass_no) for delivery_id, pass_no, _ in answered])
            return self._stores.claims.advance(owner=owner, until_ms=until_ms, answered=answered, calling=calling)

        return self._ask(run) if answered or calling else []

    def done(self, finals: Sequence[tuple[str, int, str]], *, owner: str = "") -> None:
        def run() -> None:
            self._worker.note([(delivery_id, pass_no) for delivery_id, pass_no, _ in finals])
            self._stores.claims.done(finals, owner=owner)

        if finals:
            self._ask(run)

    def release(self, delivery_ids: Sequence[str], *, owner: str, as_crash: bool = False) -> None:
        if as_crash:
            self._worker.count_death()
        if delivery_ids:
            self._ask(lambda: self._stores.claims.release(delivery_ids, owner=owner, as_crash=as_crash))

    def _ask(self, run: Callable[[], T]) -> T:
        self._worker.pause()
        try:
            self._stores.redis.ask()
            found = run()
            self._stores.redis.answer()
        except StoreUnavailableError:
            self._worker.has_lost_redis = True
            raise
        return found


class _Limits(_Port):
    """A delivery that is over its user's limit is given one slot, whoever asks."""

    def charge(self, wanted: Sequence[UserCharge], *, owner: str) -> list[Charged]:
        del owner
        self._worker.pause()
        self._stores.redis.ask()
        return [self._charge(one.delivery_id) for one in wanted]

    def _charge(self, delivery_id: str) -> Charged:
        if not self._worker.scenario.plans[delivery_id].is_limited:
            return Charged()
        slot_ms = self._stores.slots.setdefault(delivery_id, self._stores.now_ms + SLOT_MS)
        return Charged(slot_at_ms=slot_ms if slot_ms > self._stores.now_ms else 0)


class _NoLimits:
    def charge(self, wanted: Sequence[UserCharge], *, owner: str) -> list[Charged]:
        del owner
        return [Charged()] * len(wanted)


class _Breakers(_Port):
    def state(self, key: str) -> BreakerState:
        del key
        until_ms = self._stores.breaker_open_until_ms
        return BreakerState(open_until_ms=until_ms, level=1) if until_ms > self._stores.now_ms else CLOSED

    def report(self, key: str, *, is_success: bool, weight: int = 1) -> None:
        """Breakers open and close as the test says."""

    def off(self, provider: str) -> SwitchedOff | None:
        """Nobody disables its provider."""


class _Health:
    def shares(self, names: Sequence[str]) -> dict[str, float]:
        return dict.fromkeys(names, 1.0)

    def report(self, name: str, *, is_bad: bool) -> None:
        """There is one provider."""


class _NoRates:
    def take(self, provider: str, rate: Rate, lane: Lane, waiting: int) -> float:
        """Its provider has no rate."""
        raise NotImplementedError


class _Users(_Port):
    def recipients(self, user_ids: Sequence[str]) -> Mapping[str, Recipient]:
        self._stores.sql.ask()
        self._stores.sql.answer()
        return {one: Recipient(user_id=one, contacts=Contacts(email=f"{one}@example.com")) for one in user_ids}


class _Preferences(_Port):
    def stored(self, user_ids: Sequence[str]) -> Mapping[str, StoredPreferences]:
        self._stores.sql.ask()
        return dict.fromkeys(user_ids, StoredPreferences(Preferences(), 1))


class _Parked(_Port):
    def park(self, rows: Sequence[Parked]) -> None:
        self._worker.pause()
        self._stores.sql.ask()
        self._stores.park(rows)
        self._stores.sql.answer()


class _Channels(_Port):
    def providers(self, channel: str) -> Sequence[_Provider]:
        del channel
        return [_Provider(self._worker)]

    def simulator(self, channel: str) -> None:
        del channel

    def spec(self, channel: str) -> ChannelSpec:
        del channel
        return self._worker.scenario.spec

    def close(self) -> None:
        """Nothing to close."""


class _Provider(_Port):
    name = "model"
    terms = ProviderTerms()

    @property
    def timeout_s(self) -> float:
        return self._worker.scenario.settings.provider_timeout_s

    def send(self, messages: Sequence[Message], timeout_s: float) -> list[Receipt | Exception]:
        """Called; handed over; answered: a crash may come between."""
        calls = [self._worker.call(message, timeout_s) for message in messages]
        self._worker.pause()
        answers = [self._answer(message.delivery_id) for message in messages]
        for call, answer in zip(calls, answers, strict=True):
            call.is_yes = isinstance(answer, Receipt)
        self._worker.pause()
        return answers

    def _answer(self, delivery_id: str) -> Receipt | Exception:
        """As planned, then always yes."""
        self._stores.answered[delivery_id] += 1
        number, planned = self._stores.answered[delivery_id], self._worker.scenario.plans[delivery_id].answers
        return _ANSWERS[planned[number - 1] if number <= len(planned) else "ok"]()

    def check_address(self, address: str) -> str:
        return address

    def breaker_key(self, address: str) -> str:
        return address

    def close(self) -> None:
        """Nothing to close."""


_ANSWERS: Mapping[str, Callable[[], Receipt | Exception]] = {
    "ok": Receipt,
    "transient": lambda: TransientError("smtp_451"),
    "permanent": lambda: PermanentError(Reason.PROVIDER_REJECTED),
    "in_doubt": lambda: InDoubtError(Reason.IN_DOUBT),
}


class _Renderer(_Port):
    """The pass travels as the subject, for the provider to see."""

    def render(self, rule: EventRule, delivery: Delivery, recipient: Recipient | None) -> tuple[str, str, str]:
        del rule, recipient
        rendering = self._worker.scenario.plans[delivery.id].rendering
        if rendering == "kills":
            self._worker.die()
        if rendering == "raises":
            raise RuntimeError("a renderer has a fault")
        return str(delivery.pass_no), "", ""


class _Outcomes(_Port):
    """The child's producer: what was put lies in its memory until Kafka has it."""

    def has_room(self) -> bool:
        return self._stores.kafka.fault != "refuses"

    def put(self, outcome: Outcome) -> None:
        self._worker.outcomes_put.setdefault((outcome.delivery_id, outcome.pass_no), outcome)

    def dead_letter(self, outcome: Outcome, body: bytes) -> None:
        """Nobody reads it here."""

    def durable(self, keys: Sequence[Key], timeout_s: float) -> set[Key]:
        del timeout_s
        self._worker.pause()
        put = self._worker.outcomes_put
        mine = {key: put.pop(key) for key in keys if key in put}
        return set(mine) if self._write(lambda: self._stores.land(list(mine.values()))) else set()

    def finish(self, finished: Finished, timeout_s: float) -> bool:
        del timeout_s
        self._worker.pause()
        return self._write(lambda: self._stores.finished.append(finished))

    def _write(self, land: Callable[[], Any]) -> bool:
        """Whether Kafka has acknowledged it; it may have landed without."""
        if self._stores.kafka.fault != "refuses":
            land()
        return self._stores.kafka.fault == "none"
