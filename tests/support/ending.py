"""Ending a process that a test or a measurement has started."""

from __future__ import annotations

import subprocess
from typing import Any


def end(process: subprocess.Popen[Any], within_s: float) -> None:
    """Ask it to end; by force where it does not go in time."""
    process.terminate()
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
