"""kill -9 of `manage.py send` at random moments: each line is one notification, and its provider is called once."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.conftest import Size
from tests.support.providers import StandIns
from tests.support.sending import event, killed_thrice, write_lines
from tests.support.stack import Stack
from tests.support.stack_client import wait_until

LINES, LINES_FULL = 2000, 20_000


@pytest.mark.parametrize("seed", [1])
def test_kill_send(stack: Stack, providers: StandIns, size: Size, tmp_path: Path, seed: int) -> None:
    lines = LINES_FULL if size.is_full else LINES
    options = {"channels": ["webhook"], "priority": "low", "to": {"webhook": providers.webhook.url}}
    path = write_lines(tmp_path / "lines.ndjson", [event(number, options=options) for number in range(lines)])
    told = killed_thrice(stack, path, "--batch", "100", "--rate", f"{lines // 3}/s", seed=seed)
    started_s = time.monotonic()
    last = stack.manage("send", str(path))
    assert last.returncode == 0, last.stderr
    wait_until(lambda: len(stack.history.times_sent("send-%")) >= lines, "all are sent", size.final_s * 2, look_s=0.5)
    sent = stack.history.times_sent("send-%")
    calls = Counter(one.delivery_id for one in providers.taken() if one.delivery_id in sent)
    print(  # noqa: T201 - the figures are what the run is for
        f"\nsend: {lines} lines, killed at {told}, all sent {time.monotonic() - started_s:.1f} s after the last start: "
        f"{len(sent)} notifications, {sum(calls.values())} calls, {last.stdout.split()}"
    )
    assert (len(sent), len(calls), set(calls.values())) == (lines, lines, {1})
