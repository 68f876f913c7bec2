"""While workers stand still, Celery's queues do not grow with time or load: what waits, waits in Kafka."""

from __future__ import annotations

import signal
import time
from collections import Counter

from tests.faults.conftest import Size
from tests.support.broker import Waiting, waiting
from tests.support.load import Load
from tests.support.stack import Stack

QUEUE_BYTES = 16 * 1024 * 1024
LOOK_S = 0.25
PROBE_S = 30.0


def test_stopped_workers(stack: Stack, load: Load, size: Size) -> None:
    """At most one copy of each batch, and never more bytes than the bound; all is delivered once they go on."""
    load.post(load.mix(50, 10))
    load.account(within_s=size.final_s)
    stack.signal_workers(signal.SIGSTOP)
    looks: list[list[Waiting]] = []
    try:
        load.start(lambda: load.post(load.mix(size.low, size.high), rate=(size.low + size.high) / size.stopped_s * 1.5))
        deadline = time.monotonic() + size.stopped_s
        while time.monotonic() < deadline:
            looks.append(waiting(stack))
            time.sleep(LOOK_S)
    finally:
        stack.signal_workers(signal.SIGCONT)
    most = max(map(len, looks))
    most_bytes = max(sum(one.size for one in look) for look in looks)
    print(f"\nstopped workers: most messages {most}, most bytes {most_bytes}")  # noqa: T201 - part of the counts
    assert most, "nothing came to wait: the test shows nothing"
    assert most_bytes <= QUEUE_BYTES
    for look in looks:
        # A partition has one batch out, and of that one copy.
        assert max(Counter((one.topic, one.partition) for one in look).values(), default=0) <= 1
    probe_s = load.seconds_to_provider(load.post_one(load.event("high", "email")), PROBE_S)
    load.join()
    counts = load.account(within_s=size.final_s, probe_s=probe_s)
    counts.print("stopped workers")
    assert not counts.lost
    assert counts.twice == 0
    assert probe_s <= PROBE_S
