"""The five steps run on batches in this process, over real stores; providers where a test says so."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.domain.batch import Batch, BatchHead, Finished, Item, Verdict
from app.domain.catalogue import Catalogue, EventRule
from app.domain.channel import CHANNEL_BY_NAME, ChannelSpec
from app.domain.clock import now_ms
from app.domain.codec import decode
from app.domain.delivery import Delivery, Parked
from app.domain.errors import PermanentError
from app.domain.lane import FINISHED_TOPIC, OUTCOMES_TOPIC, Priority
from app.domain.outcome import Outcome, Reason
from app.domain.ports import Channels, Message, Provider, ProviderTerms, Receipt, Renderer
from app.settings import Settings
from infrastructure import wiring
from infrastructure.kafka.outcome_log import KafkaOutcomeLog
from infrastructure.kafka.records import Record
from infrastructure.redis.client import make_client
from infrastructure.sql.engine import shared_engine
from tasks import check_preferences, deliver, limit_rate, pipeline, record, validate
from tasks.context import StepContext, build_context
from tests.support.kafka_broker import KafkaBroker, service_settings
from tests.support.redis_server import RedisServer

Answer = Receipt | Exception
LIFE_S = 60.0

_offsets = itertools.count(0, 10_000)


def _rule(event_type: str, **given: Any) -> EventRule:
    values: dict[str, Any] = {
        "category": "social",
        "priority": Priority.MEDIUM,
        "channels": ("log",),
        "ttl_s": 3600,
        "subject": "{{ event_type }}",
        "text": "{{ content }}",
    }
    return EventRule(event_type=event_type, **(values | given))


CATALOGUE = Catalogue(
    rules={
        "critical": _rule("critical", critical=True),
        "droppable": _rule("droppable", over_user_limit="drop"),
        "unsure": _rule("unsure", in_doubt="unknown"),
        "broken": _rule("broken", text="{{ metadata.missing }}"),
    },
    default=_rule("*"),
    max_ttl_s=86_400,
)


_TERMS = ProviderTerms()


class ScriptedProvider:
    """Answers as told: by delivery id, else by address, else yes. `during` is called with each message."""

    def __init__(
        self,
        answers: Mapping[str, Answer] | None = None,
        *,
        timeout_s: float = 5.0,
        name: str = "scripted",
        terms: ProviderTerms = _TERMS,
        breaker: str = "",
    ) -> None:
        """`breaker` is the key of its breaker, else the address's domain."""
        self.timeout_s, self.name, self.terms, self.breaker = timeout_s, name, terms, breaker
        self.answers = dict(answers or {})
        self.calls: list[str] = []
        self.during: Callable[[Message], None] = lambda _message: None

    def send(self, messages: Sequence[Message], timeout_s: float) -> list[Answer]:
        answers = []
        for message in messages:
            self.calls.append(message.delivery_id)
            self.during(message)
            yes = Receipt(provider_id=f"p-{message.delivery_id}")
            answers.append(self.answers.get(message.delivery_id, self.answers.get(message.address, yes)))
        return answers

    def check_address(self, address: str) -> str:
        if "@" not in address:
            raise PermanentError(Reason.INVALID_ADDRESS, "no @")
        return address.lower()

    def breaker_key(self, address: str) -> str:
        return self.breaker or address.partition("@")[2]

    def close(self) -> None:
        pass


class ScriptedChannels:
    """The real channels, some providers exchanged."""

    def __init__(self, real: Channels, exchanged: Mapping[str, Sequence[Provider]]) -> None:
        self._real = real
        self._exchanged = dict(exchanged)

    def providers(self, channel: str) -> Sequence[Provider]:
        return self._exchanged[channel] if channel in self._exchanged else self._real.providers(channel)

    def simulator(self, channel: str) -> Provider | None:
        return self._real.simulator(channel)

    def spec(self, channel: str) -> ChannelSpec:
        return CHANNEL_BY_NAME[channel]

    def close(self) -> None:
        self._real.close()


class Ran:
    """What became of a batch."""

    def __init__(self, chain: Chain, batch: Batch, text: str) -> None:
        self._chain = chain
        self.batch = batch
        self.text = text

    @property
    def verdicts(self) -> list[Verdict]:
        return [verdict for item in self.batch.items if (verdict := item.verdict) is not None]

    @property
    def verdict(self) -> Verdict:
        [only] = self.verdicts
        return only

    @property
    def told(self) -> list[tuple[str, str]]:
        """Status and reason of each delivery, or `open` and why."""
        return [
            ("open", str(verdict.open)) if verdict.open else (str(verdict.status), verdict.reason)
            for verdict in self.verdicts
        ]

    @property
    def open(self) -> dict[int, str]:
        """What the finished record has as open: place in the batch -> reason."""
        return {offset - self.batch.head.first: reason for offset, reason in self.finished.open}

    @property
    def finished(self) -> Finished:
        """The finished record of the copy."""
        head = self.batch.head
        records = [decode(one.value, Finished) for one in self._chain.broker.records(FINISHED_TOPIC)]
        [found] = [one for one in records if (one.first, one.not_after_ms) == (head.first, head.not_after_ms)]
        return found

    @property
    def outcomes(self) -> list[Outcome]:
        """What is on Kafka about these deliveries, from all their passes, in order of delivery and pass."""
        ids = [item.delivery.id for item in self.batch.items]
        return sorted(self._chain.outcomes(ids), key=lambda one: (ids.index(one.delivery_id), one.pass_no))


