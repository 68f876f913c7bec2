"""Load for the whole service, and the account of what became of it."""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from app.domain.ids import delivery_id
from tests.support.account import Counts, Window, is_explained
from tests.support.providers import StandIns, Taken
from tests.support.stack_client import StackClient, wait_until

BATCH = 200
#: Of a load with a rate.
REQUESTS_A_SECOND = 4
POSTERS = 200
RETRY_S = 0.3
LOOK_S = 0.5
ACCEPT_WITHIN_S = 120.0
CHANNELS = ("email", "email", "webhook", "log", "in_app")

_numbers = itertools.count(1)


class Sent(NamedTuple):
    """An accepted event with one delivery."""

    delivery_id: str
    notification_id: str
    priority: str
    channel: str
    posted_at_s: float


class Load:
    """Posts events, also in the background, and knows what was accepted."""

    def __init__(self, stack: StackClient, providers: StandIns, journal: Path | None = None) -> None:
        self.sent: list[Sent] = []
        self.stack = stack
        #: Requests that were not answered, or answered 503 for at least one event.
        self.turned_away = 0
        #: Of these, those answered 503.
        self.refused = 0
        #: Events that were posted at a rate, once each, and those of them that were accepted.
        self.posted = self.posted_accepted = 0
        #: When the last of them was posted for the first time, and when the last one was accepted; monotonic.
        self.last_posted_at_s = self.last_accepted_at_s = 0.0
        self._providers = providers
        self._journal = journal.open("a+") if journal is not None else None
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._halt = threading.Event()

    def event(self, priority: str, channel: str, content: str = "Something happened") -> dict[str, Any]:
        """An event with one delivery; its key makes repeating the request safe."""
        number = next(_numbers)
        to = {"email": f"load-{number}@example.com", "webhook": self._providers.webhook.url}
        return {
            "user_id": f"load-{number % 500}",
            "event_type": f"load_{priority}",
            "content": content,
            "options": {
                "priority": priority,
                "channels": [channel],
                **({"to": {channel: to[channel]}} if channel in to else {}),
            },
            "idempotency_key": f"load-{time.monotonic_ns()}-{number}",
        }

    def mix(self, low: int, high: int, channels: Sequence[str] = CHANNELS) -> list[dict[str, Any]]:
        """So many events, those of high spread evenly."""
        every = max(1, low // high) if high else low + 1
        events: list[dict[str, Any]] = []
        for number in range(max(low, high)):
            if number < low:
                events.append(self.event("low", channels[number % len(channels)]))
            if number % every == 0 and number // every < high:
                events.append(self.event("high", channels[number // every % len(channels)]))
        return events

    def post(self, events: Sequence[Mapping[str, Any]], *, rate: float = 0.0) -> list[Sent]:
        """Post them in batches until all are accepted, `rate` a second (0: one after the other, as they are taken).

        With a rate a batch goes at its time, whatever became of those before it.
        """
        if not rate:
            batches = (events[start : start + BATCH] for start in range(0, len(events), BATCH))
            return [one for batch in batches if not self._halt.is_set() for one in self._post_batch(batch)]
        started_s = time.monotonic()
        size = max(1, min(BATCH, int(rate / REQUESTS_A_SECOND)))
        with ThreadPoolExecutor(POSTERS) as posters:
            posted: list[Future[list[Sent]]] = []
            for start in range(0, len(events), size):
                time.sleep(max(0.0, started_s + start / rate - time.monotonic()))
                if self._halt.is_set():
                    break
                posted.append(posters.submit(self._post_due, events[start : start + size]))
            return [one for batch in posted for one in batch.result()]

    def post_one(self, event: Mapping[str, Any]) -> Sent:
        """A single event, once it is accepted."""
        [sent] = self._post_batch([event])
        return sent

    def start(self, post: Callable[[], Any]) -> None:
        """Post in the background."""

        def run() -> None:
            try:
                post()
            except BaseException as error:  # noqa: BLE001 - told by `join`
                self._error = error

        self._halt.clear()
        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def halt(self) -> None:
        """Post no more batches."""
        self._halt.set()

    def join(self) -> None:
        """Wait until all is accepted."""
        assert self._thread is not None
        self._thread.join(ACCEPT_WITHIN_S * 2)
        assert not self._thread.is_alive(), "the load was not accepted in time"
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()

    def arrived(self) -> int:
        """How many yeses providers have said to what was sent here."""
        return len(self.taken())

    def taken(self) -> list[Taken]:
        """The yeses of providers to what was sent here."""
        ours = {one.delivery_id for one in self.sent}
        return [one for one in self._providers.taken() if one.delivery_id in ours]

    def seconds_to_provider(self, sent: Sent, within_s: float) -> float:
        """From the POST to the provider's yes."""

        def find() -> float:
            return next((one.at_s for one in self._providers.taken() if one.delivery_id == sent.delivery_id), 0.0)

        try:
            return float(wait_until(find, "the delivery reaches its provider", within_s)) - sent.posted_at_s
        except AssertionError:
            return float("inf")

    def latencies(self, sent: Sequence[Sent], within_s: float) -> list[float]:
        """Seconds from POST to the provider's yes, sorted, once all have arrived (infinite where one has not)."""
        deadline = time.monotonic() + within_s
        while True:
            first: dict[str, float] = {}
            for one in self._providers.taken():
                first.setdefault(one.delivery_id, one.at_s)
            if all(one.delivery_id in first for one in sent) or time.monotonic() > deadline:
                return sorted(first.get(one.delivery_id, float("inf")) - one.posted_at_s for one in sent)
            time.sleep(0.1)

    def account(self, windows: Sequence[Window] = (), *, within_s: float, probe_s: float = 0.0) -> Counts:
        """Wait until all that was accepted is final, at most so long; then count."""
        started_s = time.monotonic()
        wanted = self._accepted()
        finals: dict[str, str] = {}
        while time.monotonic() < started_s + within_s:
            asked = {one.notification_id for one in self.sent if one.delivery_id not in finals}
            finals |= self.stack.history.final_deliveries(asked)
            if wanted <= finals.keys():
                break
            time.sleep(LOOK_S)
        took_s = time.monotonic() - started_s
        times: defaultdict[str, list[float]] = defaultdict(list)
        for one in self._providers.taken():
            times[one.delivery_id].append(one.at_s)
        twice = {key: found for key, found in times.items() if key in wanted and len(found) > 1}
        statuses: defaultdict[str, int] = defaultdict(int)
        for key in wanted & finals.keys():
            statuses[finals[key]] += 1
        return Counts(
            accepted=len(wanted),
            final=len(wanted & finals.keys()),
            lost=sorted(wanted - finals.keys()),
            twice=len(twice),
            unexplained=[key for key, found in twice.items() if not is_explained(sorted(found), windows)],
            probe_s=probe_s,
            took_s=took_s,
            statuses=dict(statuses),
            finals=finals,
        )

    def _accepted(self) -> set[str]:
        """Ids of the deliveries of all that was accepted: what was written down, where it was."""
        if self._journal is None:
            return {one.delivery_id for one in self.sent}
        self._journal.seek(0)
        return {line.split()[1] for line in self._journal}

    def _post_due(self, events: Sequence[Mapping[str, Any]]) -> list[Sent]:
        with self._writing:
            self.posted += len(events)
            self.last_posted_at_s = time.monotonic()
        accepted = self._post_batch(events)
        with self._writing:
            self.posted_accepted += len(accepted)
            self.last_accepted_at_s = time.monotonic()
        return accepted

    def _post_batch(self, events: Sequence[Mapping[str, Any]]) -> list[Sent]:
        posted_at_s = time.monotonic()
        accepted: list[Sent] = []
        left = list(events)
        while left:
            assert time.monotonic() < posted_at_s + ACCEPT_WITHIN_S, "not accepted in time"
            left = self._try(left, posted_at_s, accepted)
            if left:
                time.sleep(RETRY_S)
        return accepted

    def _try(
        self, events: list[Mapping[str, Any]], posted_at_s: float, accepted: list[Sent]
    ) -> list[Mapping[str, Any]]:
        """One request; the events that have to be posted again."""
        body = b"\n".join(json.dumps(event).encode() for event in events)
        headers = {"Content-Type": "application/x-ndjson"}
        try:
            answer = self.stack.request("POST", "/api/v1/notifications/batch", body, headers)
        except OSError:
            with self._writing:
                self.turned_away += 1
            return events
        if answer.status not in (202, 207):
            assert answer.status == 503, answer
            self._note_refused()
            return events
        if any(item.get("problem", {}).get("status") == 503 for item in answer.json["items"]):
            self._note_refused()
        again, fresh = [], []
        for event, item in zip(events, answer.json["items"], strict=True):
            if "problem" in item:
                assert item["problem"]["status"] in (409, 503), item
                again.append(event)
            else:
                fresh.append(_sent(event, item["id"], posted_at_s))
        self._note(fresh)
        accepted += fresh
        return again

    def _note_refused(self) -> None:
        with self._writing:
            self.turned_away += 1
            self.refused += 1

    def _note(self, accepted: Sequence[Sent]) -> None:
        """Write down what was accepted, for good, before anything else happens."""
        with self._writing:
            if self._journal is not None:
                self._journal.writelines(f"{one.notification_id} {one.delivery_id}\n" for one in accepted)
                self._journal.flush()
                os.fsync(self._journal.fileno())
            self.sent += accepted


def _sent(event: Mapping[str, Any], notification_id: str, posted_at_s: float) -> Sent:
    options = event["options"]
    channel = options["channels"][0]
    key = delivery_id(notification_id, event["user_id"], channel)
    return Sent(key, notification_id, options["priority"], channel, posted_at_s)
