"""Where processes serve their metrics: addresses, files that tell them, several in one process and behind one port."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.errors import ConfigError
from app.domain.meter import Meter
from app.domain.metric_catalogue import METRICS
from app.settings import Settings
from infrastructure.telemetry.exposition import Exposition, metrics_of
from infrastructure.telemetry.metrics_server import serve_metrics
from infrastructure.telemetry.targets import forget_targets, targets
from tests.support.ports import free_port
from tests.support.stack_client import wait_until

ROOT = Path(__file__).parents[2]


def exposition() -> Exposition:
    return Exposition(metrics_of("worker"), meter=Meter())


def shown(address: str) -> str:
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def embedded(folder: Path, bind: str) -> Settings:
    return replace(Settings.load({"NOTIFY_STATE_DIR": str(folder)}), metrics_bind=bind)


@contextmanager
def process(settings: Settings, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command with these settings; stopped by SIGTERM, which it obeys."""
    environ = {"PATH": os.environ["PATH"], **settings.as_environ()}  # noqa: TID251 - programs are looked for there
    running = subprocess.Popen([sys.executable, "manage.py", *words], cwd=ROOT, env=environ, stderr=subprocess.PIPE)
    try:
        yield running
        assert running.poll() is None
    finally:
        running.terminate()
        _, said = running.communicate(timeout=30)
    assert running.returncode == 0, said.decode()


def addresses(settings: Settings, part: str, count: int) -> Sequence[str]:
    """Where the processes of a part are, once there are so many."""

    def look() -> list[str]:
        found = [address for name, address in targets(settings) if name == part]
        return found if len(found) == count else []

    found: list[str] = wait_until(look, f"{count} of {part}")
    return found


def test_nothing_listens_where_no_address_is_set(tmp_path: Path) -> None:
    assert serve_metrics(embedded(tmp_path, ""), "worker", exposition().registry) is None
    assert not list(targets(embedded(tmp_path, "")))


def test_processes_with_one_setting_take_ports_one_after_the_other(tmp_path: Path) -> None:
    settings = embedded(tmp_path, f"127.0.0.1:{free_port()}")
    binds = [serve_metrics(settings, f"pool{number}", exposition().registry) for number in range(2)]
    assert binds[0] is not None
    assert binds[1] is not None
    assert binds[0].port < binds[1].port
    assert dict(targets(settings)) == {"pool0": str(binds[0]), "pool1": str(binds[1])}
    assert "notify_stale_batches_total 0.0" in shown(str(binds[1]))


@pytest.mark.parametrize("bind", ["nonsense", "127.0.0.1:99999", "203.0.113.1:9464"])
def test_an_address_that_cannot_be_used_names_the_setting(tmp_path: Path, bind: str) -> None:
    with pytest.raises(ConfigError, match="NOTIFY_METRICS_BIND"):
        serve_metrics(embedded(tmp_path, bind), "worker", exposition().registry)


def test_the_files_of_dead_processes_go_when_their_part_starts_again(tmp_path: Path) -> None:
    settings = embedded(tmp_path, "127.0.0.1:0")
    serve_metrics(settings, "worker", exposition().registry)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    [own] = (tmp_path / "metrics").glob("*.json")
    own.rename(own.with_name(f"worker-{dead.pid}.json"))
    bind = serve_metrics(settings, "worker", exposition().registry)
    assert list(targets(settings)) == [("worker", str(bind))]
    forget_targets(settings)
    assert not list(targets(settings))


def test_bridges_in_one_process_show_all_that_each_would(service: Settings) -> None:
    settings = replace(service, metrics_bind="127.0.0.1:0")
    with process(settings, "bridge", "all"):
        [address] = addresses(settings, "bridges", 1)
        wait_until(lambda: 'notify_out_batches{lane="high.email"} 0.0' in shown(address), "the dispatcher is asked")
        text = shown(address)
    names = {metric.name for metric in METRICS if set(metric.at) & {"router", "dispatcher", "tracker", "scheduler"}}
    assert not [name for name in names if f"# TYPE {name}" not in text]


def test_http_processes_behind_one_port_are_each_asked_at_their_own(service: Settings) -> None:
    settings = replace(service, metrics_bind="127.0.0.1:0", http_bind=f"127.0.0.1:{free_port()}")
    with process(settings, "api", "--workers", "2"):
        found = addresses(settings, "api", 2)
        for _ in range(6):
            wait_until(lambda: "notify_http_requests" in shown(settings.http_bind), "it answers")
        answered = [
            line
            for address in found
            for line in shown(address).splitlines()
            if line.startswith('notify_http_requests_total{endpoint="metrics.show"')
        ]
    assert sum(float(line.rpartition(" ")[2]) for line in answered) == 6
