"""`manage.py send` as a process that may be killed, and the events that it sends."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.stack_client import ROOT, StackClient

RUN_S = 300.0


def event(number: int, **given: Any) -> dict[str, Any]:
    """An event with one delivery on the log channel; the number tells it from others."""
    options = {"channels": ["log"], "priority": "low"}
    values = {"user_id": f"send-{number}", "event_type": "load_low", "content": f"line {number}", "options": options}
    return values | given


def write_lines(path: Path, events: list[Any]) -> Path:
    """The file: what is no text is written as JSON."""
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in events))
    return path


def start_send(stack: StackClient, path: Path, *words: str) -> subprocess.Popen[str]:
    """Start it beside the running set."""
    argv = [sys.executable, str(ROOT / "manage.py"), "send", str(path), *words]
    return subprocess.Popen(
        argv,
        cwd=ROOT,
        env=stack.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def killed_thrice(stack: StackClient, path: Path, *words: str, seed: int) -> list[int]:
    """Kill it with -9 three times at random moments after its first progress; the lines it had told of each time."""
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    told = []
    progress = path.with_name(f"{path.name}.progress")
    for _ in range(3):
        before = progress.read_bytes() if progress.exists() else b""
        process = start_send(stack, path, *words)
        deadline = time.monotonic() + RUN_S
        while (progress.read_bytes() if progress.exists() else b"") == before:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(chance.uniform(0.0, 0.3))
        assert process.poll() is None, "it ended before it could be killed"
        process.kill()
        process.communicate()
        told.append(json.loads(progress.read_bytes())["line"])
    return told


def times_logged(stack: StackClient) -> int:
    """How often the log channel was handed a message since the set's start."""
    log = stack.log()
    return log.count("notification_logged") + sum(int(more) for more in re.findall(r"\bmore\W+(\d+)", log))
