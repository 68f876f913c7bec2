"""All services of a layout, started and stopped together."""

from __future__ import annotations

from collections.abc import Sequence

from infrastructure.services import cassandra, kafka, mariadb, redis, toxiproxy
from infrastructure.services.layout import Layout
from infrastructure.services.service import Service, ServiceError


def all_services(layout: Layout) -> dict[str, Service]:
    """By name, in order of start."""
    made = [
        *redis.servers(layout),
        mariadb.server(layout),
        *kafka.brokers(layout),
        cassandra.node(layout),
        toxiproxy.proxy(layout),
    ]
    return {service.name: service for service in made}


def chosen(layout: Layout, names: Sequence[str]) -> list[Service]:
    """These, or all where none is named. Raises ServiceError for a name that is none."""
    known = all_services(layout)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ServiceError(f"{unknown[0]} is none of {', '.join(known)}")
    return [service for name, service in known.items() if not names or name in names]


def start(services: Sequence[Service]) -> None:
    """Start them side by side, then wait for all. Raises ServiceError."""
    for service in services:
        service.spawn()
    for service in services:
        service.wait()
