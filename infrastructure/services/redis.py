"""Redis: one server for Celery's broker, one for limits and claims; neither evicts, both keep an append-only file."""

from __future__ import annotations

import shutil

from infrastructure.services.layout import HOST, Layout
from infrastructure.services.service import Service, accepts

BROKER = "redis-broker"
STATE = "redis-state"


def servers(layout: Layout) -> list[Service]:
    """Both."""
    return [_server(layout, BROKER, layout.redis_broker_port), _server(layout, STATE, layout.redis_state_port)]


def _server(layout: Layout, name: str, port: int) -> Service:
    folder = layout.folder / name
    return Service(
        name=name,
        folder=folder,
        argv=[
            *(shutil.which("redis-server") or "redis-server", "--port", str(port), "--bind", HOST),
            *("--dir", str(folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--maxmemory-policy", "noeviction", "--daemonize", "no", "--enable-debug-command", "local"),
        ],
        ports=[port],
        is_up=lambda: accepts(port),
        prepare=lambda: _prepare(layout, name),
    )


def _prepare(layout: Layout, name: str) -> None:
    layout.data(name)
