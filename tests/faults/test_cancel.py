"""Deliveries that are cancelled at any moment of their way: each is sent or cancelled, and the answers are true."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from app.domain.ids import delivery_id
from tests.support.providers import StandIns
from tests.support.stack import Stack
from tests.support.stack_client import Answer, wait_until

SETTINGS = {"CANCEL_WAIT_S": "0.3"}
CHANNELS = ("email", "webhook")
#: Two deliveries each.
EVENTS = 500
BATCH = 100
#: Requests under way at a time; the service has 16 threads.
CLIENTS = 12
#: From its acceptance to its DELETE, at most; the providers take about as long for all that is not cancelled.
MOMENTS_S = 10.0
#: How long providers refuse at first, so that retries are parked.
REFUSE_S = 3.0
EMAIL_S, WEBHOOK_S = 0.1, 1.4
FINAL_WITHIN_S = 90.0
#: Of the 1,000, how many are caught in each phase at least: below that, the test has not looked there.
FEW = 1


class Cancelled(NamedTuple):
    """A notification, what its DELETE answered, and how its deliveries are known to the providers."""

    id: str
    answer: Answer
    ids: dict[str, str]

    def results(self) -> Iterator[tuple[str, str, str]]:
        """Delivery id, result and status, of each delivery that the answer tells of."""
        for one in self.answer.json["deliveries"]:
            yield one["id"], one["result"], one["status"]


class Race:
    """Posts events, and cancels each at a moment of its own."""

    def __init__(self, stack: Stack, providers: StandIns, seed: int) -> None:
        self._stack = stack
        self._providers = providers
        self._random = random.Random(seed)  # noqa: S311 - no secret

    def run(self) -> list[Cancelled]:
        """All of them, cancelled."""
        with ThreadPoolExecutor(CLIENTS) as clients:
            accepted = [one for _ in range(EVENTS // BATCH) for one in self._post()]
            moments = sorted((self._random.uniform(0, MOMENTS_S), *one) for one in accepted)
            started_s = time.monotonic()
            return list(clients.map(lambda moment: self._cancel(started_s, *moment), moments))

    def repeat(self, cancelled: list[Cancelled]) -> list[Cancelled]:
        """The same requests once more."""
        with ThreadPoolExecutor(CLIENTS) as clients:
            return list(clients.map(lambda one: one._replace(answer=self._delete(one.id)), cancelled))

    def _post(self) -> list[tuple[str, str]]:
        """A batch of events: (notification id, user id)."""
        events = [self._event(number) for number in range(BATCH)]
        answer = self._stack.request("POST", "/api/v1/notifications/batch", json.dumps(events).encode())
        assert answer.status == 202, answer
        return [(item["id"], event["user_id"]) for item, event in zip(answer.json["items"], events, strict=True)]

    def _event(self, number: int) -> dict[str, Any]:
        options: dict[str, Any] = {
            "priority": self._random.choice(["high", "low"]),
            "channels": CHANNELS,
            "to": {"email": f"race-{number}@example.com", "webhook": self._providers.webhook.url},
        }
        if self._random.random() < 0.3:
            send_at = datetime.now(UTC) + timedelta(seconds=self._random.uniform(1, MOMENTS_S))
            options["send_at"] = send_at.isoformat()
        return {"user_id": f"race-{number}", "event_type": "load_low", "content": "x", "options": options}

    def _cancel(self, started_s: float, moment_s: float, notification_id: str, user_id: str) -> Cancelled:
        time.sleep(max(0.0, started_s + moment_s - time.monotonic()))
        ids = {channel: delivery_id(notification_id, user_id, channel) for channel in CHANNELS}
        return Cancelled(notification_id, self._delete(notification_id), ids)

    def _delete(self, notification_id: str) -> Answer:
        return self._stack.request("DELETE", f"/api/v1/notifications/{notification_id}")


def check_answer(one: Cancelled, ends: dict[str, str]) -> None:
    """What it told of each delivery is how that ended."""
    assert one.answer.status in (200, 202, 409), one.answer
    for key, result, status in one.results():
        assert key in one.ids.values()
        if result == "cancelled":
            assert ends[key] == "cancelled", one
        elif result == "too_late":
            assert ends[key] == status, one
        else:
            assert one.answer.status == 202, one


def test_each_is_sent_or_cancelled_and_never_both(stack: Stack, providers: StandIns) -> None:
    seed = random.randrange(10**6)  # noqa: S311 - no secret
    print(f"\nmoments of seed {seed}")  # noqa: T201 - what a failure is repeated by
    for one in providers.all():
        one.turn("refuse")
    race = Race(stack, providers, seed)
    providers.smtp.slow_down(EMAIL_S)
    providers.webhook.slow_down(WEBHOOK_S)
    with ThreadPoolExecutor(1) as beside:
        running = beside.submit(race.run)
        time.sleep(REFUSE_S)
        for one in providers.all():
            one.turn("accept")
        cancelled = running.result()
    wanted = {key for one in cancelled for key in one.ids.values()}
    assert len(wanted) == EVENTS * len(CHANNELS)
    finals = wait_until(
        lambda: _if_all(stack.history.all_finals(), wanted), "all are final", FINAL_WITHIN_S, look_s=0.5
    )

    ends = {key: "+".join(sorted(finals[key])) for key in wanted}
    assert set(ends.values()) == {"sent", "cancelled"}, Counter(ends.values())
    calls = Counter(one.delivery_id for one in providers.taken())
    assert {calls[key] for key in wanted if ends[key] == "sent"} == {1}
    assert {calls[key] for key in wanted if ends[key] == "cancelled"} == {0}
    for one in cancelled:
        check_answer(one, ends)

    again = race.repeat(cancelled)
    for one in again:
        assert one.answer.status == (200 if "cancelled" in {ends[key] for key in one.ids.values()} else 409), one
        assert {key: status for key, _, status in one.results()} == {key: ends[key] for key in one.ids.values()}
    _check_phases(cancelled, ends, stack.history.ever_parked())


def _if_all(finals: dict[str, set[str]], wanted: set[str]) -> dict[str, set[str]] | None:
    return finals if wanted <= finals.keys() else None


def _check_phases(cancelled: list[Cancelled], ends: dict[str, str], parked: set[str]) -> None:
    """The DELETEs came at all times: the table of what they met is printed."""
    met: Counter[str] = Counter()
    for one in cancelled:
        told = {key: result for key, result, _ in one.results()}
        for key in one.ids.values():
            waited = "parked" if key in parked else "not parked"
            met[f"{told.get(key, 'unheard of')}, ended as {ends[key]}, {waited}"] += 1
    for what, count in sorted(met.items()):
        print(f"{count:>5}  {what}")  # noqa: T201 - the table is what the run is for
    print(f"       answers {dict(Counter(one.answer.status for one in cancelled))}")  # noqa: T201 - as above
    for what in (
        "cancelled, ended as cancelled, parked",
        "pending, ended as cancelled, not parked",
        "too_late, ended as sent, not parked",
        "too_late, ended as sent, parked",
    ):
        assert met[what] >= FEW, what
    assert sum(count for what, count in met.items() if what.startswith("pending, ended as sent")), "none while called"