class Chain:
    """Runs batches. `context` may be exchanged in part by `using`."""

    def __init__(self, context: StepContext, broker: KafkaBroker) -> None:
        self.context = context
        self.broker = broker

    def using(self, **others: Any) -> None:
        """Exchange ports of the context."""
        self.context = dataclasses.replace(self.context, **others)

    def provide(self, channel: str, *providers: Provider) -> None:
        """Exchange the providers of a channel; none is not configured."""
        self.using(channels=ScriptedChannels(self.context.channels, {channel: providers}))

    def batch(
        self, *deliveries: Delivery, life_s: float = LIFE_S, alone: bool = False, others_open: Sequence[int] = ()
    ) -> Batch:
        """A fresh copy of a batch."""
        lane, first, now = deliveries[0].lane, next(_offsets), self.context.now_ms()
        head = BatchHead(
            queue=lane.queue,
            topic=lane.topic,
            partition=0,
            first=first,
            last=first + len(deliveries) + len(others_open) - 1,
            sent_at_ms=now,
            not_after_ms=now + int(life_s * 1000),
            alone=alone,
            others_open=[first + offset for offset in others_open],
        )
        places = [first + place for place in range(len(deliveries) + len(others_open)) if place not in others_open]
        items = [Item(offset=offset, delivery=one) for offset, one in zip(places, deliveries, strict=True)]
        return Batch(head=head, items=items)

    def run(self, *deliveries: Delivery, **given: Any) -> Ran:
        """A batch of these through all steps, as the tasks run them."""
        return self.run_batch(self.batch(*deliveries, **given))

    def run_batch(self, batch: Batch) -> Ran:
        """A batch through all steps, as the tasks run them."""
        for step in (
            validate.validate,
            check_preferences.check_preferences,
            limit_rate.limit_rate,
            deliver.deliver,
        ):
            batch = pipeline._run(step, batch)
        return Ran(self, batch, record.record(batch, self.context))

    def outcomes(self, delivery_ids: Sequence[str]) -> list[Outcome]:
        """What is on Kafka about these deliveries."""
        found = (decode(one.value, Outcome) for one in self.broker.records(OUTCOMES_TOPIC))
        return [one for one in found if one.delivery_id in delivery_ids]

    def dead(self, delivery_id: str, topic: str) -> list[Record]:
        """Dead letters about a delivery."""
        return [one for one in self.broker.records(topic) if one.header("delivery_id") == delivery_id]

    def parked(self) -> list[Parked]:
        """All parked rows, whenever they are due."""
        later = now_ms() + 10**9
        return self.context.parked.lease_due(now_ms=later, lease_until_ms=0, owner="test", limit=999)

    def claim(self, delivery_id: str) -> tuple[int, str, str]:
        """Pass, state and payload of a claim (state empty: there is none)."""
        client = make_client(self.context.settings.redis_url, 1.0)
        try:
            text = str(client.get(f"claim:{delivery_id}") or "0|||||||")
        finally:
            client.close()
        fields = text.split("|", 7)
        return int(fields[0]), fields[1], fields[7]


@pytest.fixture(scope="session")
def chain_outcomes(
    tmp_path_factory: pytest.TempPathFactory, migrated: Path, running_broker: KafkaBroker, running_redis: RedisServer
) -> Iterator[KafkaOutcomeLog]:
    """One producer for all tests of the chain: the first ack of each takes half a second."""
    settings = service_settings(tmp_path_factory.mktemp("chain"), migrated, running_broker, running_redis)
    log = KafkaOutcomeLog(settings)
    yield log
    log.close()


@pytest.fixture(scope="session")
def chain_renderer() -> Renderer:
    """One renderer for all tests of the chain: compiling takes long."""
    return wiring.renderer(Settings.load({}))


@pytest.fixture
def chain_redis(redis_server: RedisServer) -> RedisServer:
    """The Redis of the chain; a module that stops it asks for one of its own instead."""
    return redis_server


@pytest.fixture
def chain(
    tmp_path: Path,
    migrated: Path,
    running_broker: KafkaBroker,
    chain_redis: RedisServer,
    chain_outcomes: KafkaOutcomeLog,
    chain_renderer: Renderer,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Chain]:
    """The chain over empty stores; the broker has what other tests left on it."""
    settings = service_settings(tmp_path, migrated, running_broker, chain_redis)
    monkeypatch.setattr(wiring, "outcome_log", lambda _settings: chain_outcomes)
    monkeypatch.setattr(wiring, "renderer", lambda _settings: chain_renderer)
    made = Chain(dataclasses.replace(build_context(settings), catalogue=CATALOGUE), running_broker)
    monkeypatch.setattr(pipeline, "step_context", lambda: made.context)
    yield made
    made.context.channels.close()
    wiring.close()
    shared_engine(settings.database_url, settings.store_timeout_s).dispose()
