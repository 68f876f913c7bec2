"""DESIGN.md's table of what is down, row by row, on the real set: what is promised is so while it is down.

Of each row: what intake answers, what becomes of high, of low, and that all that was accepted is final once it is back,
nothing lost and nothing sent twice.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from app.domain.ids import delivery_id
from tests.faults.campaign.scene import Scene
from tests.support.api_keys import bearer
from tests.support.catalogue import write_catalogue
from tests.support.http_process import HttpProcess
from tests.support.load import Load, Sent
from tests.support.providers import StandIns
from tests.support.real_stack import RealStack, running_real_stack
from tests.support.services import RealServices
from tests.support.stack import QUICK, pytest_runtest_makereport
from tests.support.stack_client import Answer, ask, wait_until

__all__ = ["pytest_runtest_makereport"]

#: Of one user at most so many deliveries by `log`; what is over is given up, and so told at once.
LIMIT = 3
SETTINGS = {
    **QUICK,
    "INTAKE_TIMEOUT_S": "2",
    "KEYS_REFRESH_S": "1",
    "LIMIT_USER_CHANNEL": f"log={LIMIT}/h",
}
#: Lean: the rows are about stores. Two dispatchers, for they share the lanes.
REPLICAS = {"router": 1, "tracker": 1, "scheduler": 1, "flower": 0, "mailbox": 0}
LIMITED = """
[event.limited]
category = "load"
priority = "high"
channels = ["log"]
ttl_s = 3600
over_user_limit = "drop"
subject = "{{ event_type }}"
text = "{{ content }}"
"""
PRIORITIES = ("high", "medium", "low")
WAIT = ("medium", "low")
#: No emails.
OFF = {"channels": {"*": {"email": False}}}
#: So many that there are some in each of a lane's partitions.
BEHIND = 40
#: Longest wait for what is to go on while something is down: a copy or two that came back open, on a busy machine.
GOES_ON_S = 30.0
#: How long what stands is looked at.
STANDS_S = 3.0
#: Longest wait for an answer of HTTP while something is down.
ANSWER_S = 5.0
FINAL_S = 90.0
#: Of each priority, more than is sent before all stands.
MANY = 200
#: A provider's answer takes so long, where deliveries are to be under way.
SLOW_S = 0.05


@pytest.fixture(scope="module")
def real_set(
    services: RealServices, providers: StandIns, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealStack]:
    """The set that all rows share. While it runs, the services are its own."""
    folder = tmp_path_factory.mktemp("real")
    catalogue = write_catalogue(folder)
    catalogue.write_text(catalogue.read_text() + LIMITED)
    settings = {**SETTINGS, "CATALOGUE": str(catalogue), "SMTP_URL": providers.smtp.url}
    with running_real_stack(services, folder, replicas=REPLICAS, **settings) as stack:
        yield stack


@pytest.fixture(scope="module")
def keyed_port(real_set: RealStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where another HTTP process of the set listens, one that asks for API keys."""
    api = HttpProcess(real_set.environ, tmp_path_factory.mktemp("keyed") / "api.log")
    try:
        api.wait_until_up()
        yield api.port
    finally:
        api.stop()


@pytest.fixture
def scene(real_set: RealStack, services: RealServices, providers: StandIns) -> Iterator[Scene]:
    """What can be broken. Afterwards providers accept at once again; no part of the set has died of what was broken."""
    deaths = real_set.log().count(" died (")
    load = Load(real_set, providers)
    yield Scene(stack=real_set, services=services, providers=providers, load=load)
    load.halt()
    for one in providers.all():
        one.turn("accept")
        one.slow_down(0.0)
    assert real_set.log().count(" died (") == deaths, real_set.tail()


