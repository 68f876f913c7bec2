"""`manage.py topics`: Kafka's topics, made and looked at. Only where Kafka is a real one."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click

from app.commands.output import json_option, not_found, print_json, print_rows
from app.domain.errors import ConfigError
from app.domain.lane import ALL_TOPICS
from app.domain.topics import Found, Shortcoming, TopicPlan, planned_topics, shortcomings
from app.settings import Settings, settings
from infrastructure import wiring
from infrastructure.kafka.topics import Did, Topics

_DAY_MS = 86_400_000


@click.group()
def topics() -> None:
    """Make and look at Kafka's topics."""
    if settings().profile == "embedded":
        raise ConfigError(
            "the embedded broker makes its topics by itself, as they are; "
            "`manage.py topics` is for a real Kafka (NOTIFY_PROFILE=real)"
        )


@topics.command()
@json_option
def create(as_json: bool) -> None:
    """Make what is missing, add partitions, set what differs; harmless to repeat.

    Partitions and replicas that would have to go or move are left as they are, and told. Ends with exit code 1 where
    Kafka refuses something.
    """
    steps = Topics(settings()).make(_plans(settings()))
    told = [step for step in steps if step.did is not Did.KEPT]
    if as_json:
        print_json(steps)
    elif told:
        print_rows(
            "Topics", ("topic", "did", "detail"), [(one.topic, one.did, one.detail) for one in told], as_json=False
        )
    else:
        click.echo("all topics are as planned")
    if any(step.did is Did.REFUSED for step in steps):
        sys.exit(1)


@topics.command("list")
@json_option
def list_topics(as_json: bool) -> None:
    """List the topics of the service that are there."""
    found = Topics(settings()).find(ALL_TOPICS, with_records=True)
    rows = [(one.name, one.partitions, one.replication, _kept(one), one.records) for one in found.values()]
    print_rows("Topics", ("topic", "partitions", "replication", "kept", "records"), rows, as_json)


@topics.command()
@click.argument("topic", required=False, metavar="[TOPIC]")
@json_option
def describe(topic: str | None, as_json: bool) -> None:
    """Check topics and brokers against what is promised: how long and how safely they keep what they have.

    Ends with exit code 1 where something falls short.
    """
    if topic is not None and topic not in ALL_TOPICS:
        raise not_found(f"topic {topic} of this service")
    config = settings()
    plans = [plan for plan in _plans(config) if topic in {None, plan.name}]
    kafka = Topics(config)
    found = kafka.find([plan.name for plan in plans])
    brokers = kafka.brokers() if topic is None else {}
    short = shortcomings(plans, found, brokers, wiring.catalogue(config).max_ttl_s)
    if as_json:
        print_json({"topics": list(found.values()), "falls_short": short})
    else:
        _print_described(found.values(), short)
    if short:
        sys.exit(1)


def _plans(config: Settings) -> tuple[TopicPlan, ...]:
    return planned_topics(config.kafka_partitions, config.kafka_replication, config.kafka_retention_s)


def _print_described(found: Iterable[Found], short: Sequence[Shortcoming]) -> None:
    rows = [
        (one.name, one.partitions, one.replication, one.configs.get("min.insync.replicas"), _kept(one)) for one in found
    ]
    print_rows("Topics", ("topic", "partitions", "replication", "min_insync", "kept"), rows, as_json=False)
    if short:
        columns = ("where", "setting", "found", "wanted")
        print_rows(
            "Falls short", columns, [(one.where, one.setting, one.found, one.wanted) for one in short], as_json=False
        )
    else:
        click.echo("nothing falls short")


def _kept(topic: Found) -> str:
    """How long records are kept, for people and scripts alike."""
    if topic.configs.get("cleanup.policy") == "compact":
        return "newest of each key"
    return "for ever" if topic.retention_ms is None else f"{topic.retention_ms / _DAY_MS:g} d"
