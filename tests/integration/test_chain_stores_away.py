"""A store that is away: high goes on where it can, the others wait, nothing is lost and no opt-out overrun."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.domain.clock import now_ms
from app.domain.delivery import Delivery
from app.domain.errors import StoreUnavailableError
from app.domain.event import Options, To
from app.domain.lane import Priority
from app.domain.outcome import OpenReason
from app.domain.ports import Claims, Permit
from app.domain.rate import parse_rate
from app.domain.users import Contacts, Preferences, QuietHours, Recipient, User
from infrastructure import wiring
from infrastructure.kafka import guard
from infrastructure.redis.claims import RedisClaims
from infrastructure.redis.client import make_client
from tasks.last_known import LastKnown
from tasks.store_watch import NO_WATCH, StoreWatch
from tests.support.chain import Chain, ScriptedProvider
from tests.support.deliveries import delivery
from tests.support.redis_server import RedisServer

NOT_HIGH = [Priority.MEDIUM, Priority.LOW]


@pytest.fixture
def provider(chain: Chain) -> ScriptedProvider:
    made = ScriptedProvider()
    chain.provide("email", made)
    return made


def email(priority: Priority, **given: Any) -> Delivery:
    return delivery(channel="email", priority=priority, options=Options(to=To(email="anna@example.com")), **given)


class HangingClaims:
    """Claims whose server stands still while it is asked whether a call may begin."""

    def __init__(self, claims: Claims, server: RedisServer) -> None:
        self._claims = claims
        self._server = server
        self.take = claims.take
        self.done = claims.done
        self.release = claims.release

    def advance(self, **asked: Any) -> list[Permit]:
        self._server.send(signal.SIGSTOP)
        try:
            return self._claims.advance(**asked)
        finally:
            self._server.send(signal.SIGCONT)


class TestRedisAway:
    """Limits, claims and breakers."""

    @pytest.fixture
    def chain_redis(self, own_redis: RedisServer) -> RedisServer:
        return own_redis

    def test_high_is_sent_unclaimed(self, chain: Chain, chain_redis: RedisServer, provider: ScriptedProvider) -> None:
        some = [email(Priority.HIGH) for _ in range(3)]
        chain_redis.stop()
        ran = chain.run(*some)
        assert ran.told == [("sent", "")] * 3
        assert provider.calls == [one.id for one in some]
        assert ran.open == {}
        assert len(ran.outcomes) == 3

    def test_high_keeps_the_users_limits_within_the_process(self, chain: Chain, chain_redis: RedisServer) -> None:
        settings = dataclasses.replace(chain.context.settings, limit_user=parse_rate("4/h:2"))
        chain.using(user_limits=wiring.user_limits(settings), local_limits=wiring.local_limits(settings))
        chain_redis.stop()
        ran = chain.run(*(delivery(priority=Priority.HIGH) for _ in range(3)), delivery(user_id="ben"))
        assert [status for status, _ in ran.told] == ["sent", "sent", "parked", "sent"]
        [row] = chain.parked()
        assert row.reason == "rate_limited_user"

    def test_what_was_to_be_marked_while_it_hung_was_not_called_and_is_sent_later(
        self, chain: Chain, chain_redis: RedisServer
    ) -> None:
        """It does the marking when it goes on, and would leave a doubt about a call that nobody made."""
        provider = ScriptedProvider(timeout_s=0.1)
        chain.provide("email", provider)
        client = make_client(chain.context.settings.redis_url, timeout_s=0.3)
        claims = chain.context.claims
        chain.using(claims=HangingClaims(RedisClaims(client, ttl_s=60.0), chain_redis))
        one = email(Priority.MEDIUM, event_type="unsure")
        ran = chain.run(one, life_s=2.0)
        assert (ran.open, provider.calls) == ({0: "claims_down"}, [])
        chain.using(claims=claims)
        time.sleep(max(0.0, ran.batch.head.not_after_ms - now_ms()) / 1000 + 0.01)
        assert chain.run(one).told == [("sent", "")]
        assert provider.calls == [one.id]
        client.close()

    @pytest.mark.parametrize("priority", NOT_HIGH)
    def test_the_others_come_back_open_and_are_sent_when_it_is_back(
        self, chain: Chain, chain_redis: RedisServer, provider: ScriptedProvider, priority: Priority
    ) -> None:
        some = [email(priority) for _ in range(2)]
        chain_redis.stop()
        ran = chain.run(*some)
        assert ran.open == {0: "claims_down", 1: "claims_down"}
        assert (provider.calls, ran.outcomes) == ([], [])
        chain_redis.start()
        assert chain.run(*some).told == [("sent", "")] * 2

    def test_limits_that_go_away_after_the_claims_hold_the_others(self, chain: Chain, chain_redis: RedisServer) -> None:
        broken = wiring.user_limits(dataclasses.replace(chain.context.settings, redis_url="redis://127.0.0.1:1/0"))
        chain.using(user_limits=broken)
        assert chain.run(delivery(priority=Priority.LOW)).open == {0: "claims_down"}
        assert chain.run(delivery(priority=Priority.HIGH)).told == [("sent", "")]


class TestSqlAway:
    """Users, preferences and parked rows."""

    @pytest.fixture(autouse=True)
    def _away(self, chain: Chain, tmp_path: Path) -> None:
        place = tmp_path / "a folder where the file should be"
        place.mkdir()
        settings = dataclasses.replace(chain.context.settings, database_url=f"sqlite:///{place}")
        self.back = {name: getattr(chain.context, name) for name in ("users", "preferences", "parked")}
        self.away = {
            "users": wiring.users(settings),
            "preferences": wiring.preferences(settings),
            "parked": wiring.parked(settings),
        }
        chain.using(**self.away, sql_watch=NO_WATCH)

    @pytest.mark.parametrize("priority", NOT_HIGH)
    def test_medium_and_low_wait_and_are_sent_when_it_is_back(
        self, chain: Chain, provider: ScriptedProvider, priority: Priority
    ) -> None:
        one = email(priority)
        ran = chain.run(one)
        assert (ran.open, provider.calls) == ({0: "sql_down"}, [])
        chain.using(**self.back)
        assert chain.run(one).told == [("sent", "")]

    def test_high_is_sent_where_its_address_came_with_it(self, chain: Chain, provider: ScriptedProvider) -> None:
        without = delivery(channel="email", priority=Priority.HIGH)
        ran = chain.run(email(Priority.HIGH), without)
        assert ran.told == [("sent", ""), ("open", "sql_down")], "never no_address"

    @pytest.mark.parametrize("priority", NOT_HIGH)
    def test_an_opt_out_is_never_overrun(self, chain: Chain, priority: Priority) -> None:
        self.back["preferences"].put("anna", Preferences(channels={"*": {"*": False}}))
        chain.using(users=self.back["users"])
        one = delivery(user_id="anna", priority=priority)
        assert chain.run(one).open == {0: "sql_down"}
        chain.using(**self.back)
        assert chain.run(one).told == [("suppressed", "preference_off")]

    def test_what_is_critical_asks_for_no_preferences(self, chain: Chain) -> None:
        chain.using(users=self.back["users"])
        assert chain.run(delivery(event_type="critical", priority=Priority.LOW)).told == [("sent", "")]

    def test_what_cannot_be_parked_comes_back_open_and_parks_when_it_is_back(self, chain: Chain) -> None:
        self.back["preferences"].put("anna", Preferences(quiet_hours=QuietHours(start="00:00", end="23:59")))
        chain.using(users=self.back["users"], preferences=self.back["preferences"])
        noon_ms = now_ms() // 86_400_000 * 86_400_000 + 43_200_000
        shift_ms = noon_ms - now_ms()
        chain.using(now_ms=lambda: now_ms() + shift_ms)
        one = delivery(user_id="anna", expires_at_ms=noon_ms + 48 * 3_600_000)
        ran = chain.run(one)
        assert (ran.open, ran.outcomes) == ({0: "sql_down"}, []), "no word of parking that did not happen"
        chain.using(parked=self.back["parked"])
        assert chain.run(one).told == [("parked", "quiet_hours")]
        assert [row.delivery.id for row in chain.parked()] == [one.id]

    # high, by what was last known

    def known_before(self, chain: Chain, *user_ids: str) -> None:
        """High deliveries to these users while SQL was there."""
        chain.using(**self.back)
        for user_id in user_ids:
            contacts = Contacts(email=f"{user_id}@example.com")
            wiring.users(chain.context.settings).put(User(id=user_id, contacts=contacts, timezone="Asia/Tokyo"))
        chain.run(*(to_user(user_id) for user_id in user_ids))
        chain.using(**self.away)

    def test_high_goes_to_contacts_that_are_known(self, chain: Chain, provider: ScriptedProvider) -> None:
        self.known_before(chain, "anna")
        ran = chain.run(to_user("anna"), to_user("nobody"))
        assert ran.told == [("sent", ""), ("open", "sql_down")], "never no_address"
        recipient = ran.batch.items[0].recipient
        assert recipient is not None
        assert (recipient.contacts.email, recipient.timezone) == ("anna@example.com", "Asia/Tokyo")
        chain.using(**self.back)
        assert chain.run(to_user("nobody")).told == [("suppressed", "no_address")]
        assert len(provider.calls) == 2

    def test_what_is_critical_leaves_contacts_too(self, chain: Chain, provider: ScriptedProvider) -> None:
        chain.using(**self.back)
        users = wiring.users(dataclasses.replace(chain.context.settings, contacts_cache_s=0.0))
        users.put(User(id="anna", contacts=Contacts(email="anna@example.com")))
        chain.run(to_user("anna", event_type="critical"))
        chain.using(**self.away)
        assert chain.run(to_user("anna")).told == [("sent", "")]
        assert len(provider.calls) == 2

    def test_an_opt_out_of_the_last_moment_holds_for_high(self, chain: Chain, provider: ScriptedProvider) -> None:
        self.known_before(chain, "anna", "ben")
        store = wiring.preferences(chain.context.settings)
        store.put("anna", Preferences(channels={"*": {"email": False}}))
        store.put("ben", Preferences(channels={"*": {"sms": False}}))
        calls = len(provider.calls)
        ran = chain.run(to_user("anna"), to_user("ben"), email(Priority.HIGH, user_id="anna"))
        assert ran.told == [("suppressed", "preference_off"), ("sent", ""), ("suppressed", "preference_off")]
        assert len(provider.calls) == calls + 1

    def test_preferences_that_were_read_are_kept(self, chain: Chain, provider: ScriptedProvider) -> None:
        off = Preferences(channels={"*": {"email": False}})
        uncached = dataclasses.replace(chain.context.settings, contacts_cache_s=0.0)
        wiring.preferences(uncached).put("anna", off)
        self.known_before(chain, "anna")
        assert chain.run(to_user("anna")).told == [("suppressed", "preference_off")]
        assert provider.calls == []

    def test_a_contact_that_is_known_not_to_be_there_is_waited_for(self, chain: Chain) -> None:
        self.known_before(chain, "anna")
        wiring.users(chain.context.settings).put(User(id="anna"))
        one = to_user("anna")
        assert chain.run(one).told == [("open", "sql_down")]
        chain.using(**self.back)
        assert chain.run(one).told == [("suppressed", "no_address")]

    @pytest.mark.parametrize("priority", NOT_HIGH)
    def test_the_others_wait_whatever_is_known(
        self, chain: Chain, provider: ScriptedProvider, priority: Priority
    ) -> None:
        self.known_before(chain, "anna")
        calls = len(provider.calls)
        one = delivery(channel="email", priority=priority, user_id="anna")
        assert chain.run(one).open == {0: "sql_down"}
        chain.using(users=self.back["users"])
        assert chain.run(one).open == {0: "sql_down"}
        assert len(provider.calls) == calls
        chain.using(**self.back)
        assert chain.run(one).told == [("sent", "")]

    def test_a_user_who_was_removed_waits_and_so_does_what_names_an_address(
        self, chain: Chain, provider: ScriptedProvider
    ) -> None:
        self.known_before(chain, "anna")
        before = email(Priority.HIGH, user_id="anna", accepted_at_ms=now_ms())
        wiring.users(chain.context.settings).delete("anna")
        calls = len(provider.calls)
        after = email(Priority.HIGH, user_id="anna", accepted_at_ms=now_ms() + 1)
        assert chain.run(before, after, to_user("anna")).told == [("open", "sql_down")] * 3
        assert len(provider.calls) == calls

    def test_without_redis_as_well_high_goes_where_the_event_says_so(
        self, chain: Chain, provider: ScriptedProvider
    ) -> None:
        self.known_before(chain, "anna")
        away = dataclasses.replace(chain.context.settings, redis_url="redis://127.0.0.1:1/0")
        chain.using(last_known=LastKnown(wiring.known_users(away)))
        ran = chain.run(to_user("anna"), email(Priority.HIGH))
        assert ran.told == [("open", "sql_down"), ("sent", "")]

    def test_a_database_that_hangs_is_waited_for_once(self, chain: Chain, provider: ScriptedProvider) -> None:
        self.known_before(chain, "anna")
        slow = SlowUsers()
        chain.using(users=slow, sql_watch=StoreWatch(lambda: slow.recipients([]), pause_s=0.01))
        for _ in range(20):
            assert chain.run(to_user("anna")).told == [("sent", "")]
        assert slow.by_thread[threading.current_thread().name] == 1
        assert len(provider.calls) == 21
        chain.using(sql_watch=NO_WATCH)
        slow.is_up = True


def to_user(user_id: str, **given: Any) -> Delivery:
    """High, to the user's own address."""
    return delivery(channel="email", priority=Priority.HIGH, user_id=user_id, **given)


