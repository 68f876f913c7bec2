"""Two gateways of one channel: one fails, hangs, is slow; what is to be sent goes through the other."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.faults.conftest import Size
from tests.support.catalogue import write_catalogue
from tests.support.load import Load, Sent
from tests.support.providers import StandIns, WebhookStandIn
from tests.support.stack import QUICK, Stack, pytest_runtest_makereport, running_stack
from tests.support.stack_client import wait_until

__all__ = ["pytest_runtest_makereport"]

RATE = 40.0
#: From when on the other one is to have nearly all.
GRACE_S = 5.0
TIMEOUT_HIGH_S = 3.0
SLOW_S = 2.0
NEARLY_ALL = 0.99
FINAL_S = 60.0
SETTINGS = {"NOT_AFTER_HIGH_S": "20", "NOT_AFTER_S": "20", "PROVIDER_TIMEOUT_S": "5"}
GATEWAY = """
[[provider]]
kind = "http_sms"
name = "{name}"
url = "{url}"
headers = {{ webhook-id = "{{delivery_id}}" }}
fields = {{ to = "{{to}}", text = "{{text}}" }}
timeout_s = 5
timeout_high_s = {timeout_high_s}
slow_s = 0.5
"""


class Gateways(NamedTuple):
    """The one that is made to fail, and the other."""

    one: WebhookStandIn
    other: WebhookStandIn


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    made = Gateways(*(WebhookStandIn(tmp_path_factory.mktemp(name)) for name in Gateways._fields))
    yield made
    for gateway in made:
        gateway.close()


@pytest.fixture(scope="module")
def set_with_gateways(
    tmp_path_factory: pytest.TempPathFactory, providers: StandIns, gateways: Gateways
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("failover")
    path = folder / "providers.toml"
    path.write_text(
        "".join(
            GATEWAY.format(name=name, url=gateway.url, timeout_high_s=TIMEOUT_HIGH_S)
            for name, gateway in gateways._asdict().items()
        )
    )
    settings = {**QUICK, **SETTINGS, "CATALOGUE": str(write_catalogue(folder)), "PROVIDERS": str(path)}
    with running_stack(folder, **settings, SMTP_URL=providers.smtp.url) as stack:
        yield stack


class Phase(NamedTuple):
    """What was posted, and when it began (monotonic)."""

    began_s: float
    sent: list[Sent]


def post(load: Load, seconds: float) -> Phase:
    """High SMS at the rate, for so long."""
    began_s, sent = time.monotonic(), list[Sent]()
    for number in range(int(seconds * RATE)):
        time.sleep(max(0.0, began_s + number / RATE - time.monotonic()))
        event = load.event("high", "sms")
        event["options"]["to"] = {"phone": f"+4420718{number % 100_000:05}"}
        sent += load.post([event])
    return Phase(began_s, sent)


def taken_by(gateway: WebhookStandIn) -> Counter[str]:
    return Counter(one.delivery_id for one in gateway.taken())


def all_taken(gateways: Gateways, phase: Phase) -> None:
    """Every delivery of the phase has been taken by somebody."""
    wanted = {one.delivery_id for one in phase.sent}
    wait_until(lambda: wanted <= taken_by(gateways.one).keys() | taken_by(gateways.other).keys(), "all", FINAL_S, 0.3)


@pytest.mark.parametrize("trouble", ["refuses", "hangs", "is slow"])
def test_what_one_gateway_does_not_take_goes_through_the_other(
    set_with_gateways: Stack, providers: StandIns, gateways: Gateways, size: Size, trouble: str
) -> None:
    load = Load(set_with_gateways, providers)
    before = post(load, 3.0)
    all_taken(gateways, before)
    if trouble == "is slow":
        gateways.one.slow_down(SLOW_S)
    else:
        gateways.one.turn("refuse" if trouble == "refuses" else "hang")
    phase = post(load, GRACE_S + size.isolation_s)
    all_taken(gateways, phase)
    gateways.one.slow_down(0.0)
    gateways.one.turn("accept")
    late = [one for one in phase.sent if one.posted_at_s >= phase.began_s + GRACE_S]
    at_s = {one.delivery_id: one.at_s for one in gateways.other.taken()}
    in_time = [one for one in late if at_s.get(one.delivery_id, 1e12) <= one.posted_at_s + GRACE_S]
    after = share_of_one(load, gateways)
    later = drifted_back(load, gateways, after)
    took = taken_by(gateways.one) + taken_by(gateways.other)
    twice = sum(1 for one in phase.sent if took[one.delivery_id] > 1)
    sys.stdout.write(
        f"one {trouble}: {len(in_time)} of {len(late)} through the other within {GRACE_S:g} s, twice {twice}; "
        f"its share after that {after:.2f}, later {later:.2f}\n"
    )
    assert len(in_time) >= NEARLY_ALL * len(late)
    if trouble == "refuses":
        assert twice == 0
    counts = load.account(within_s=FINAL_S)
    assert counts.statuses == {"sent": counts.accepted}


def share_of_one(load: Load, gateways: Gateways) -> float:
    """How much of what is posted now the first one gets."""
    phase = post(load, 2.0)
    all_taken(gateways, phase)
    ids = {one.delivery_id for one in phase.sent}
    return len(ids & taken_by(gateways.one).keys()) / len(ids)


def drifted_back(load: Load, gateways: Gateways, before: float) -> float:
    """Its share, once that is larger."""
    found: list[float] = []

    def is_larger() -> bool:
        found.append(share_of_one(load, gateways))
        return found[-1] > max(0.2, before)

    wait_until(is_larger, "its share drifts back", 90.0)
    return found[-1]
