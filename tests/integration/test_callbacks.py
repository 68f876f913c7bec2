"""The bridge of callbacks over a real broker, SQLite and HTTP receivers: nothing is lost, nobody holds up others."""

from __future__ import annotations

import dataclasses
import json
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from msgspec import structs
from standardwebhooks import Webhook

from app.domain import callback as callback_rules
from app.domain.callback import CallbackReceiver, new_salt, signing_secret
from app.domain.clock import now_ms
from app.domain.codec import encode
from app.domain.errors import StoreUnavailableError
from app.domain.lane import OUTCOMES_TOPIC
from app.domain.meter import METER
from app.domain.metric_catalogue import CALLBACKS_UNREAD, CALLBACKS_WAITING
from app.domain.outcome import Outcome, Status
from app.settings import Settings
from bridges import callbacks as callbacks_module
from bridges.callbacks import Callbacks
from bridges.gauges import gauges_of
from infrastructure import wiring
from infrastructure.kafka.groups import CALLBACKS_GROUP
from infrastructure.sql.engine import shared_engine
from tests.support.deliveries import delivery
from tests.support.kafka_broker import KafkaBroker, eventually
from tests.support.webhook_receiver import Answer, Request, WebhookReceiver, hang, status, webhook_receiver

LOCK_S = 0.1
SHOP, OTHER = "0123456789ab", "ba9876543210"
DAY_MS = 86_400_000
QUICK_S = (0.05,)


@pytest.fixture
def settings(service: Settings) -> Iterator[Settings]:
    """Receivers on this machine, and short waits."""
    made = dataclasses.replace(
        service, store_timeout_s=LOCK_S, webhook_allow="127.0.0.1/32", callback_timeout_s=30.0, http_auth="keys"
    )
    yield made
    shared_engine(made.database_url, LOCK_S).dispose()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first retry at once, instead of after 5 s."""
    monkeypatch.setattr(callback_rules, "SCHEDULE_S", QUICK_S)
    METER.reset()


@pytest.fixture
def hooks() -> Iterator[Callable[[], WebhookReceiver]]:
    with ExitStack() as running:
        yield lambda: running.enter_context(webhook_receiver())


@pytest.fixture
def hook(hooks: Callable[[], WebhookReceiver]) -> WebhookReceiver:
    return hooks()


Start = Callable[[], Callbacks]


@pytest.fixture
def start(settings: Settings, hook: WebhookReceiver) -> Iterator[Start]:
    """Makes bridges; those that are left are closed at the end. `hook` lets go of its calls before it ends."""
    made: list[Callbacks] = []

    def build() -> Callbacks:
        made.append(Callbacks(settings))
        return made[-1]

    yield build
    hook.released.set()
    for one in made:
        one.close()


def told_to(settings: Settings, hook: WebhookReceiver, key_id: str = SHOP, **given: Any) -> CallbackReceiver:
    """A receiver of the key's callbacks."""
    values: dict[str, Any] = {"key_id": key_id, "url": hook.url, "salt": new_salt(), "since_ms": 1}
    receiver = CallbackReceiver(**(values | given))
    wiring.callback_receivers(settings).put(receiver)
    return receiver


def outcome(name: str, status_: Status = Status.SENT, key_id: str = SHOP, **given: Any) -> Outcome:
    reason = given.pop("reason", "")
    at_ms = given.pop("at_ms", now_ms())
    return delivery(name, key_id=key_id, **given).outcome(status=status_, reason=reason, at_ms=at_ms)


def put(broker: KafkaBroker, *outcomes: Outcome) -> None:
    for one in outcomes:
        broker.put(OUTCOMES_TOPIC, encode(one), key=one.notification_id)
    broker.flush()


def is_committed(broker: KafkaBroker) -> bool:
    return sum(broker.committed(CALLBACKS_GROUP, OUTCOMES_TOPIC).values()) == broker.written(OUTCOMES_TOPIC)


def turn_until(bridge: Callbacks, is_so: Callable[[], object], what: str) -> None:
    eventually(lambda: bridge.turn() or is_so(), what)


def turn_until_quiet(bridge: Callbacks, settings: Settings, broker: KafkaBroker) -> None:
    """All outcomes are read, and no callback waits."""
    turn_until(bridge, lambda: is_committed(broker) and not waiting(settings), "nothing waits")


def waiting(settings: Settings) -> dict[str, int]:
    return dict(wiring.pending_callbacks(settings).counts())


def stored(settings: Settings, key_id: str = SHOP) -> CallbackReceiver:
    return wiring.callback_receivers(settings).find([key_id])[key_id]


def counted(name: str, *labels: str) -> float:
    return sum(one.value for one in METER.readings().counted if (one.name, one.labels) == (name, labels))


