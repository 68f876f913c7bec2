"""Events a second that are accepted, with Kafka's acks of all replicas, against a view that only reads the JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench import events
from bench.figures import Figures, Task
from bench.stage import Stage, parts_of, paused, processor_time, running_stage, since
from tests.support.ending import end
from tests.support.ports import free_port
from tests.support.stack_client import ROOT, ask, wait_until

SINGLE: Final = "one event a request"
BATCH: Final = "500 events a request"
BARE: Final = "a view that reads the JSON and answers"
#: Microseconds of processor time for an event.
API_US: Final = "api, us an event"
KAFKA_US: Final = "Kafka, us an event"
BATCH_EVENTS: Final = 500
CONNECTIONS: Final = 16
BATCH_CONNECTIONS: Final = 4
SECONDS: Final = 8
STOP_S: Final = 20.0
PATH: Final = "/api/v1/notifications"


def accepted(task: Task) -> Figures:
    """Everything behind the HTTP service stands still meanwhile: two cores are shared by few."""
    found: Figures = {}
    one = json.dumps(events.event(1)).encode()
    many = json.dumps([events.event(number) for number in range(BATCH_EVENTS)]).encode()
    with running_stage(task.profile, task.folder) as stage, _bare_view(stage) as bare_port:
        seconds = task.scaled(SECONDS)

        def post(name: str, path: str, body: bytes, connections: int, events_each: int) -> None:
            before = processor_time(stage)
            rate = events_each * _wrk(stage.stack.port, path, body, connections, seconds, task.folder)
            used_s = since(processor_time(stage), before)
            task.note(found, name, rate)
            kafka_s = sum(used for part, used in used_s.items() if part == "broker" or part.startswith("kafka"))
            for part, used in ((API_US, used_s["api"]), (KAFKA_US, kafka_s)):
                found.setdefault(f"{part}, {name}", []).append(used / (rate * seconds) * 1e6)

        for _ in task.each_round():
            with paused(stage.stack, [part for part in parts_of(stage.stack) if part != "api"]):
                post(SINGLE, PATH, one, CONNECTIONS, 1)
                task.note(found, BARE, _wrk(bare_port, PATH, one, CONNECTIONS, seconds, task.folder))
                post(BATCH, f"{PATH}/batch", many, BATCH_CONNECTIONS, BATCH_EVENTS)
    return found


def _wrk(port: int, path: str, body: bytes, connections: int, seconds: int, folder: Path) -> float:
    """Requests a second, all of which were answered with 2xx."""
    (folder / "body.json").write_bytes(body)
    script = folder / "post.lua"
    script.write_text(
        f"""local file = io.open("{folder / "body.json"}", "rb")
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["Content-Type"] = "application/json"
"""
    )
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}{path}"]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


@contextmanager
def _bare_view(stage: Stage) -> Iterator[int]:
    """`bench.bare_view` by the same server with the same options; its port."""
    port = free_port()
    # As many as the embedded set starts, and as the compose file says.
    workers = "1" if stage.services is None else "2"
    argv = [sys.executable, "-m", "bench.bare_view", str(port), workers]
    process = subprocess.Popen(argv, cwd=ROOT, env=stage.stack.environ)
    try:
        wait_until(lambda: _answers(port), "the bare view answers")
        yield port
    finally:
        end(process, STOP_S)


def _answers(port: int) -> bool:
    try:
        return ask(port, "POST", PATH, b"{}").status == 202
    except OSError:
        return False