def test_kafka_without_quorum(scene: Scene) -> None:
    """Intake says when to come again, and repeating is safe; what was accepted stands, and goes on."""
    load, stack = scene.load, scene.stack
    scene.providers.smtp.slow_down(SLOW_S)
    sent = load.post([load.event(priority, "email") for _ in range(MANY) for priority in PRIORITIES])
    wait_until(lambda: load.arrived() >= 20, "deliveries are under way")
    repeated = {priority: load.event(priority, "email") for priority in PRIORITIES}
    for event in repeated.values():
        event["options"]["to"] = {"email": f"{uuid.uuid4().hex}@example.com"}
    keys = {priority: event.pop("idempotency_key") for priority, event in repeated.items()}
    with scene.down("kafka-2", "kafka-3"), _told(stack, "queues"):
        for priority, event in repeated.items():
            asked_at_s = time.monotonic()
            answer = stack.post(event, Idempotency_Key=keys[priority])
            assert answer.status == 503
            assert time.monotonic() - asked_at_s < ANSWER_S
            assert re.fullmatch(r"[1-9]\d*", answer.headers["retry-after"])
        _settles(load)
        arrived = {one.delivery_id for one in load.taken()}
        for priority in PRIORITIES:
            assert any(one.priority == priority and one.delivery_id not in arrived for one in sent), priority
    for priority, event in repeated.items():
        answers = [_accepted_once(stack, event, keys[priority]) for _ in range(2)]
        assert answers[0].json["id"] == answers[1].json["id"]
        _note(load, event, answers[0])
    _all_sent_once(scene)
    scene.wait_kafka_whole()


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_redis_of_celery_is_down(scene: Scene, how: str) -> None:
    """Accepted; all priorities wait in Kafka, and go on by themselves."""
    load = scene.load
    with _down(scene, "redis-broker", how), _told(scene.stack, "queues"):
        _accepted(load, [load.event(priority, "email") for priority in PRIORITIES * 3])
        _none_arrives(load, load.sent)
    _all_sent_once(scene)


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_redis_of_limits_and_claims_is_down(scene: Scene, how: str) -> None:
    """Accepted; high is sent, within limits that each process keeps for itself; medium and low stay in Kafka."""
    load, stack = scene.load, scene.stack
    user = f"limited-{uuid.uuid4().hex}"
    children = 6  # that serve high
    with _down(scene, "redis-state", how):
        others = _accepted(load, [load.event(priority, "email") for priority in WAIT * 3])
        high = _accepted(load, [load.event("high", "email") for _ in range(3)])
        many = 2 * LIMIT * children
        limited = _accepted(load, [load.event("high", "log") | _limited(user) for _ in range(many)])
        _all_arrive(load, high)
        finals = _finals(stack, limited)
        assert 0 < list(finals.values()).count("sent") <= LIMIT * children
        assert set(finals.values()) == {"sent", "suppressed"}
        _none_arrives(load, others)
        assert _waiting(stack, "medium.email", "low.email") == len(others)
    counts = load.account(within_s=FINAL_S)
    assert not counts.lost
    assert counts.twice == 0
    assert {counts.finals[one.delivery_id] for one in (*others, *high)} == {"sent"}


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_sql_is_down(scene: Scene, keyed_port: int, how: str) -> None:
    """Accepted, from those whose keys are known; high goes by what was last known, all else waits."""
    load, stack = scene.load, scene.stack
    known, opted_out, stranger = (f"{name}-{uuid.uuid4().hex}" for name in ("known", "opted-out", "stranger"))
    for user in (known, opted_out, stranger):
        contact = {"contacts": {"email": f"{user}@example.com"}, "timezone": "UTC"}
        assert stack.put(f"/api/v1/users/{user}", contact).status in (200, 201)
    assert scene.redis("redis-state").delete(f"known:{stranger}") == 1
    key = _key(stack)
    _accepted_as(load, keyed_port, key)
    assert stack.put(f"/api/v1/users/{opted_out}/preferences", OFF).status == 200
    with _down(scene, "mariadb", how), _told(stack, "users", "show", known):
        _accepted_as(load, keyed_port, key)
        waits = _accepted(load, [load.event(one, channel) for one in WAIT for channel in ("email", "webhook")])
        unwanted = [_without_address(load.event(priority, "email"), opted_out) for priority in PRIORITIES]
        unwanted_high, *unwanted_later = _accepted(load, unwanted)
        goes = _accepted(load, [load.event("high", channel) for channel in ("email", "webhook")])
        goes += _accepted(load, [_without_address(load.event("high", "email"), known)])
        _all_arrive(load, goes)
        assert _finals(stack, [unwanted_high]) == {unwanted_high.delivery_id: "suppressed"}
        waits += _accepted(load, [_without_address(load.event("high", "email"), stranger)])
        _none_arrives(load, waits)
        # Those behind it, in every partition of the lane, do not wait with it.
        _all_arrive(load, _accepted(load, [load.event("high", "email") for _ in range(BEHIND)]))
        _stay_accepted(stack, [*waits, *unwanted_later])
    _all_sent_once(scene, but=[unwanted_high, *unwanted_later])
    for one in (unwanted_high, *unwanted_later):
        assert stack.history.reason_of(one.delivery_id) == "preference_off"


