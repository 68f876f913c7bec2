"""A thousand push deliveries in batches, by one worker child, against an FCM that takes 100 ms for each call."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.domain.device import Device
from app.domain.provider_file import FcmEntry
from infrastructure.channels.fcm import FcmProvider
from tests.support.chain import Chain
from tests.support.deliveries import delivery
from tests.support.google_account import account

ROOT = Path(__file__).parents[2]
DELIVERIES = 1000
BATCH = 250
LATENCY_S = 0.1
#: What is promised of an idle machine of 2 cores, the stand-in on one of them.
LONGEST_S = 3.0
#: What a busy one gets: only that calls go at the same time is held then.
BUSY = 3
SERVE = """
import sys, time
from tests.support.fcm_stand_in import fcm_stand_in
with fcm_stand_in(latency_s=float(sys.argv[1])) as fcm:
    print(fcm.port, flush=True)
    sys.stdin.readline()
    print(len(fcm.sent), len({one.client_port for one in fcm.sent}), fcm.most_at_once, flush=True)
"""


@pytest.fixture
def google() -> Iterator[subprocess.Popen[str]]:
    """The stand-in, in a process of its own, so that it takes no time of the child's."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(LATENCY_S)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        pipe.close()


def test_a_thousand_take_no_longer_than_is_promised(chain: Chain, google: Any) -> None:
    url = f"http://127.0.0.1:{int(google.stdout.readline())}"
    settings = dataclasses.replace(chain.context.settings, provider_timeout_s=5.0)
    provider = FcmProvider(FcmEntry(name="fcm", service_account="", url=url), account(url), settings)
    chain.provide("push", provider)
    users = [f"user-{number}" for number in range(DELIVERIES)]
    for user_id in users:
        device = Device(id=f"d-{user_id}", user_id=user_id, platform="fcm", token=f"t-{user_id}", registered_at_ms=1)
        chain.context.devices.register(device, 9)
    deliveries = [delivery(channel="push", user_id=user_id) for user_id in users]

    started_s, cpu_s = time.monotonic(), time.process_time()
    told = []
    for start in range(0, DELIVERIES, BATCH):
        told += chain.run(*deliveries[start : start + BATCH]).told
    took_s, cpu_s = time.monotonic() - started_s, time.process_time() - cpu_s
    provider.close()
    google.stdin.write("\n")
    google.stdin.flush()
    calls, connections, at_once = map(int, google.stdout.readline().split())

    assert told == [("sent", "")] * DELIVERIES
    assert calls == DELIVERIES
    assert connections <= 64, "they are kept"
    assert 32 < at_once <= 64, "as many at a time as the channel's concurrency"
    assert took_s < LONGEST_S * BUSY, f"{took_s:.2f} s, {cpu_s:.2f} s of CPU"