def called(request: Request) -> tuple[str, str, str]:
    """Type, status and delivery of a callback."""
    told = json.loads(request.body)
    return told["type"], told["data"]["status"], told["data"]["delivery_id"]


# what is told


def test_the_sender_is_told_how_its_deliveries_ended(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start
) -> None:
    receiver = told_to(settings, hook)
    put(
        broker,
        outcome("a"),
        outcome("b", Status.FAILED, reason="provider_rejected", content="Confidential", user_id="anna"),
        outcome("c", Status.SUPPRESSED, reason="muted"),
        outcome("d", Status.EXPIRED, reason="ttl"),
        outcome("e", Status.PARKED, reason="quiet_hours"),
        outcome("f", Status.ACCEPTED, reason="replayed"),
    )
    bridge = start()
    turn_until_quiet(bridge, settings, broker)
    assert bridge.is_ready()
    assert sorted(map(called, hook.requests)) == [
        ("notification.failed", "expired", "d"),
        ("notification.failed", "failed", "b"),
        ("notification.sent", "sent", "a"),
        ("notification.suppressed", "suppressed", "c"),
    ]
    verify = Webhook(signing_secret(receiver, wiring.secret(settings)))
    for request in hook.requests:
        verify.verify(request.body, request.headers)
        assert b"Confidential" not in request.body
        assert b"anna" not in request.body


def test_who_has_no_receiver_or_a_disabled_one_is_told_nothing(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start
) -> None:
    told_to(settings, hook, OTHER, disabled_at_ms=5)
    put(broker, outcome("a"), outcome("b", key_id=OTHER), outcome("c", key_id=""))
    bridge = start()
    turn_until(bridge, lambda: is_committed(broker), "all are read")
    assert waiting(settings) == {}
    assert hook.requests == []


def test_what_was_before_is_not_told_and_what_comes_at_once_is(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start
) -> None:
    """Outcomes from before the receiver was set may still be in Kafka; it is known from its first outcome on."""
    bridge = start()
    put(broker, outcome("early", key_id=OTHER))
    turn_until(bridge, lambda: is_committed(broker), "the first is read")
    since_ms = now_ms()
    told_to(settings, hook, since_ms=since_ms)
    put(broker, outcome("before", at_ms=since_ms - 1), outcome("after", at_ms=since_ms))
    turn_until_quiet(bridge, settings, broker)
    assert [called(request)[2] for request in hook.requests] == ["after"]


def test_records_that_are_none_stop_nobody(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start
) -> None:
    told_to(settings, hook)
    for junk in (b"", b"not json", b"{}", b"[" * 100_000):
        broker.put(OUTCOMES_TOPIC, junk)
    put(broker, outcome("a"))
    turn_until_quiet(start(), settings, broker)
    assert [called(request)[2] for request in hook.requests] == ["a"]


def test_a_status_of_a_later_version_is_told_as_far_as_it_is_known(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start
) -> None:
    told_to(settings, hook)
    for word in ("bounced", "translated"):
        record = json.loads(encode(outcome(word))) | {"status": word}
        broker.put(OUTCOMES_TOPIC, encode(record))
    broker.flush()
    turn_until_quiet(start(), settings, broker)
    assert list(map(called, hook.requests)) == [("notification.failed", "bounced", "bounced")]


# at least once


def test_what_is_not_taken_comes_again_under_its_id(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start
) -> None:
    receiver = told_to(settings, hook)
    hook.then(status(500), status(404))
    put(broker, outcome("a"))
    turn_until_quiet(start(), settings, broker)
    assert len(hook.requests) == 3
    assert len({(request.headers["webhook-id"], request.body) for request in hook.requests}) == 1
    verify = Webhook(signing_secret(receiver, wiring.secret(settings)))
    for request in hook.requests:
        verify.verify(request.body, request.headers)
    assert stored(settings).failing_since_ms == 0


def test_a_failure_is_noted_with_its_first_time(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start
) -> None:
    told_to(settings, hook)
    hook.then(status(500), status(500), hang)
    put(broker, outcome("a"))
    bridge = start()
    turn_until(bridge, lambda: stored(settings).failing_since_ms, "the first failure")
    first = stored(settings).failing_since_ms
    turn_until(bridge, lambda: len(hook.requests) == 3, "the third call")
    assert (stored(settings).failing_since_ms, stored(settings).last_error) == (first, "HTTP 500")