def test_history_is_down(scene: Scene) -> None:
    """Accepted and sent; what became of it waits in Kafka, and a fresh id is never one that there is not."""
    load, stack = scene.load, scene.stack
    with scene.down("cassandra"), _told(stack, "history", "user-001"):
        sent = _accepted(load, [load.event(priority, "email") for priority in PRIORITIES * 3])
        _never_unknown(stack, sent)
        _all_arrive(load, sent)
        _never_unknown(stack, sent)
    _all_sent_once(scene)
    for one in sent:
        [delivery] = stack.final(one.notification_id)["deliveries"]
        assert [outcome["status"] for outcome in delivery["outcomes"]] == ["sent"]


def test_smtp_is_closed(scene: Scene) -> None:
    """The first are parked, then the lane is paused and no more are; other channels go on."""
    load, stack = scene.load, scene.stack
    scene.providers.smtp.turn("closed")
    emails = _accepted(load, load.mix(200, 40, ["email"]))
    others = _accepted(load, load.mix(10, 10, ["webhook"]))
    _all_arrive(load, others)
    ours = {one.delivery_id for one in emails}
    wait_until(lambda: stack.history.ever_parked() & ours, "some are parked")
    _none_arrives(load, emails)
    parked = stack.history.ever_parked() & ours
    assert len(parked) < len(emails) // 4
    _none_arrives(load, emails)
    tried = stack.history.ever_parked() & ours - parked
    assert len(tried) < len(emails) // 20, "more than those that are let through to see whether it is back"
    assert _waiting(stack, "high.email", "low.email") > len(emails) // 2
    scene.providers.smtp.turn("accept")
    _all_sent_once(scene)


