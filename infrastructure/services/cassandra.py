"""Apache Cassandra, one node."""

from __future__ import annotations

from pathlib import Path

from infrastructure.services.layout import HOST, Layout
from infrastructure.services.service import Service, accepts

VERSION = "5.0.6"
ARTIFACTS = (f"org.apache.cassandra:cassandra-all:{VERSION}",)
HEAP = "768m"

# Not periodic: a killed node forgets what it acknowledged since its last sync, up to 10 s, and there is no other.
# Not group: the rows of a batch would wait for its window one after the other (docs/decisions.md).
YAML = """\
cluster_name: notify
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: "{host}:{storage}"
listen_address: {host}
rpc_address: {host}
storage_port: {storage}
native_transport_port: {port}
endpoint_snitch: SimpleSnitch
commitlog_sync: batch
commitlog_segment_size: 16MiB
data_file_directories: [{data}/data]
commitlog_directory: {data}/commitlog
saved_caches_directory: {data}/saved_caches
hints_directory: {data}/hints
cdc_raw_directory: {data}/cdc_raw
memtable_heap_space: 128MiB
memtable_offheap_space: 64MiB
auto_snapshot: false
concurrent_compactors: 1
"""
LOGBACK = """\
<configuration>
  <appender name="STDOUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date{ISO8601} %-5level %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="STDOUT"/></root>
</configuration>
"""
#: What Cassandra 5 reaches into on Java 17.
EXPORTS = (
    *("java.base/jdk.internal.misc", "java.base/jdk.internal.ref", "java.base/sun.nio.ch"),
    *("java.management.rmi/com.sun.jmx.remote.internal.rmi", "java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server"),
    *("java.rmi/sun.rmi.transport", "java.rmi/sun.rmi.transport.tcp", "java.sql/java.sql", "java.base/java.lang.ref"),
    *("jdk.unsupported/sun.misc", "java.base/jdk.internal.util"),
)
OPENS = (
    *(f"java.base/java.{name}" for name in ("lang", "lang.module", "lang.reflect", "io", "net", "nio", "util")),
    *("java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic", "java.base/sun.nio.ch"),
    *(f"java.base/jdk.internal.{name}" for name in ("loader", "ref", "reflect", "math", "module", "util.jar")),
    *("jdk.management/com.sun.management.internal", "jdk.management.agent/jdk.internal.agent"),
)


def node(layout: Layout) -> Service:
    """The node; it answers once it takes clients."""
    folder = layout.folder / "cassandra"
    jars = layout.jars("cassandra")
    return Service(
        name="cassandra",
        folder=folder,
        argv=[
            *("java", f"-Xms{HEAP}", f"-Xmx{HEAP}", "-XX:+UseSerialGC", "-Djdk.attach.allowAttachSelf=true"),
            f"-Dcassandra.config=file://{folder}/cassandra.yaml",
            f"-Dlogback.configurationFile={folder}/logback.xml",
            f"-Dcassandra.storagedir={folder}",
            *("-Dcassandra-foreground=yes", "-Dcassandra.skip_wait_for_gossip_to_settle=0"),
            "-Dcassandra.ring_delay_ms=1",
            f"-javaagent:{next(jars.glob('jamm-*.jar'), jars / 'jamm.jar')}",
            *(f"--add-exports={name}=ALL-UNNAMED" for name in EXPORTS),
            *(f"--add-opens={name}=ALL-UNNAMED" for name in OPENS),
            *("-cp", f"{jars}/*", "org.apache.cassandra.service.CassandraDaemon"),
        ],
        ports=[layout.cassandra_port, layout.cassandra_storage_port],
        is_up=lambda: accepts(layout.cassandra_port),
        prepare=lambda: _prepare(layout, folder),
    )


def _prepare(layout: Layout, folder: Path) -> None:
    layout.data("cassandra")
    values = {
        "host": HOST,
        "port": layout.cassandra_port,
        "storage": layout.cassandra_storage_port,
        "data": folder / "files",
    }
    (folder / "cassandra.yaml").write_text(YAML.format(**values))
    (folder / "logback.xml").write_text(LOGBACK)
