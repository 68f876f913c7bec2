"""Apache Kafka: three brokers, each its own controller too (KRaft), replication 3, two in sync for an ack."""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path

from infrastructure.services.layout import BROKERS, HOST, Layout
from infrastructure.services.service import Service, ServiceError, accepts

VERSION = "4.1.1"
ARTIFACTS = (f"org.apache.kafka:kafka_2.13:{VERSION}", f"org.apache.kafka:kafka-tools:{VERSION}")
HEAP = "320m"
FORMAT_S = 120.0
#: At least as long as the topics keep records: two weeks, minutes.
OFFSETS_RETENTION_MIN = 20_160

PROPERTIES = """\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},PROXIED://{host}:{proxied},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port},PROXIED://{host}:{toxic}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
num.partitions=6
default.replication.factor=3
min.insync.replicas=2
auto.create.topics.enable=false
offsets.topic.replication.factor=3
offsets.topic.num.partitions=4
offsets.retention.minutes={offsets_retention}
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=6000
group.consumer.min.session.timeout.ms=6000
group.consumer.session.timeout.ms=8000
group.consumer.min.heartbeat.interval.ms=1000
group.consumer.heartbeat.interval.ms=2000
log.segment.bytes=67108864
log.retention.check.interval.ms=60000
num.network.threads=2
num.io.threads=2
num.replica.fetchers=1
log.cleaner.dedupe.buffer.size=16777216
"""


def brokers(layout: Layout) -> list[Service]:
    """The three of them."""
    return [_broker(layout, node) for node in BROKERS]


def bootstrap(layout: Layout) -> str:
    """What clients are told."""
    return ",".join(f"{HOST}:{layout.kafka_port + node - 1}" for node in BROKERS)


def java(layout: Layout) -> list[str]:
    """Java with Kafka's libraries."""
    return ["java", f"-Xmx{HEAP}", f"-Xms{HEAP}", "-XX:+UseSerialGC", "-cp", f"{layout.jars('kafka')}/*"]


def _broker(layout: Layout, node: int) -> Service:
    name = f"kafka-{node}"
    folder = layout.folder / name
    properties = folder / "server.properties"
    port = layout.kafka_port + node - 1
    return Service(
        name=name,
        folder=folder,
        argv=[*java(layout), "kafka.Kafka", str(properties)],
        ports=[port, layout.kafka_proxied_port + node - 1, layout.kafka_controller_port + node - 1],
        is_up=lambda: accepts(port),
        prepare=lambda: _prepare(layout, node, properties),
    )


def _prepare(layout: Layout, node: int, properties: Path) -> None:
    """Write the properties; format the log folder at the first start."""
    data = layout.data(f"kafka-{node}") / "logs"
    voters = ",".join(f"{one}@{HOST}:{layout.kafka_controller_port + one - 1}" for one in BROKERS)
    properties.write_text(
        PROPERTIES.format(
            node=node,
            voters=voters,
            host=HOST,
            port=layout.kafka_port + node - 1,
            proxied=layout.kafka_proxied_port + node - 1,
            toxic=layout.kafka_toxic_port + node - 1,
            controller=layout.kafka_controller_port + node - 1,
            data=data,
            offsets_retention=OFFSETS_RETENTION_MIN,
        )
    )
    if (data / "meta.properties").exists():
        return
    argv = [*java(layout), "kafka.tools.StorageTool", "format", "-t", _cluster_id(layout), "-c", str(properties)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=FORMAT_S, check=False)  # noqa: S603 - ours
    if done.returncode:
        raise ServiceError(f"kafka-{node}: its log folder could not be formatted:\n{done.stdout}{done.stderr}")


def _cluster_id(layout: Layout) -> str:
    """One for all brokers, made once."""
    path = layout.folder / "kafka-cluster-id"
    if not path.exists():
        path.write_text(base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))
    return path.read_text()
