"""DELETE /api/v1/notifications/{id} over real stores: what is parked, what a worker has, what is over."""

from __future__ import annotations

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import pytest
from flask.testing import FlaskClient
from msgspec import structs
from redis import Redis

from app.domain.clock import now_ms
from app.domain.codec import decode, encode
from app.domain.delivery import Delivery, Parked
from app.domain.errors import StoreUnavailableError
from app.domain.event import Event
from app.domain.ids import delivery_id, new_id
from app.domain.lane import Priority
from app.domain.outcome import Reason, Status
from app.domain.ports import Claims
from app.http.services import Services
from infrastructure.redis.claims import RedisClaims
from infrastructure.redis.client import make_client
from tests.support.http_services import EVENT, SECRET, RecordingPublisher, client_without
from tests.support.redis_server import RedisServer
from tests.support.soon import SOON_S, soon

PATH = "/api/v1/notifications"
DAY_S = 24 * 3600


class Away:
    def __getattr__(self, name: str) -> Any:
        raise StoreUnavailableError(name)


class Case:
    """A notification on two channels, and what workers do to it."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.id = new_id(SECRET)
        assert isinstance(services.cancels, RedisClaims)
        self.claims: Claims = services.cancels

    def delivery(self, channel: str, **changes: Any) -> Delivery:
        event = decode(encode(EVENT), Event)
        made = Delivery(
            id=delivery_id(self.id, event.user_id, channel),
            notification_id=self.id,
            channel=channel,
            priority=Priority.HIGH,
            event=event,
            accepted_at_ms=now_ms(),
            routed_at_ms=now_ms(),
            expires_at_ms=now_ms() + 3_600_000,
        )
        return structs.replace(made, **changes)

    def tell(self, channel: str, status: Status, reason: str = "", *, pass_no: int = 0) -> None:
        """An outcome is in the history."""
        delivery = self.delivery(channel, pass_no=pass_no)
        self.services.history.append([delivery.outcome(status=status, reason=reason, at_ms=now_ms())])

    def park(self, channel: str, **changes: Any) -> None:
        """The delivery waits, and the history knows."""
        row = Parked(delivery=self.delivery(channel, **changes), due_at_ms=now_ms() + 60_000, reason=Reason.QUIET_HOURS)
        self.services.parked.park([row])
        self.services.history.append([row.outcome(now_ms())])

    def rows(self) -> list[str]:
        """Channels of the parked rows, whoever has them."""
        later = now_ms() + 10**9
        found = self.services.parked.lease_due(now_ms=later, lease_until_ms=0, owner="test", limit=99)
        return sorted(row.delivery.channel for row in found)

    def take(self, channel: str, owner: str = "worker") -> str:
        """A worker takes it: what the claims say."""
        one = self.delivery(channel).claimable
        return self.claims.take([one], owner=owner, until_ms=now_ms() + 60_000, alone=False)[0].state

    def call(self, channel: str, owner: str = "worker") -> bool:
        one = self.delivery(channel).claimable
        return self.claims.advance(owner=owner, until_ms=now_ms() + 60_000, answered=[], calling=[one])[0].may_call


@pytest.fixture
def case(http_services: Services) -> Case:
    return Case(http_services)


@pytest.fixture
def publisher(http_services: Services) -> RecordingPublisher:
    assert isinstance(http_services.outcomes, RecordingPublisher)
    return http_services.outcomes


def results(body: Any) -> dict[str, tuple[str, str]]:
    return {one["channel"]: (one["result"], one["status"]) for one in body["deliveries"]}


def test_what_is_parked_is_recorded_then_removed(http: FlaskClient, case: Case, publisher: RecordingPublisher) -> None:
    case.park("email")
    case.park("in_app")
    answer = http.delete(f"{PATH}/{case.id}")
    assert answer.status_code == 200
    assert (answer.json["id"], answer.json["result"]) == (case.id, "cancelled")
    assert results(answer.json) == {"email": ("cancelled", "cancelled"), "in_app": ("cancelled", "cancelled")}
    assert {(one.channel, one.status, one.reason) for one in publisher.outcomes} == {
        ("email", Status.CANCELLED, Reason.CANCELLED_BY_CLIENT),
        ("in_app", Status.CANCELLED, Reason.CANCELLED_BY_CLIENT),
    }
    assert publisher.outcomes[0].event is not None, "so that the history needs no second source"
    assert case.rows() == []


def test_where_kafka_does_not_confirm_the_row_stays(
    http: FlaskClient, case: Case, publisher: RecordingPublisher
) -> None:
    case.park("email")
    case.tell("in_app", Status.SENT)
    publisher.is_up = False
    answer = http.delete(f"{PATH}/{case.id}")
    assert answer.status_code == 202
    assert results(answer.json) == {"email": ("pending", "parked"), "in_app": ("too_late", "sent")}
    assert case.rows() == ["email"]
    assert case.take("email") == "answered", "and will not be sent when it is due"


def test_a_row_that_the_scheduler_has_is_the_workers_to_tell(http: FlaskClient, case: Case) -> None:
    case.park("email")
    case.tell("in_app", Status.SENT)
    later = now_ms() + 120_000
    assert case.services.parked.lease_due(now_ms=later, lease_until_ms=later, owner="scheduler", limit=9)
    assert http.delete(f"{PATH}/{case.id}").status_code == 202
    case.tell("email", Status.CANCELLED, Reason.CANCELLED_BY_CLIENT, pass_no=1)
    assert http.delete(f"{PATH}/{case.id}").status_code == 200


def test_what_a_worker_holds_is_stopped_and_told_once_it_is_recorded(http: FlaskClient, case: Case) -> None:
    case.tell("email", Status.SENT)
    case.take("in_app")
    answer = http.delete(f"{PATH}/{case.id}")
    assert answer.status_code == 202
    assert results(answer.json) == {"email": ("too_late", "sent"), "in_app": ("pending", "accepted")}
    assert not case.call("in_app")
    case.tell("in_app", Status.CANCELLED, Reason.CANCELLED_BY_CLIENT)
    again = http.delete(f"{PATH}/{case.id}")
    assert again.status_code == 200
    assert results(again.json)["in_app"] == ("cancelled", "cancelled")


def test_what_the_worker_tells_while_the_request_waits_is_in_the_answer(http_services: Services, case: Case) -> None:
    settings = dataclasses.replace(http_services.settings, cancel_wait_s=2 * SOON_S)
    http = client_without(http_services, settings=settings)
    case.tell("email", Status.SENT)
    case.take("in_app")
    timer = threading.Timer(0.3, case.tell, ["in_app", Status.CANCELLED, Reason.CANCELLED_BY_CLIENT])
    timer.start()
    with soon("the answer"):
        assert http.delete(f"{PATH}/{case.id}").status_code == 200
    timer.join()


def test_not_all_threads_wait_for_workers(http_services: Services, case: Case) -> None:
    wait_s = 5.0
    settings = dataclasses.replace(http_services.settings, cancel_wait_s=wait_s, http_threads=4)
    http = client_without(http_services, settings=settings)
    case.tell("email", Status.SENT)
    case.take("in_app")
    with ThreadPoolExecutor(4) as clients:
        started_s = time.monotonic()
        answers = [clients.submit(http.application.test_client().delete, f"{PATH}/{case.id}") for _ in range(4)]
        took_s = []
        for done in as_completed(answers):
            assert done.result().status_code == 202
            took_s.append(time.monotonic() - started_s)
    assert took_s[2] < wait_s <= took_s[3], "all but one are told at once"


def test_a_call_under_way_is_pending_until_it_has_ended(http: FlaskClient, case: Case) -> None:
    case.tell("in_app", Status.SUPPRESSED, Reason.MUTED)
    case.take("email")
    assert case.call("email")
    assert results(http.delete(f"{PATH}/{case.id}").json)["email"] == ("pending", "accepted")
    case.tell("email", Status.SENT)
    late = http.delete(f"{PATH}/{case.id}")
    assert (late.status_code, late.mimetype) == (409, "application/problem+json")
    assert late.json["type"] == "urn:notify:problem:too-late"
    assert results(late.json) == {"email": ("too_late", "sent"), "in_app": ("too_late", "suppressed")}


def test_a_call_that_failed_for_now_and_was_parked_meanwhile_is_cancelled(http: FlaskClient, case: Case) -> None:
    case.tell("in_app", Status.SENT)
    case.take("email")
    assert case.call("email")
    assert http.delete(f"{PATH}/{case.id}").status_code == 202
    case.park("email")
    case.claims.done([(case.delivery("email").id, 0, "parked")], owner="worker")
    assert results(http.delete(f"{PATH}/{case.id}").json)["email"] == ("cancelled", "cancelled")


def test_where_an_earlier_call_is_in_doubt_nobody_says_that_it_was_stopped(http: FlaskClient, case: Case) -> None:
    case.tell("in_app", Status.CANCELLED)
    case.park("email", is_in_doubt=True)
    answer = http.delete(f"{PATH}/{case.id}")
    assert results(answer.json)["email"] == ("too_late", "unknown")
    assert case.rows() == []


def test_one_that_is_not_routed_yet_is_pending_and_will_not_be_sent(http: FlaskClient, case: Case) -> None:
    answer = http.delete(f"{PATH}/{case.id}")
    assert answer.status_code == 202
    assert answer.json == {"id": case.id, "result": "pending", "deliveries": []}
    assert case.take("email") == "answered"


def test_an_id_that_never_was(http: FlaskClient) -> None:
    answer = http.delete(f"{PATH}/01a203a7-b81b-7fa3-88a0-d7f956e6663d")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_one_that_was_never_routed_is_too_late(http: FlaskClient, case: Case) -> None:
    outcome = case.delivery("email").outcome(status=Status.EXPIRED, reason=Reason.TTL, at_ms=now_ms())
    case.services.history.append([structs.replace(outcome, delivery_id="", channel="")])
    answer = http.delete(f"{PATH}/{case.id}")
    assert answer.status_code == 409


def test_without_redis_nothing_is_promised(http_services: Services, case: Case) -> None:
    case.park("email")
    answer = client_without(http_services, cancels=Away()).delete(f"{PATH}/{case.id}")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert case.rows() == ["email"]


def test_without_the_history_it_is_stopped_all_the_same(http_services: Services, case: Case) -> None:
    http = client_without(http_services, history=Away())
    assert http.delete(f"{PATH}/{case.id}").status_code == 202
    assert case.take("email") == "answered"
    assert http.delete(f"{PATH}/01a203a7-b81b-7fa3-88a0-d7f956e6663d").status_code == 503


def test_without_sql_it_is_stopped_all_the_same(http_services: Services, case: Case) -> None:
    case.park("email")
    assert client_without(http_services, parked=Away()).delete(f"{PATH}/{case.id}").status_code == 202
    assert case.take("email") == "answered"


def test_it_stays_cancelled_for_as_long_as_it_could_be_sent(
    http: FlaskClient, case: Case, redis_server: RedisServer
) -> None:
    client: Redis = make_client(redis_server.url(), 1.0)
    http.delete(f"{PATH}/{case.id}")
    unknown_s = client.ttl(f"cancel:{case.id}")
    assert unknown_s > 365 * DAY_S, "it could be scheduled that far ahead"
    case.take("email")
    case.tell("in_app", Status.SENT)
    http.delete(f"{PATH}/{case.id}")
    assert DAY_S < client.ttl(f"cancel:{case.id}") <= DAY_S + 3600
    assert client.ttl("cancels") >= unknown_s - 60
    client.close()
