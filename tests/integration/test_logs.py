"""What a process writes to standard error: JSON lines, with an error's type and place and never its text."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SET_UP = """
import logging, threading, structlog
from app.settings import Settings
from infrastructure.telemetry.logs import configure_logs
configure_logs(Settings(log_level="debug"))
log = structlog.get_logger()
def fails():
    raise ValueError("secret words")
"""


def lines(program: str) -> list[dict[str, Any]]:
    """What a process that runs the program logs."""
    done = subprocess.run(
        [sys.executable, "-c", SET_UP + program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert "secret" not in done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_an_event_is_a_json_line() -> None:
    [line] = lines("log.info('thing_done', notification_id='n1')")
    assert line["event"] == "thing_done"
    assert line["notification_id"] == "n1"
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


@pytest.mark.parametrize(
    "logger", ["log", "logging.getLogger('celery.worker')", "logging.getLogger('multiprocessing')"]
)
def test_an_error_that_is_logged_tells_its_type_and_place(logger: str) -> None:
    [line] = lines(f"try:\n    fails()\nexcept ValueError:\n    {logger}.exception('it_failed')")
    assert (line["event"], line["error"]) == ("it_failed", "ValueError")
    assert len(line["frames"]) == 2


@pytest.mark.parametrize("start", ["fails()", "t = threading.Thread(target=fails); t.start(); t.join()"])
def test_an_error_that_nobody_handles_tells_its_type_and_place(start: str) -> None:
    [line] = lines(start)
    assert (line["event"], line["error"], line["level"]) == ("process_failed", "ValueError", "critical")
    assert line["frames"]


def test_the_causes_of_an_error_are_named() -> None:
    [line] = lines("try:\n    fails()\nexcept ValueError as error:\n    raise RuntimeError('secret') from error")
    assert (line["error"], line["causes"]) == ("RuntimeError", ["ValueError"])


def test_of_a_librarys_line_only_the_first_is_kept() -> None:
    [line] = lines("logging.getLogger('celery').error('\\nunknown message\\nbody: secret')")
    assert line["event"] == "unknown message"
