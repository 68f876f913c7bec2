"""The real stores, emptied: what one set of the service left there is nothing to the next."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import redis
import sqlalchemy
from confluent_kafka.admin import AdminClient

from app.domain.lane import ALL_TOPICS
from tests.support.services import RealServices

WITHIN_S = 60.0
LOOK_S = 0.2


def reset(services: RealServices, database: str, keyspace: str) -> None:
    """Neither topic, table nor key is left, and no row in the keyspace; the database is there, and empty."""
    with ThreadPoolExecutor() as pool:
        done = [
            pool.submit(_delete_topics, services),
            pool.submit(_empty_keyspace, services, keyspace),
            pool.submit(_empty_database, services, database),
            pool.submit(_empty_redis, services),
        ]
    for one in done:
        one.result()


def _empty_redis(services: RealServices) -> None:
    for url in (services.redis_broker, services.redis_state):
        client = redis.Redis.from_url(url)
        strangers = [one["addr"] for one in client.client_list() if one["cmd"] == "brpop"]
        assert not strangers, f"workers of another set take what lies in {url}: {strangers}"
        client.config_set("maxmemory", 0)  # a campaign that was ended in the middle may have left a small one
        client.flushall()
        client.close()


def _empty_database(services: RealServices, database: str) -> None:
    engine = sqlalchemy.create_engine(services.database)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {database}")
        connection.exec_driver_sql(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")
    engine.dispose()


def _empty_keyspace(services: RealServices, keyspace: str) -> None:
    """Its tables stay where there are any: making them takes Cassandra several times as long as emptying them."""
    from cassandra.cluster import Cluster  # not there where the real profile is not

    host, _, port = services.cassandra.partition(":")
    with Cluster([host], port=int(port)) as cluster:
        session = cluster.connect()
        query = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
        for row in session.execute(query, [keyspace], timeout=WITHIN_S):
            if row.table_name != "schema_version":
                session.execute(f"TRUNCATE {keyspace}.{row.table_name}", timeout=WITHIN_S)


def _delete_topics(services: RealServices) -> None:
    admin = AdminClient({"bootstrap.servers": services.kafka})
    there = [topic for topic in admin.list_topics(timeout=WITHIN_S).topics if topic in ALL_TOPICS]
    if not there:
        return
    for future in admin.delete_topics(there, operation_timeout=WITHIN_S).values():
        future.result(WITHIN_S)
    deadline = time.monotonic() + WITHIN_S
    while set(admin.list_topics(timeout=WITHIN_S).topics) & set(there):
        assert time.monotonic() < deadline, "the topics do not go"
        time.sleep(LOOK_S)