def test_a_locked_database_means_lag_and_no_loss(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start
) -> None:
    told_to(settings, hook)
    bridge = start()
    put(broker, outcome("first"))
    turn_until_quiet(bridge, settings, broker)
    before = broker.committed(CALLBACKS_GROUP, OUTCOMES_TOPIC)
    locking = sqlite3.connect(settings.database_url.removeprefix("sqlite:///"), isolation_level=None)
    locking.execute("BEGIN IMMEDIATE")
    put(broker, outcome("a"), outcome("b"))
    failures = 0

    def fail() -> bool:
        nonlocal failures
        try:
            bridge.turn()
        except StoreUnavailableError:
            failures += 1
        return failures >= 3

    eventually(fail, "three failures")
    assert broker.committed(CALLBACKS_GROUP, OUTCOMES_TOPIC) == before
    assert bridge._reader.assigned, "it keeps its place in the group"
    locking.execute("ROLLBACK")
    locking.close()
    turn_until_quiet(bridge, settings, broker)
    assert sorted(called(request)[2] for request in hook.requests) == ["a", "b", "first"]


def test_what_cannot_be_settled_is_settled_later_and_not_called_again(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_to(settings, hook)
    put(broker, outcome("a"))
    bridge = start()
    settle = bridge._pending.settle
    failures: list[object] = []

    def fail(results: Any, at_ms: int) -> None:
        if len(failures) < 2:
            failures.append(results)
            raise StoreUnavailableError("SQL: away")
        settle(results, at_ms)

    monkeypatch.setattr(bridge._pending, "settle", fail)

    def turn() -> bool:
        try:
            bridge.turn()
        except StoreUnavailableError:
            return False
        return is_committed(broker) and not waiting(settings) and len(failures) == 2

    eventually(turn, "it is settled")
    assert len(hook.requests) == 1


def test_what_was_not_committed_is_kept_once(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read again by whoever comes after a crash, an outcome is the same callback."""
    told_to(settings, hook)
    hook.then(status(500))
    put(broker, outcome("a"))
    first = start()

    def fail(offsets: object) -> None:
        if offsets:
            raise StoreUnavailableError("no commit")

    monkeypatch.setattr(first._reader, "commit", fail)
    with pytest.raises(StoreUnavailableError, match="no commit"):
        eventually(first.turn, "a failure")
    assert waiting(settings) == {SHOP: 1}
    first._reader.close()
    second = Callbacks(settings)
    turn_until_quiet(second, settings, broker)
    second.close()
    assert len(hook.requests) in (2, 3), "called before it is read again, it is called once more then"
    assert len({request.headers["webhook-id"] for request in hook.requests}) == 1


def test_what_a_killed_process_had_taken_over_is_called_by_another(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start
) -> None:
    told_to(settings, hook)
    bridge = start()
    put(broker, outcome("a"))
    # As a process does that is killed before its call.
    pending = wiring.pending_callbacks(settings)
    eventually(lambda: bridge._keep(0.05) and waiting(settings), "it is kept")
    [_] = pending.take({SHOP: 9}, now_ms=now_ms(), again_at_ms=now_ms() + 300)
    turn_until_quiet(bridge, settings, broker)
    assert [called(request)[2] for request in hook.requests] == ["a"]


def test_closing_waits_for_calls_and_notes_how_they_ended(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver
) -> None:
    told_to(settings, hook)
    slow = threading.Event()

    def answer(handler: Any) -> None:
        slow.set()
        hook.released.wait(0.3)
        status(204)(handler)

    hook.then(answer)
    put(broker, outcome("a"))
    bridge = Callbacks(settings)
    turn_until(bridge, slow.is_set, "a call is under way")
    bridge.close()
    assert len(hook.requests) == 1
    assert waiting(settings) == {}


# nobody holds up others


def test_a_receiver_that_hangs_holds_up_neither_others_nor_the_offset(
    settings: Settings,
    broker: KafkaBroker,
    hooks: Callable[[], WebhookReceiver],
    hook: WebhookReceiver,
    start: Start,
) -> None:
    quick = hooks()
    told_to(settings, hook)
    told_to(settings, quick, OTHER)
    hook.then(*([hang] * 50))
    put(broker, *(outcome(f"slow-{number}") for number in range(50)))
    put(broker, *(outcome(f"quick-{number}", key_id=OTHER) for number in range(50)))
    bridge = start()
    turn_until(bridge, lambda: len(quick.requests) == 50, "all of the other's are called")
    assert is_committed(broker)
    assert len(hook.requests) <= settings.callback_threads // 4
    assert waiting(settings)[SHOP] == 50


def test_a_receiver_that_is_down_is_tried_with_one_call_until_it_is_back(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridges.callback_calls._PAUSE_S", 0.2)
    monkeypatch.setattr(callbacks_module, "_LOOK_MS", 50)
    told_to(settings, hook)
    hook.then(*([status(503)] * 8))
    put(broker, *(outcome(f"d{number}") for number in range(100)))
    turn_until_quiet(start(), settings, broker)
    taken = hook.requests[8:]
    assert len({request.headers["webhook-id"] for request in taken}) == len(taken) == 100


# when it is given up


def test_one_that_is_gone_is_disabled_and_what_waits_for_it_is_dropped(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start
) -> None:
    told_to(settings, hook)
    bridge = start()
    answers: list[Answer] = [status(410)] * 50
    hook.then(*answers)
    put(broker, *(outcome(f"d{number}") for number in range(30)))
    turn_until_quiet(bridge, settings, broker)
    assert stored(settings).disabled_why == "gone"
    assert len(hook.requests) <= settings.callback_threads // 4
    calls = len(hook.requests)
    put(broker, outcome("later"))
    turn_until(bridge, lambda: is_committed(broker), "the later one is read")
    assert (waiting(settings), len(hook.requests)) == ({}, calls)
    assert counted("notify_disabled_receivers", "gone") == 1
    assert 1 <= counted("notify_dropped_callbacks", "disabled") <= 30, "the later ones were not kept any more"


def test_one_that_has_failed_for_five_days_is_disabled(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start
) -> None:
    told_to(settings, hook, failing_since_ms=now_ms() - 5 * DAY_MS)
    hook.then(status(500))
    put(broker, outcome("a"))
    turn_until_quiet(start(), settings, broker)
    assert stored(settings).disabled_why == "failing"
    assert counted("notify_disabled_receivers", "failing") == 1


def test_one_that_has_failed_for_less_or_takes_one_again_is_not(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start
) -> None:
    told_to(settings, hook, failing_since_ms=now_ms() - 5 * DAY_MS + 600_000)
    hook.then(status(500))
    put(broker, outcome("a"))
    turn_until_quiet(start(), settings, broker)
    assert (stored(settings).disabled_at_ms, stored(settings).failing_since_ms) == (0, 0)


def test_a_callback_is_given_up_after_five_days_alone(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start
) -> None:
    told_to(settings, hook)
    old = callback_rules.callback_of(
        callback_rules.Told(notification_id="n", event_type="t", status="sent", at_ms=1, key_id=SHOP),
        now_ms() - 5 * DAY_MS,
    )
    assert old is not None
    wiring.pending_callbacks(settings).add([old])
    hook.then(status(400))
    bridge = start()
    turn_until(bridge, lambda: not waiting(settings), "it is given up")
    assert counted("notify_dropped_callbacks", "given_up") == 1
    put(broker, outcome("a"))
    turn_until_quiet(bridge, settings, broker)
    assert [request.headers["webhook-id"] for request in hook.requests][:1] == [old.id]
    assert called(hook.requests[-1])[2] == "a"


def test_one_for_which_too_much_waits_is_disabled(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks_module, "_TIDY_S", 0.0)
    told_to(settings, hook)
    hook.then(*([hang] * 20))
    put(broker, *(outcome(f"d{number}") for number in range(20)))
    bridge = Callbacks(dataclasses.replace(settings, callback_waiting_max=19))
    turn_until(bridge, lambda: stored(settings).disabled_at_ms, "it is disabled")
    assert stored(settings).disabled_why == "overfull"
    hook.released.set()
    bridge.close()


def test_what_waits_for_nobody_any_more_is_dropped(
    settings: Settings, broker: KafkaBroker, hook: WebhookReceiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks_module, "_DROP_MAX", 7)
    receiver = told_to(settings, hook, since_ms=1)
    hook.then(*([hang] * 20))
    put(broker, *(outcome(f"d{number}") for number in range(20)))
    bridge = start()
    turn_until(bridge, lambda: is_committed(broker), "they wait")
    assert waiting(settings) == {SHOP: 20}
    assert wiring.callback_receivers(settings).remove(receiver.key_id)
    bridge._tidy_at_s = 0.0
    turn_until(bridge, lambda: not waiting(settings), "they are dropped")
    assert counted("notify_dropped_callbacks", "removed") == 20


# what is shown


def test_gauges_tell_what_waits_and_for_whom(
    settings: Settings, broker: KafkaBroker, hooks: Callable[[], WebhookReceiver], hook: WebhookReceiver, start: Start
) -> None:
    told_to(settings, hook, failing_since_ms=5)
    told_to(settings, hooks(), OTHER)
    pending = wiring.pending_callbacks(settings)
    chance = random.Random(3)  # noqa: S311 - the same each time
    for key_id, count in ((SHOP, 3), (OTHER, 2)):
        made = callback_rules.trial_callback(structs.replace(stored(settings), key_id=key_id), now_ms())
        pending.add([structs.replace(made, id=f"cb_{chance.random()}") for _ in range(count)])
    put(broker, outcome("a"), outcome("b"))
    values = {metric: found for one in gauges_of(start(), settings) for metric, found in one.values().items()}
    assert values[CALLBACKS_WAITING] == {("well",): 2, ("failing",): 3}
    assert values[CALLBACKS_UNREAD] == {(): 2}
