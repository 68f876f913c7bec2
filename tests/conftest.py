"""Markers come from the folder a test lies in."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = (
    "tests.support.redis_server",
    "tests.support.services",
    "tests.support.mariadb",
    "tests.support.sql_stores",
    "tests.support.cassandra_service",
    "tests.support.http_services",
    "tests.support.api_keys",
    "tests.support.kafka_broker",
    "tests.support.chain",
)

KINDS = ("unit", "contract", "integration", "e2e", "faults")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the name of its folder under tests/."""
    here = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(here).parts[0]
        if folder in KINDS:
            item.add_marker(folder)
