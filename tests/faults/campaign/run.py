"""One round of one row: load, fault, probe, and the account of what became of all that was accepted."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.faults.campaign.rows import Row
from tests.faults.campaign.scene import Scene
from tests.support.account import Counts
from tests.support.load import Load, Sent
from tests.support.providers import StandIns
from tests.support.real_stack import RealStack
from tests.support.services import RealServices
from tests.support.stack_client import wait_until

#: Deliveries a second that are posted, each at its time whatever becomes of the others.
RATE = 525.0
#: Of these at least so many are posted, and accepted where the fault leaves intake as it is.
PROMISED_RATE = 500.0
#: Load before the fault, after it, and at least in all, seconds.
BEFORE_S = 5.0
AFTER_S = 5.0
LOAD_S = 20.0
QUICK_LOAD_S = 7.0
#: Load at most: where what was broken takes longer to start, it ends before.
MOST_S = 75.0
PROBE_S = 30.0
FINAL_S = 400.0
SETTLED_S = 120.0
#: Of ten deliveries one goes by SMTP and two by webhook, where a stand-in counts each call.
CHANNELS = ("in_app", "log", "webhook", "log", "in_app", "email", "log", "in_app", "webhook", "log")
HIGH_SHARE = 0.1


class Result(NamedTuple):
    """One round."""

    counts: Counts
    posted_a_s: float
    accepted_a_s: float
    faults: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        return not self.faults


def run(
    row: Row, stack: RealStack, services: RealServices, providers: StandIns, folder: Path, *, quick: bool
) -> Result:
    """Run it; what it falls short of is in `faults`."""
    scale = 0.2 if quick else 1.0
    load = Load(stack, providers, journal=folder / f"{row.name}-{time.monotonic_ns()}.accepted")
    scene = Scene(stack=stack, services=services, providers=providers, load=load, scale=scale)
    _settle(scene)
    row.before(scene)
    load_s = QUICK_LOAD_S if quick else LOAD_S
    events = load.mix(int(RATE * MOST_S * (1 - HIGH_SHARE)), int(RATE * MOST_S * HIGH_SHARE), CHANNELS)
    started_s = time.monotonic()
    load.start(lambda: load.post(events, rate=RATE))
    time.sleep(BEFORE_S)
    problems: list[str] = []
    _note(problems, lambda: row.fault(scene))
    until_s = time.monotonic()
    scene.send_probe()  # a fault that is over in a moment has sent it in that moment
    probe_s = scene.probe_s(PROBE_S)
    time.sleep(max(0.0, until_s + AFTER_S - time.monotonic(), started_s + load_s - time.monotonic()))
    load.halt()
    load.join()
    posted = load.posted / (load.last_posted_at_s - started_s)
    accepted = load.posted_accepted / (load.last_accepted_at_s - started_s)
    counts = load.account(scene.windows if row.cuts_calls_off else [], within_s=FINAL_S, probe_s=probe_s)
    _note(problems, lambda: row.check(scene))
    problems += _shortfalls(counts, load.sent, stack, providers)
    if not quick:
        problems += _slow(row, posted, accepted)
    load.close()
    return Result(counts, posted, accepted, tuple(problems))


def _settle(scene: Scene) -> None:
    """All services and parts are up, and nothing waits."""
    scene.wait_kafka_whole()
    wait_until(lambda: scene.stack.get("/readyz").status == 200, "the HTTP service is ready", SETTLED_S)

    def is_idle() -> bool:
        shown = scene.stack.manage("queues", "--json")
        return shown.returncode == 0 and shown.stdout.strip() in ("[]", "")

    wait_until(is_idle, "nothing waits", SETTLED_S, look_s=1.0)


def _note(problems: list[str], act: Callable[[], None]) -> None:
    """What goes wrong in a fault or check is told with the rest."""
    try:
        act()
    except AssertionError as error:
        problems.append(str(error).splitlines()[0][:300])


def _slow(row: Row, posted: float, accepted: float) -> list[str]:
    """What of the load was less than promised."""
    rates = {"posted": posted} if row.cuts_intake else {"posted": posted, "accepted": accepted}
    return [f"{rate:.0f} deliveries/s were {what}" for what, rate in rates.items() if rate < PROMISED_RATE]


def _shortfalls(counts: Counts, sent: list[Sent], stack: RealStack, providers: StandIns) -> list[str]:
    """What of the promises does not hold."""
    found = []
    if counts.lost:
        found.append(f"{len(counts.lost)} lost, the first {counts.lost[0]}")
    if counts.unexplained:
        found.append(f"{len(counts.unexplained)} sent twice without reason, the first {counts.unexplained[0]}")
    if counts.probe_s > PROBE_S:
        found.append(f"high after the fault took more than {PROBE_S:g} s")
    others = [one for one in sent if counts.finals.get(one.delivery_id, "sent") not in ("sent", "unknown")]
    for one in others[:5]:
        reason = stack.history.reason_of(one.delivery_id)
        found.append(f"{one.priority}.{one.channel} is {counts.finals[one.delivery_id]}: {reason}")
    called = {one.delivery_id for one in providers.taken()}
    by_network = {one.delivery_id for one in sent if one.channel in ("email", "webhook")}
    claimed = {key for key in by_network if counts.finals.get(key) == "sent"}
    if claimed - called:
        found.append(f"{len(claimed - called)} are called sent that no provider took")
    return found