def test_webhook_hangs(scene: Scene) -> None:
    """That host's deliveries are parked; other channels do not notice."""
    load = scene.load
    scene.providers.webhook.turn("hang")
    hanging = _accepted(load, load.mix(0, 40, ["webhook"]))
    others = _accepted(load, load.mix(10, 10, ["email"]))
    _all_arrive(load, others)
    ours = {one.delivery_id for one in hanging}
    wait_until(lambda: len(scene.stack.history.ever_parked() & ours) >= len(ours) // 2, "its deliveries are parked")
    scene.providers.webhook.turn("accept")
    _all_sent_once(scene)


# what goes on


def _down(scene: Scene, name: str, how: str) -> AbstractContextManager[None]:
    return scene.down(name) if how == "killed" else scene.hanging(name)


def _accepted(load: Load, events: Sequence[dict[str, Any]]) -> list[Sent]:
    """Post them; every answer is a 202, and quick."""
    turned_away, asked_at_s = load.turned_away, time.monotonic()
    sent = load.post(events)
    assert load.turned_away == turned_away
    assert time.monotonic() - asked_at_s < ANSWER_S
    return sent


def _all_arrive(load: Load, sent: Sequence[Sent]) -> None:
    took_s = load.latencies(sent, GOES_ON_S)
    assert took_s[-1] <= GOES_ON_S, f"{took_s.count(float('inf'))} of {len(sent)} do not reach their provider"


def _none_arrives(load: Load, sent: Sequence[Sent], for_s: float = STANDS_S) -> None:
    """None of these reaches a provider, for as long."""
    ours = {one.delivery_id for one in sent}
    until_s = time.monotonic() + for_s
    while time.monotonic() < until_s:
        early = [one for one in load.taken() if one.delivery_id in ours]
        assert not early, f"{len(early)} were sent"
        time.sleep(0.2)


def _settles(load: Load) -> None:
    """Calls under way end, and nothing follows.

    Under way is what the brokers of Celery hold, and each batch of it waits in vain for its outcomes to be kept.
    """
    seen, since_s = load.arrived(), time.monotonic()

    def is_still() -> bool:
        nonlocal seen, since_s
        if load.arrived() != seen:
            seen, since_s = load.arrived(), time.monotonic()
        return time.monotonic() - since_s > STANDS_S

    wait_until(is_still, "nothing more is sent", FINAL_S)


def _all_sent_once(scene: Scene, but: Sequence[Sent] = ()) -> None:
    """All that was accepted; `but`: these are suppressed."""
    counts = scene.load.account(within_s=FINAL_S)
    suppressed = {one.delivery_id for one in but}
    assert not counts.lost
    assert counts.twice == 0
    assert {key for key, status in counts.finals.items() if status == "suppressed"} == suppressed
    assert counts.statuses["sent"] == counts.accepted - len(suppressed)


def _finals(stack: RealStack, sent: Sequence[Sent]) -> dict[str, str]:
    """What became of these, once all are final."""
    ids = {one.notification_id for one in sent}
    found: dict[str, str] = {}

    def look() -> bool:
        found.update(stack.history.final_deliveries(ids))
        return len(found) == len(sent)

    wait_until(look, "all are final", GOES_ON_S, look_s=0.5)
    return found


def _never_unknown(stack: RealStack, sent: Sequence[Sent]) -> None:
    for one in sent:
        asked_at_s = time.monotonic()
        answer = stack.get(f"/api/v1/notifications/{one.notification_id}")
        assert time.monotonic() - asked_at_s < ANSWER_S
        if answer.status == 503:
            assert re.fullmatch(r"[1-9]\d*", answer.headers["retry-after"])
        else:
            assert (answer.status, answer.json["status"]) == (200, "accepted")


def _accepted_once(stack: RealStack, event: dict[str, Any], key: str) -> Answer:
    def post() -> Answer | None:
        answer = stack.post(event, Idempotency_Key=key)
        assert answer.status in (202, 409, 503), answer
        return answer if answer.status == 202 else None

    found: Answer = wait_until(post, "the event is accepted", FINAL_S, look_s=0.5)
    return found


def _key(stack: RealStack) -> str:
    made = stack.manage("keys", "create", "known", "--scope", "send", "--json")
    assert made.returncode == 0, made.stderr
    return str(json.loads(made.stdout)["key"])


def _accepted_as(load: Load, port: int, key: str) -> None:
    """The process at the port takes an event from the holder of the key."""
    event = load.event("high", "email")
    body = json.dumps({name: value for name, value in event.items() if name != "idempotency_key"}).encode()
    answer = ask(port, "POST", "/api/v1/notifications", body, {"Content-Type": "application/json", **bearer(key)})
    assert answer.status == 202, answer
    _note(load, event, answer)


def _note(load: Load, event: dict[str, Any], answer: Answer) -> None:
    """Count it with what was sent."""
    options = event["options"]
    [channel] = options["channels"]
    key = delivery_id(answer.json["id"], event["user_id"], channel)
    load.sent.append(Sent(key, answer.json["id"], options["priority"], channel, time.monotonic()))


@contextmanager
def _told(stack: RealStack, *words: str) -> Iterator[None]:
    """Beside the block, the command says in one line that a store is away."""
    with ThreadPoolExecutor(1) as beside:
        ending = beside.submit(stack.manage, *words)
        yield
        ended = ending.result()
    assert ended.returncode == 3, ended
    assert ended.stderr.startswith("Error: ")
    assert ended.stderr.count("\n") == 1, ended.stderr


def _waiting(stack: RealStack, *lanes: str) -> int:
    shown = stack.manage("queues", "--json")
    assert shown.returncode == 0, shown.stderr
    return sum(int(row["kafka"]) for row in json.loads(shown.stdout) if row["lane"] in lanes)


def _stay_accepted(stack: RealStack, sent: Sequence[Sent]) -> None:
    """Nothing is decided of these."""
    for one in sent:
        assert stack.get(f"/api/v1/notifications/{one.notification_id}").json["status"] == "accepted"


def _without_address(event: dict[str, Any], user: str) -> dict[str, Any]:
    """The event to a user by their contacts."""
    options = {name: value for name, value in event["options"].items() if name != "to"}
    return event | {"user_id": user, "options": options}


def _limited(user: str) -> dict[str, Any]:
    return {"user_id": user, "event_type": "limited"}
