"""Looking at topics and making them as they are planned."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from enum import StrEnum
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)
from msgspec import Struct

from app.domain.errors import StoreUnavailableError
from app.domain.topics import Found, TopicPlan, changed_configs
from app.settings import Settings
from infrastructure.kafka.client import connection_config

_TIMEOUT_S = 10.0
_LOOK_S = 0.05
#: Errors of Kafka's that say that it, or what it needs for this, is away.
_AWAY = {
    KafkaError._TRANSPORT,  # noqa: SLF001 - the client's public names begin so
    KafkaError._TIMED_OUT,  # noqa: SLF001
    KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
    KafkaError._AUTHENTICATION,  # noqa: SLF001
    KafkaError._RESOLVE,  # noqa: SLF001
    KafkaError.REQUEST_TIMED_OUT,
}

_THERE = "TOPIC_ALREADY_EXISTS"
_ELECTING = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}


class Did(StrEnum):
    """What became of a topic. REFUSED: Kafka did not do it; LEFT: it cannot be done while the topic is in use."""

    MADE = "made"
    GREW = "grew"
    CHANGED = "changed"
    KEPT = "kept"
    LEFT = "left"
    REFUSED = "refused"


class Step(Struct, frozen=True, kw_only=True):
    """One thing that `make` did, or did not."""

    topic: str
    did: Did
    detail: str = ""


class Topics:
    """The cluster's topics and brokers. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._admin = AdminClient(connection_config(settings))
        self._timeout_s = timeout_s

    def find(self, names: Sequence[str], *, with_records: bool = False) -> dict[str, Found]:
        """Those of the topics that are there."""
        known = self._metadata().topics
        configs = self._configs("topic", [name for name in names if name in known and known[name].error is None])
        there = list(configs)
        parts = {name: known[name].partitions for name in there}
        records = self._records({name: list(numbers) for name, numbers in parts.items()}) if with_records else {}
        return {
            name: Found(
                name=name,
                partitions=len(parts[name]),
                replication=min((len(part.replicas) for part in parts[name].values()), default=0),
                configs=configs[name],
                records=records.get(name, 0),
            )
            for name in there
        }

    def brokers(self) -> dict[str, Mapping[str, str]]:
        """`broker 1` -> its configuration."""
        ids = [str(number) for number in sorted(self._metadata().brokers)]
        return {f"broker {number}": found for number, found in self._configs("broker", ids).items()}

    def make(self, plans: Sequence[TopicPlan]) -> list[Step]:
        """Make what is missing, add partitions where there are fewer, set configurations that differ.

        What Kafka refuses, and what cannot be changed, is a step, too: nothing is raised for it. Harmless to repeat.
        """
        found = self.find([plan.name for plan in plans])
        steps = self._create([plan for plan in plans if plan.name not in found])
        others = [step.topic for step in steps if step.did is Did.KEPT]  # made by somebody else, or told of late
        self._wait(lambda: len(self.find(others)) == len(others))
        found |= self.find(others)
        steps = [step for step in steps if step.did is not Did.KEPT]
        for plan in plans:
            if plan.name in found:
                steps += self._mend(plan, found[plan.name])
        changed = {step.topic for step in steps if step.did in {Did.MADE, Did.GREW, Did.CHANGED}}
        told = {step.topic for step in steps if step.did in {Did.LEFT, Did.REFUSED}}
        wanted = [plan for plan in plans if plan.name in changed - told]
        self._wait(lambda: self._are_as_planned(wanted))
        return steps

    def remove(self, names: Sequence[str]) -> None:
        """Delete topics with all that is on them. Raises StoreUnavailableError where Kafka refuses one."""
        asked = self._admin.delete_topics(list(names), operation_timeout=self._timeout_s) if names else {}
        for name, future in asked.items():
            if why := self._refusal(future):
                raise StoreUnavailableError(f"Kafka did not delete {name}: {why}")
        self._wait(lambda: not self.find(names))

    def _create(self, plans: Sequence[TopicPlan]) -> list[Step]:
        wanted = [NewTopic(one.name, one.partitions, one.replication, config=dict(one.configs)) for one in plans]
        asked = self._admin.create_topics(wanted, operation_timeout=self._timeout_s) if wanted else {}
        steps = []
        for plan in plans:
            why = self._refusal(asked[plan.name])
            did = Did.KEPT if why.startswith(_THERE) else Did.REFUSED if why else Did.MADE
            detail = why or f"{plan.partitions} partitions, replication {plan.replication}"
            steps.append(Step(topic=plan.name, did=did, detail=detail))
        return steps

    def _mend(self, plan: TopicPlan, found: Found) -> Iterator[Step]:
        steps = [self._grow(plan, found), self._set(plan, changed_configs(plan, found)), _replicas(plan, found)]
        done = [step for step in steps if step is not None]
        yield from done or [Step(topic=plan.name, did=Did.KEPT)]

    def _grow(self, plan: TopicPlan, found: Found) -> Step | None:
        if found.partitions == plan.partitions:
            return None
        change = f"{found.partitions} partitions, planned {plan.partitions}"
        if found.partitions > plan.partitions:
            return Step(topic=plan.name, did=Did.LEFT, detail=f"{change}: Kafka can only add some")
        if not plan.may_grow:
            return Step(topic=plan.name, did=Did.LEFT, detail=f"{change}: its readers must not miss any")
        wanted = NewPartitions(plan.name, plan.partitions)
        why = self._refusal(self._admin.create_partitions([wanted], operation_timeout=self._timeout_s)[plan.name])
        if why:
            return Step(topic=plan.name, did=Did.REFUSED, detail=f"{change}: {why}")
        return Step(topic=plan.name, did=Did.GREW, detail=f"from {found.partitions} to {plan.partitions} partitions")

    def _set(self, plan: TopicPlan, configs: Mapping[str, str]) -> Step | None:
        if not configs:
            return None
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in configs.items()
        ]
        resource = ConfigResource("topic", plan.name, incremental_configs=entries)
        why = self._refusal(self._admin.incremental_alter_configs([resource])[resource])
        detail = ", ".join(f"{name}={value}" for name, value in configs.items())
        if why:
            return Step(topic=plan.name, did=Did.REFUSED, detail=f"{detail}: {why}")
        return Step(topic=plan.name, did=Did.CHANGED, detail=detail)

    def _are_as_planned(self, plans: Sequence[TopicPlan]) -> bool:
        found = self.find([plan.name for plan in plans])
        return len(found) == len(plans) and not any(
            found[plan.name].partitions < plan.partitions or changed_configs(plan, found[plan.name]) for plan in plans
        )

    def _wait(self, is_seen: Callable[[], bool]) -> None:
        """Until it is told: each broker learns a little later than Kafka answers."""
        deadline = time.monotonic() + self._timeout_s
        while not is_seen():
            if time.monotonic() > deadline:
                raise StoreUnavailableError("Kafka changed its topics and does not tell of it yet")
            time.sleep(_LOOK_S)

    def _metadata(self) -> Any:
        try:
            return self._admin.list_topics(timeout=self._timeout_s)
        except KafkaException as error:
            raise StoreUnavailableError(f"Kafka did not tell of its topics: {error.args[0].name()}") from error

    def _configs(self, kind: str, names: Sequence[str]) -> dict[str, dict[str, str]]:
        asked = [ConfigResource(kind, name) for name in names]
        # One call tells of many topics, but of one broker only, for it is that broker which answers.
        calls = [[one] for one in asked] if kind == "broker" else [asked] if asked else []
        futures: dict[ConfigResource, Future[Any]] = {}
        for resources in calls:
            futures |= self._admin.describe_configs(resources, request_timeout=self._timeout_s)
        found = {}
        for resource, future in futures.items():
            try:
                entries = future.result()
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue  # another broker told of it
                raise StoreUnavailableError(f"Kafka did not tell its configuration: {error.args[0].name()}") from error
            found[resource.name] = {name: entry.value for name, entry in entries.items() if entry.value is not None}
        return found

    def _records(self, parts: Mapping[str, Sequence[int]]) -> dict[str, int]:
        """How many there are between both ends of each topic's partitions."""
        counts = dict.fromkeys(parts, 0)
        every = [(name, number) for name, numbers in parts.items() for number in numbers]
        ends = ((-1, OffsetSpec.earliest()), (1, OffsetSpec.latest()))  # type: ignore[no-untyped-call]  # has no types
        for sign, spec in ends:
            for (name, _), offset in self._offsets(every, spec).items():
                counts[name] += sign * offset
        return counts

    def _offsets(self, parts: Sequence[tuple[str, int]], spec: OffsetSpec) -> dict[tuple[str, int], int]:
        """Asked again while leaders are being elected, which for a new topic may be just now."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            asked = {TopicPartition(name, number): spec for name, number in parts}
            futures = self._admin.list_offsets(asked, request_timeout=self._timeout_s) if asked else {}
            try:
                return {(part.topic, part.partition): future.result().offset for part, future in futures.items()}
            except KafkaException as error:
                reason = error.args[0]
                if reason.code() not in _ELECTING or time.monotonic() > deadline:
                    raise StoreUnavailableError(f"Kafka did not tell where topics end: {reason.name()}") from error
            time.sleep(_LOOK_S)

    def _refusal(self, future: Future[Any]) -> str:
        """Why Kafka did not do it; empty where it did. Raises StoreUnavailableError where it did not answer."""
        try:
            future.result()
        except KafkaException as error:
            reason = error.args[0]
            if reason.code() in _AWAY:
                raise StoreUnavailableError(f"Kafka did not answer: {reason.name()}") from error
            return f"{reason.name()}: {reason.str()}"
        return ""


def _replicas(plan: TopicPlan, found: Found) -> Step | None:
    if found.replication >= plan.replication:
        return None
    detail = f"replication {found.replication}, planned {plan.replication}: move it with Kafka's own tools"
    return Step(topic=plan.name, did=Did.LEFT, detail=detail)
