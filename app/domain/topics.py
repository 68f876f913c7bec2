"""Kafka's topics as they are to be, and what of those found falls short of it.

`TopicPlan` is what `manage.py topics create` makes, `Found` what Kafka says. Configurations are Kafka's own names and
texts, as in `retention.ms`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from app.domain.errors import ConfigError
from app.domain.lane import ALL_TOPICS, DEAD_TOPIC, FINISHED_TOPIC

#: Kept at least this many times the longest ttl: a record must not vanish before its delivery may end by itself.
TTLS = 2
#: Kafka's own default; records of this service are below 1 MB.
MESSAGE_BYTES = 1_048_588
_LEAST_MESSAGE_BYTES = 1_000_000
_FEW_PARTITIONS = 3
_RETENTION = "retention.ms"
_RETENTION_SETTING = "NOTIFY_KAFKA_RETENTION_S"
_RETENTION_BYTES = "retention.bytes"
_MIN_ISR = "min.insync.replicas"
_MESSAGE_BYTES = "max.message.bytes"
_UNCLEAN = "unclean.leader.election.enable"
_POLICY = "cleanup.policy"
_MINUTE_MS = 60_000
_OFFSETS_RETENTION = "offsets.retention.minutes"
#: Topics whose records are lost work where they vanish too early. Dead letters wait for a person.
_KEPT = tuple(topic for topic in ALL_TOPICS if topic not in {FINISHED_TOPIC, DEAD_TOPIC})
#: One record for each partition of a lane is of use: what is older is to go soon, for each dispatcher reads all of it
#: whenever it gets a partition. A segment that is written to is never compacted, so that segments are small.
_COMPACTED = {
    _POLICY: "compact",
    "segment.bytes": str(4 * 1024 * 1024),
    "segment.ms": str(10 * 60 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
}


class TopicPlan(Struct, frozen=True, kw_only=True):
    """One topic as it is to be. `may_grow`: whether partitions may be added to one that is in use."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]
    may_grow: bool = True


class Found(Struct, frozen=True, kw_only=True):
    """One topic as it is. `records`: between the first and the last that are kept."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str]
    records: int = 0

    @property
    def retention_ms(self) -> int | None:
        """How long records are kept at most; None for ever, or for as long as there is no newer one of the key."""
        text = self.configs.get(_RETENTION, "")
        if self.configs.get(_POLICY) == "compact" or not text or int(text) < 0:
            return None
        return int(text)


class Shortcoming(Struct, frozen=True, kw_only=True):
    """What falls short, where (a topic, or `broker 1`), and what it should be."""

    where: str
    setting: str
    found: str
    wanted: str


def planned_topics(partitions: int, replication: int, retention_s: float) -> tuple[TopicPlan, ...]:
    """All topics of the service."""
    kept = {
        _POLICY: "delete",
        _RETENTION: str(int(retention_s * 1000)),
        _RETENTION_BYTES: "-1",  # never by size: what is not delivered yet must not go because much came
    }
    everywhere = {
        _MIN_ISR: str(_insync(replication)),
        _MESSAGE_BYTES: str(MESSAGE_BYTES),
        _UNCLEAN: "false",
    }
    few = min(_FEW_PARTITIONS, partitions)
    return tuple(
        TopicPlan(
            name=name,
            partitions=few if name in {FINISHED_TOPIC, DEAD_TOPIC} else partitions,
            replication=replication,
            configs=everywhere | (_COMPACTED if name == FINISHED_TOPIC else kept),
            # Dispatchers know its partitions from their start on.
            may_grow=name != FINISHED_TOPIC,
        )
        for name in ALL_TOPICS
    )


def check_retention(retention_s: float, max_ttl_s: int) -> None:
    """Raises ConfigError where records would vanish before deliveries may end by themselves."""
    if retention_s < TTLS * max_ttl_s:
        raise ConfigError(
            f"{_RETENTION_SETTING} must be at least {TTLS * max_ttl_s}: {TTLS} x the catalogue's longest ttl"
        )


def changed_configs(plan: TopicPlan, found: Found) -> dict[str, str]:
    """The configurations that are to be set: never more copies in sync than there can be with a broker away."""
    wanted = {**plan.configs, _MIN_ISR: str(min(_insync(found.replication), _insync(plan.replication)))}
    return {name: value for name, value in wanted.items() if found.configs.get(name) != value}


def shortcomings(
    plans: Sequence[TopicPlan],
    found: Mapping[str, Found],
    brokers: Mapping[str, Mapping[str, str]],
    max_ttl_s: int,
) -> list[Shortcoming]:
    """All that falls short of the plan's guarantees; more than is planned does not. `brokers`: configurations by id."""
    short: list[Shortcoming] = []
    for plan in plans:
        topic = found.get(plan.name)
        if topic is None:
            short.append(Shortcoming(where=plan.name, setting="topic", found="missing", wanted="there"))
        else:
            short += _of_topic(plan, topic, TTLS * max_ttl_s * 1000)
    kept_ms = [topic.retention_ms or 0 for name, topic in found.items() if name in _KEPT]
    return short + list(_of_brokers(brokers, max([TTLS * max_ttl_s * 1000, *kept_ms])))


