"""A thousand push deliveries in batches, by one worker child, against push services that take 100 ms for each call."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.domain.device import Device, Platform
from app.domain.provider_file import ApnsEntry, FcmEntry
from app.settings import Settings
from infrastructure.channels import es256
from infrastructure.channels.apns import ApnsProvider
from infrastructure.channels.fcm import FcmProvider
from tests.support.certificate import make_certificate
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
SERVE_FCM = """
import sys
from tests.support.fcm_stand_in import fcm_stand_in
with fcm_stand_in(latency_s=float(sys.argv[1])) as fcm:
    print(fcm.port, flush=True)
    sys.stdin.readline()
    print(len(fcm.sent), len({one.client_port for one in fcm.sent}), fcm.most_at_once, flush=True)
"""
SERVE_APNS = """
import ssl, sys
from tests.support import apns_stand_in as apns
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(sys.argv[2] + "/certificate.pem", sys.argv[2] + "/key.pem")
with apns.apns_stand_in(tls, latency_s=float(sys.argv[1]), max_streams=1000) as apple:
    apple._token_fault = lambda authorization: ""
    print(apple.port, flush=True)
    sys.stdin.readline()
    print(len(apple.sent), apple.connections, apple.most_at_once, flush=True)
"""


@contextmanager
def stand_in(program: str, *arguments: str) -> Iterator[Any]:
    """In a process of its own, so that it takes no time of the child's."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(LATENCY_S), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def send_a_thousand(chain: Chain, provider: Any, platform: Platform, process: Any) -> tuple[int, int]:
    """Each to a device of its own: connections, and most calls at a time."""
    chain.provide("push", provider)
    users = [f"user-{number}" for number in range(DELIVERIES)]
    for number, user_id in enumerate(users):
        device = Device(
            id=f"d-{user_id}", user_id=user_id, platform=platform, token=f"{number:064x}", registered_at_ms=1
        )
        chain.context.devices.register(device, 9)
    deliveries = [delivery(channel="push", user_id=user_id) for user_id in users]

    started_s, cpu_s = time.monotonic(), time.process_time()
    told = []
    for start in range(0, DELIVERIES, BATCH):
        told += chain.run(*deliveries[start : start + BATCH]).told
    took_s, cpu_s = time.monotonic() - started_s, time.process_time() - cpu_s
    provider.close()
    process.stdin.write("\n")
    process.stdin.flush()
    calls, connections, at_once = map(int, process.stdout.readline().split())

    assert told == [("sent", "")] * DELIVERIES
    assert calls == DELIVERIES
    assert took_s < LONGEST_S * BUSY, f"{took_s:.2f} s, {cpu_s:.2f} s of CPU"
    return connections, at_once


def settings_of(chain: Chain) -> Settings:
    return dataclasses.replace(chain.context.settings, provider_timeout_s=5.0)


def test_a_thousand_by_fcm_take_no_longer_than_is_promised(chain: Chain) -> None:
    with stand_in(SERVE_FCM) as google:
        url = f"http://127.0.0.1:{int(google.stdout.readline())}"
        provider = FcmProvider(FcmEntry(name="fcm", service_account="", url=url), account(url), settings_of(chain))
        connections, at_once = send_a_thousand(chain, provider, "fcm", google)
    assert connections <= 64, "they are kept"
    assert 32 < at_once <= 64, "as many at a time as the channel's concurrency"


def test_a_thousand_by_apns_take_no_longer_and_one_connection(chain: Chain, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    with stand_in(SERVE_APNS, str(tmp_path)) as apple:
        url = f"https://127.0.0.1:{int(apple.stdout.readline())}"
        entry = ApnsEntry(name="apns", key="", key_id="K" * 10, team_id="T" * 10, topic="com.example.shop", url=url)
        key = es256.pem_of(es256.new_key())
        provider = ApnsProvider(entry, key, settings_of(chain), certificate.client)
        connections, at_once = send_a_thousand(chain, provider, "apns", apple)
    assert connections == 1
    assert 32 < at_once <= 64, "as many at a time as the channel's concurrency"
