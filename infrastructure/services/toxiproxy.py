"""toxiproxy: stands between clients and Kafka or Redis, and breaks their connections as it is told over HTTP."""

from __future__ import annotations

import json

from infrastructure.services.layout import BROKERS, HOST, Layout
from infrastructure.services.service import Service, accepts

VERSION = "v2.5.0"
MODULE = f"github.com/Shopify/toxiproxy/v2/cmd/server@{VERSION}"


def proxy(layout: Layout) -> Service:
    """The proxy, with one proxy each for the brokers and for both Redis servers."""
    folder = layout.folder / "toxiproxy"
    config = folder / "proxies.json"
    ports = (layout.toxiproxy_port, *(int(str(one["listen"]).rpartition(":")[2]) for one in proxies(layout)))

    def prepare() -> None:
        layout.data("toxiproxy")
        config.write_text(json.dumps(proxies(layout)))

    return Service(
        name="toxiproxy",
        folder=folder,
        argv=[
            *(str(layout.folder / "bin" / "toxiproxy"), "-host", HOST, "-port", str(layout.toxiproxy_port)),
            *("-config", str(config)),
        ],
        ports=ports,
        is_up=lambda: all(accepts(port) for port in ports),
        prepare=prepare,
    )


def proxies(layout: Layout) -> list[dict[str, str | bool]]:
    """Name, listening and upstream address of each."""
    pairs = {
        f"kafka-{node}": (layout.kafka_toxic_port + node - 1, layout.kafka_proxied_port + node - 1) for node in BROKERS
    } | {
        "redis-broker": (layout.redis_broker_toxic_port, layout.redis_broker_port),
        "redis-state": (layout.redis_state_toxic_port, layout.redis_state_port),
    }
    return [
        {"name": name, "listen": f"{HOST}:{listen}", "upstream": f"{HOST}:{upstream}", "enabled": True}
        for name, (listen, upstream) in pairs.items()
    ]
