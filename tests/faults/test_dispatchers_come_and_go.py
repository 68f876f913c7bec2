"""Dispatchers join, leave and die under load, on the real set: nothing is lost, and nothing is sent twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from tests.support.catalogue import write_catalogue
from tests.support.load import Load
from tests.support.providers import StandIns
from tests.support.real_stack import RealStack, running_real_stack
from tests.support.services import RealServices
from tests.support.stack import QUICK, pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]

REPLICAS = {"router": 1, "tracker": 1, "scheduler": 1, "flower": 0, "mailbox": 0}
#: Deliveries, and how many of them a second.
LOW, HIGH = 9000, 1000
RATE = 250.0
#: How long a dispatcher stays.
STAYS_S = 4.0
FINAL_S = 120.0


@pytest.fixture(scope="module")
def real_set(
    services: RealServices, providers: StandIns, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealStack]:
    folder = tmp_path_factory.mktemp("come_and_go")
    settings = {**QUICK, "CATALOGUE": str(write_catalogue(folder)), "SMTP_URL": providers.smtp.url}
    with running_real_stack(services, folder, replicas=REPLICAS, **settings) as stack:
        yield stack


def test_dispatchers_come_and_go_under_load(real_set: RealStack, providers: StandIns) -> None:
    """A third one is added and stopped, added and killed; each time the partitions change hands twice."""
    load = Load(real_set, providers)
    events = load.mix(LOW, HIGH)
    load.start(lambda: load.post(events, rate=RATE))
    try:
        for number in (signal.SIGTERM, signal.SIGKILL):
            time.sleep(STAYS_S)
            third = real_set.add("dispatcher")
            time.sleep(STAYS_S)
            real_set.take_away(third, number)
        time.sleep(STAYS_S)
    finally:
        load.halt()
        load.join()
    counts = load.account(within_s=FINAL_S)
    assert counts.accepted > 0
    assert not counts.lost
    assert counts.twice == 0
    assert counts.statuses == {"sent": counts.accepted}
