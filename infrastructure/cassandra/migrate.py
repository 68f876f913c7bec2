"""Bring the keyspace to the schema of this version."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from infrastructure.cassandra.client import Client
from infrastructure.cassandra.schema import BY_TIME, SMALL_READS, STEPS


def migrate(client: Client) -> None:
    """Make the keyspace where it is not there, and take the steps that were not taken yet.

    Several processes may do this at once: every step may be repeated. Raises StoreUnavailableError.
    """
    keyspace = client.address.keyspace
    with client.without_keyspace() as run:
        run(_make_keyspace(client, run))
        run(f"USE {keyspace}")
        run(_with_id(STEPS[0], keyspace, 0))
        found = run("SELECT steps FROM schema_version WHERE id = 0")
        taken = found[0][0] if found else 0
        for number in range(taken, len(STEPS)):
            run(_with_id(STEPS[number], keyspace, number))
        if taken < len(STEPS):
            run(f"INSERT INTO schema_version (id, steps) VALUES (0, {len(STEPS)})")  # noqa: S608 - a number of ours


def _make_keyspace(client: Client, run: Callable[[str], list[tuple[Any, ...]]]) -> str:
    address = client.address
    dc = address.dc or run("SELECT data_center FROM system.local")[0][0]
    replication = f"{{'class': 'NetworkTopologyStrategy', '{dc}': {address.replicas}}}"
    return f"CREATE KEYSPACE IF NOT EXISTS {address.keyspace} WITH replication = {replication}"


def _with_id(step: str, keyspace: str, number: int) -> str:
    made = uuid.uuid5(uuid.NAMESPACE_URL, f"notify:{keyspace}:{number}")
    return step.format(id=made, by_time=BY_TIME, small_reads=SMALL_READS)