class SlowUsers:
    """A store of users that does not answer; how often each thread has asked it."""

    def __init__(self) -> None:
        self.is_up = False
        self.by_thread: Counter[str] = Counter()

    def recipients(self, user_ids: Any) -> dict[str, Recipient]:
        self.by_thread[threading.current_thread().name] += 1
        if self.is_up:
            return {}
        raise StoreUnavailableError("no answer in time")


class TestOutcomesFull:
    """The embedded broker has no room for what the batch would say."""

    def test_nothing_is_begun_without_room(
        self, monkeypatch: pytest.MonkeyPatch, chain: Chain, provider: ScriptedProvider
    ) -> None:
        one = email(Priority.HIGH)
        with monkeypatch.context() as patch:
            patch.setattr(guard, "OUTCOMES_BYTES", 0)
            ran = chain.run(one)
        assert (ran.open, provider.calls) == ({0: "kafka_down"}, [])
        assert chain.claim(one.id)[1] == ""
        assert chain.run(one).told == [("sent", "")]

    def test_what_was_answered_but_not_recorded_is_recorded_by_the_next_copy(
        self, monkeypatch: pytest.MonkeyPatch, chain: Chain, provider: ScriptedProvider
    ) -> None:
        one = email(Priority.MEDIUM)
        with monkeypatch.context() as patch:
            provider.during = lambda _message: patch.setattr(guard, "OUTCOMES_BYTES", 0)
            ran = chain.run(one)
        assert ran.open == {0: "kafka_down"}
        assert chain.outcomes([one.id]) == []
        assert chain.claim(one.id)[1] == "a", "the claim keeps the answer"
        again = chain.run(one)
        assert (again.told, provider.calls) == ([("sent", "")], [one.id])
        assert len(again.outcomes) == 1