def _of_brokers(brokers: Mapping[str, Mapping[str, str]], kept_ms: int) -> Iterator[Shortcoming]:
    """A group that lost its offsets would begin anew with all that its topics still have."""
    for broker, configs in brokers.items():
        minutes = int(configs.get(_OFFSETS_RETENTION, 0))
        if minutes and minutes * _MINUTE_MS < kept_ms:
            wanted = f"at least {-(-kept_ms // _MINUTE_MS)}, as long as topics are kept"
            yield Shortcoming(where=broker, setting=_OFFSETS_RETENTION, found=str(minutes), wanted=wanted)


def _of_topic(plan: TopicPlan, found: Found, kept_ms: int) -> Iterator[Shortcoming]:
    for setting, is_found, wanted in (*_of_copies(plan, found), *_of_keeping(plan, found, kept_ms)):
        yield Shortcoming(where=plan.name, setting=setting, found=str(is_found), wanted=wanted)


def _of_copies(plan: TopicPlan, found: Found) -> Iterator[tuple[str, object, str]]:
    """Whether a broker may be lost, or away."""
    if found.partitions < plan.partitions:
        yield "partitions", found.partitions, f"at least {plan.partitions}"
    if found.replication < plan.replication:
        yield "replication", found.replication, f"at least {plan.replication}"
    insync = _number(found, _MIN_ISR)
    if insync < int(plan.configs[_MIN_ISR]):
        yield _MIN_ISR, insync, f"at least {plan.configs[_MIN_ISR]}"
    elif insync >= found.replication > 1:
        yield _MIN_ISR, insync, f"below {found.replication}, or no broker may be away"
    if found.configs.get(_UNCLEAN) == "true":
        yield _UNCLEAN, "true", "false"


def _of_keeping(plan: TopicPlan, found: Found, kept_ms: int) -> Iterator[tuple[str, object, str]]:
    """Whether all is taken, and kept for as long as it is needed."""
    if _number(found, _MESSAGE_BYTES) < _LEAST_MESSAGE_BYTES:
        yield _MESSAGE_BYTES, _number(found, _MESSAGE_BYTES), f"at least {_LEAST_MESSAGE_BYTES}"
    policy, wanted = found.configs.get(_POLICY), plan.configs[_POLICY]
    if policy != wanted:
        yield _POLICY, policy, wanted
    if plan.name in _KEPT and found.retention_ms is not None and found.retention_ms < kept_ms:
        yield _RETENTION, found.retention_ms, f"at least {kept_ms}, {TTLS} x the longest ttl"
    if plan.name in _KEPT and _number(found, _RETENTION_BYTES) >= 0:
        yield _RETENTION_BYTES, _number(found, _RETENTION_BYTES), "-1"


def _insync(replication: int) -> int:
    """With three copies one broker may be away. With fewer nobody promises that, and writing needs one."""
    return 2 if replication > 2 else 1  # noqa: PLR2004 - two of three


def _number(found: Found, name: str) -> int:
    return int(found.configs.get(name) or -1)
