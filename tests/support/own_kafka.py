"""A Kafka broker of a test's own, of another kind than the shared ones: TLS, SASL, no KIP-848 groups."""

from __future__ import annotations

import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infrastructure.services import kafka
from infrastructure.services.layout import HOST, Layout
from infrastructure.services.service import accepts
from tests.support.certificate import make_certificate
from tests.support.ports import free_port

USERNAME, PASSWORD = "notify", "the broker's secret"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
START_S = 60.0
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
listeners=PLAINTEXT://{host}:{plaintext},SASL_SSL://{host}:{sasl_ssl},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{plaintext},SASL_SSL://{host}:{sasl_ssl}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=6000
group.coordinator.rebalance.protocols=classic
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config={plain} required user_{username}="{password}";
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
"""


class OwnKafka:
    """One broker with a listener for SASL over TLS, which knows classic groups only. `ca` is who signed it."""

    def __init__(self, layout: Layout, folder: Path) -> None:
        self._layout = layout
        make_certificate(folder)
        self.ca = folder / "certificate.pem"
        plaintext, sasl_ssl, controller = free_port(), free_port(), free_port()
        self.plaintext, self.sasl_ssl = f"{HOST}:{plaintext}", f"{HOST}:{sasl_ssl}"
        keystore = folder / "keystore.pem"
        keystore.write_text((folder / "key.pem").read_text() + self.ca.read_text())
        properties = folder / "server.properties"
        properties.write_text(
            PROPERTIES.format(
                host=HOST,
                plaintext=plaintext,
                sasl_ssl=sasl_ssl,
                controller=controller,
                data=folder / "logs",
                plain=_PLAIN,
                username=USERNAME,
                password=PASSWORD,
                keystore=keystore,
            )
        )
        self._properties = properties
        self._log = folder / "kafka.log"
        self._ports = (plaintext, sasl_ssl)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Format it, start it, wait until it listens."""
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        argv = [*kafka.java(self._layout), "kafka.tools.StorageTool", "format"]
        subprocess.run([*argv, "-t", cluster, "-c", str(self._properties)], check=True, capture_output=True)
        with self._log.open("wb") as log:
            argv = [*kafka.java(self._layout), "kafka.Kafka", str(self._properties)]
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while not all(map(accepts, self._ports)):
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, "the broker does not listen"
            time.sleep(0.1)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def own_kafka(layout: Layout, folder: Path) -> Iterator[OwnKafka]:
    """A running one; ended with the block."""
    made = OwnKafka(layout, folder)
    try:
        made.start()
        yield made
    finally:
        made.kill()
