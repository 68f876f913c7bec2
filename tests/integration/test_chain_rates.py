"""Providers with a rate of their own: passed over while it has no room, waited for where there is time, never lost."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from app.domain.delivery import Delivery
from app.domain.errors import TransientError
from app.domain.event import Options, To
from app.domain.lane import Lane, Priority
from app.domain.outcome import Reason
from app.domain.ports import ProviderTerms
from app.domain.rate import Rate, parse_rate
from tests.support.chain import Chain, ScriptedProvider
from tests.support.deliveries import delivery
from tests.support.redis_server import RedisServer

ADDRESS = "anna@example.com"
TRANSIENT = TransientError(Reason.PROVIDER_TRANSIENT, "500")
FIRST = 1e6  # the weight of one that is asked first, but for one time in a million


def provider(name: str, rate: str = "", weight: float = 1.0) -> ScriptedProvider:
    terms = ProviderTerms(weight=weight, rate=parse_rate(rate) if rate else None)
    return ScriptedProvider(name=name, breaker=name, terms=terms)


def to(channel: str = "email", **given: Any) -> Delivery:
    return delivery(channel=channel, options=Options(to=To(**{channel: ADDRESS})), **given)


def test_one_without_room_is_passed_over(chain: Chain) -> None:
    full, good = provider("full", "1/h:2", FIRST), provider("good")
    chain.provide("email", full, good)
    ran = chain.run(*(to() for _ in range(10)))
    assert Counter(ran.told) == {("sent", ""): 10}
    assert (len(full.calls), len(good.calls)) == (2, 8)
    assert {one.attempt for one in ran.outcomes} == {1}
    assert {one.detail for one in ran.outcomes} == {""}


@pytest.mark.parametrize("channel", ["email", "webhook"], ids=["one at a time", "several at a time"])
def test_where_nobody_has_room_they_wait_in_their_copy(chain: Chain, channel: str) -> None:
    only = provider("only", "20/s:2")
    chain.provide(channel, only)
    before = time.monotonic()
    ran = chain.run(*(to(channel) for _ in range(8)))
    took_s = time.monotonic() - before
    assert ran.told == [("sent", "")] * 8
    assert took_s >= 6 / 20
    assert (len(only.calls), chain.parked()) == (8, [])


@pytest.mark.parametrize("channel", ["email", "webhook"], ids=["one at a time", "several at a time"])
def test_what_has_no_room_in_time_is_given_back_and_spends_nothing(chain: Chain, channel: str) -> None:
    only = provider("only", "1/h:2")
    chain.provide(channel, only)
    some = [to(channel) for _ in range(5)]
    before = time.monotonic()
    ran = chain.run(*some)
    assert time.monotonic() - before < 5, "nobody waits for what does not come"
    assert Counter(ran.told) == {("sent", ""): 2, ("open", "provider_full"): 3}
    assert set(ran.open.values()) == {"provider_full"}
    assert chain.parked() == []
    left = [one for one in some if one.id not in only.calls]
    assert {chain.claim(one.id)[1] for one in left} == {"f"}, "free for the next copy"
    chain.provide(channel, provider("wider", "1000/s"))
    again = chain.run(*left)
    assert again.told == [("sent", "")] * 3
    assert {(one.attempt, one.pass_no) for one in again.outcomes} == {(1, 0)}


def test_what_one_did_not_take_waits_for_the_room_of_the_next(chain: Chain) -> None:
    bad, good = provider("bad", weight=FIRST), provider("good", "10/s:1")
    bad.answers[ADDRESS] = TRANSIENT
    states: list[str] = []
    some = [to() for _ in range(3)]
    good.during = lambda message: states.extend(chain.claim(one.id)[1] for one in some if one.id != message.delivery_id)
    chain.provide("email", bad, good)
    ran = chain.run(*some)
    assert ran.told == [("sent", "")] * 3
    assert Counter(bad.calls) == Counter(good.calls) == Counter(one.id for one in some)
    assert "c" not in states, "who waits is not being called: a worker that dies then leaves no doubt"
    assert {one.attempt for one in ran.outcomes} == {2}


def test_what_one_did_not_take_is_settled_by_it_where_the_next_has_no_room_in_time(chain: Chain) -> None:
    bad, full = provider("bad", weight=FIRST), provider("full", "1/h:1")
    bad.answers[ADDRESS] = TRANSIENT
    chain.provide("email", bad, full)
    first, second = to(), to()
    ran = chain.run(first, second)
    assert Counter(ran.told) == {("sent", ""): 1, ("parked", "provider_transient"): 1}
    [row] = chain.parked()
    assert row.delivery.retries == 1


def test_others_go_on_while_one_waits_for_the_room_of_its_second(chain: Chain) -> None:
    """The first is refused by the wide one and waits for the narrow one, which the second has just used."""
    wide, narrow = provider("wide", weight=FIRST), provider("narrow", "2/s:1")
    some = [to() for _ in range(6)]
    for one in some[:2]:
        wide.answers[one.id] = TRANSIENT
    chain.provide("email", wide, narrow)
    order: list[str] = []
    for one in (wide, narrow):
        one.during = lambda message: order.append(message.delivery_id)
    assert chain.run(*some).told == [("sent", "")] * 6
    assert order[-1] == some[1].id
    assert len(narrow.calls) == 2


def test_without_a_rate_nobody_is_asked_for_one(chain: Chain) -> None:
    class Forbidden:
        def take(self, provider: str, rate: Rate, lane: Lane, waiting: int) -> float:
            raise AssertionError(provider)

    chain.using(rates=Forbidden())
    chain.provide("email", provider("one"), provider("other"))
    assert chain.run(*(to() for _ in range(4))).told == [("sent", "")] * 4


@pytest.fixture
def chain_redis(own_redis: RedisServer) -> RedisServer:
    return own_redis


def test_high_goes_on_by_the_process_share_while_redis_is_away(chain: Chain, own_redis: RedisServer) -> None:
    only = provider("only", "1/h:3")
    chain.provide("email", only)
    own_redis.stop()
    ran = chain.run(*(to(priority=Priority.HIGH) for _ in range(5)))
    assert Counter(ran.told) == {("sent", ""): 3, ("open", "provider_full"): 2}