class SilentLog:
    """An outcome log whose broker acknowledges nothing more."""

    def __init__(self, log: Any, *, finishes: bool) -> None:
        self._log = log
        self._finishes = finishes

    def durable(self, keys: Any, timeout_s: float) -> set[tuple[str, int]]:
        assert timeout_s > 0
        return set() if not self._finishes else self._log.durable(keys, timeout_s)

    def finish(self, finished: Any, timeout_s: float) -> bool:
        return self._log.finish(finished, timeout_s) and self._finishes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


def test_an_outcome_that_is_not_acknowledged_comes_back_open(chain: Chain, provider: ScriptedProvider) -> None:
    one = email(Priority.HIGH)
    log = chain.context.outcomes
    chain.using(outcomes=SilentLog(log, finishes=False))
    assert chain.run(one).open == {0: str(OpenReason.KAFKA_DOWN)}
    chain.using(outcomes=log)
    assert chain.run(one).told == [("sent", "")]
    assert provider.calls == [one.id]


def test_a_finished_record_that_is_not_acknowledged_is_no_error(chain: Chain, provider: ScriptedProvider) -> None:
    one = email(Priority.HIGH)
    chain.using(outcomes=SilentLog(chain.context.outcomes, finishes=False))
    assert "open 1" in chain.run(one).text
