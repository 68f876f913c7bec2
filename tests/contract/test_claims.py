"""Ports Claims and Cancels on Redis and in the model: each sentence of the rule, then both through the same steps."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from app.domain.batch import Verdict
from app.domain.clock import now_ms
from app.domain.codec import decode
from app.domain.errors import StoreUnavailableError
from app.domain.outcome import Reason, Status
from app.domain.ports import Cancels, Claims, Permit, Taken
from infrastructure.redis.claims import RedisClaims
from infrastructure.redis.client import make_client
from tests.support.kafka_broker import eventually
from tests.support.model_claims import CANCELLED, IN_DOUBT, ModelClaims
from tests.support.redis_server import RedisServer

TTL_S = 3600.0
#: Both go by the time of day: a claim of a copy whose not_after is PAST is expired, one until FUTURE is live.
PAST = now_ms() - 60_000
FUTURE = now_ms() + 3_600_000
TAKEN = Taken(state="taken")
FINISHED = Taken(state="finished")
BUSY = Taken(state="busy")
SENT = '{"status":"sent","at_ms":1}'
PARKED = '{"status":"parked","at_ms":1}'
FINALS = [status for status in Status if status.is_final]


class Both(Claims, Cancels, Protocol):
    """What workers and clients do."""


@pytest.fixture(params=["redis", "model"])
def make(request: pytest.FixtureRequest, client: Redis) -> Callable[[float], Both]:
    if request.param == "redis":
        return lambda ttl_s: RedisClaims(client, ttl_s=ttl_s)
    return lambda ttl_s: ModelClaims(now_ms, ttl_s=ttl_s)


@pytest.fixture
def claims(make: Callable[[float], Both]) -> Both:
    return make(TTL_S)


def take(claims: Claims, owner: str, *, pass_no: int = 0, until_ms: int = FUTURE, alone: bool = False) -> Taken:
    return claims.take([("d", pass_no, "n")], owner=owner, until_ms=until_ms, alone=alone)[0]


def call(claims: Claims, owner: str, *, pass_no: int = 0, until_ms: int = FUTURE) -> bool:
    return permit(claims, owner, pass_no=pass_no, until_ms=until_ms).may_call


def permit(claims: Claims, owner: str, *, pass_no: int = 0, until_ms: int = FUTURE) -> Permit:
    return claims.advance(owner=owner, until_ms=until_ms, answered=[], calling=[("d", pass_no, "n")])[0]


def answer(claims: Claims, owner: str, verdict: str, *, pass_no: int = 0, until_ms: int = FUTURE) -> None:
    assert claims.advance(owner=owner, until_ms=until_ms, answered=[("d", pass_no, verdict)], calling=[]) == []


# held


def test_the_first_step_takes_what_nobody_has(claims: Claims) -> None:
    assert take(claims, "one") == TAKEN


def test_a_claim_that_is_live_and_anothers_is_busy(claims: Claims) -> None:
    take(claims, "one")
    assert take(claims, "two") == BUSY
    assert call(claims, "one"), "and stays whose it was"


def test_an_expired_held_claim_is_taken(claims: Claims) -> None:
    take(claims, "one", until_ms=PAST)
    assert take(claims, "two") == TAKEN
    assert not call(claims, "one"), "whoever had it has it no more"
    assert call(claims, "two")


def test_a_claim_counts_as_expired_from_its_not_after_on(claims: Claims) -> None:
    until_ms = now_ms() + 100
    take(claims, "one", until_ms=until_ms)
    assert take(claims, "two") == BUSY
    time.sleep(max(0.0, until_ms - now_ms()) / 1000 + 0.01)
    assert take(claims, "two") == TAKEN


# calling


def test_whoever_holds_a_delivery_may_call(claims: Claims) -> None:
    take(claims, "one")
    assert call(claims, "one")
    assert take(claims, "two") == BUSY


def test_nobody_else_may_call(claims: Claims) -> None:
    take(claims, "one")
    assert not call(claims, "two")
    call(claims, "one")
    assert not call(claims, "two")


def test_doubt_outlives_whoever_found_it_first(claims: Claims) -> None:
    """A child may die of a batch-mate before it has recorded what the event type decides."""
    take(claims, "one")
    call(claims, "one", until_ms=PAST)
    for owner in ("two", "three"):
        assert take(claims, owner, until_ms=PAST).state == "in_doubt"
    claims.release(["d"], owner="three")
    assert take(claims, "four").state == "in_doubt"


@pytest.mark.parametrize("alone", [False, True])
def test_an_expired_calling_claim_is_in_doubt(claims: Claims, alone: bool) -> None:
    take(claims, "one", alone=alone)
    call(claims, "one", until_ms=PAST)
    assert take(claims, "two") == Taken(state="in_doubt", crashes=int(alone))
    assert call(claims, "two"), "and then whose it is now decides"


def test_what_is_answered_or_done_may_not_be_called_again(claims: Claims) -> None:
    take(claims, "one")
    answer(claims, "one", SENT)
    assert not call(claims, "one")
    claims.done([("d", 0, "sent")])
    assert not call(claims, "one")


def test_another_pass_may_not_be_called(claims: Claims) -> None:
    take(claims, "one", pass_no=1)
    assert not call(claims, "one", pass_no=0)
    assert not call(claims, "one", pass_no=2)


def test_a_claim_that_was_flushed_is_made_anew_by_the_copy_that_is_out(claims: Claims) -> None:
    assert call(claims, "one")
    assert take(claims, "two") == BUSY


def test_of_many_each_is_told_for_itself(claims: Claims) -> None:
    claims.take([("a", 0, "n"), ("b", 0, "n"), ("c", 0, "n")], owner="one", until_ms=FUTURE, alone=False)
    claims.done([("b", 0, "cancelled")])
    calling = [("a", 0, "n"), ("b", 0, "n")]
    permits = claims.advance(owner="one", until_ms=FUTURE, answered=[("c", 0, SENT)], calling=calling)
    assert permits == [Permit(may_call=True), Permit(may_call=False)]
    wanted = [(name, 0, "n") for name in ("a", "b", "c", "e")]
    found = claims.take(wanted, owner="two", until_ms=FUTURE, alone=False)
    assert found == [BUSY, FINISHED, Taken(state="answered", answer=SENT), TAKEN]


def test_nothing_asked_is_nothing_answered(claims: Claims) -> None:
    assert claims.take([], owner="one", until_ms=FUTURE, alone=True) == []
    assert claims.advance(owner="one", until_ms=FUTURE, answered=[], calling=[]) == []
    claims.done([])
    claims.release([], owner="one")


# answered


@pytest.mark.parametrize("until_ms", [PAST, FUTURE], ids=["expired", "live"])
def test_found_answered_the_next_owner_goes_on_from_there(claims: Claims, until_ms: int) -> None:
    verdict = '{"status":"sent","detail":"a|b||\\n%"}'
    take(claims, "one")
    call(claims, "one")
    answer(claims, "one", verdict, until_ms=until_ms)
    found = Taken(state="answered", answer=verdict)
    assert take(claims, "two") == found
    assert take(claims, "three") == found, "for as long as it is not recorded"


def test_an_answer_that_comes_after_the_claim_was_lost_counts(claims: Claims) -> None:
    take(claims, "one")
    call(claims, "one", until_ms=PAST)
    take(claims, "two")
    answer(claims, "one", "late")
    assert take(claims, "three") == Taken(state="answered", answer="late")


def test_an_answer_changes_neither_what_is_done_nor_another_pass(claims: Claims) -> None:
    claims.done([("d", 0, "parked")])
    answer(claims, "one", "late")
    assert take(claims, "two") == FINISHED
    take(claims, "two", pass_no=1)
    answer(claims, "one", "late")
    assert call(claims, "two", pass_no=1)


# done


@pytest.mark.parametrize("status", [*FINALS, Status.PARKED])
def test_found_done_it_is_finished(claims: Claims, status: Status) -> None:
    take(claims, "one")
    claims.done([("d", 0, str(status))])
    assert take(claims, "two") == FINISHED
    assert take(claims, "one") == FINISHED


def test_whoever_holds_the_claim_what_is_recorded_is_done(claims: Claims) -> None:
    take(claims, "one")
    call(claims, "one")
    claims.done([("d", 0, "sent")])
    assert take(claims, "two") == FINISHED


def test_what_is_done_needs_no_claim_and_stops_the_one_there_is(claims: Claims) -> None:
    claims.done([("d", 0, "cancelled")])
    assert take(claims, "one") == FINISHED
    take(claims, "one", pass_no=1)
    claims.done([("d", 1, "cancelled")])
    assert not call(claims, "one", pass_no=1)


def test_news_of_parking_does_not_undo_what_is_final(claims: Claims) -> None:
    """A copy that stood still between parking and saying so, while the next one got through."""
    claims.done([("d", 0, "sent")], owner="two")
    claims.done([("d", 0, "parked")], owner="one")
    assert take(claims, "one", pass_no=1) == FINISHED


def test_nor_what_another_is_calling_or_got_an_answer_for(claims: Claims) -> None:
    take(claims, "two")
    call(claims, "two")
    claims.done([("d", 0, "parked")], owner="one")
    assert take(claims, "three", pass_no=1) == BUSY
    answer(claims, "two", SENT)
    claims.done([("d", 0, "parked")], owner="one")
    assert take(claims, "three", pass_no=1) == Taken(state="answered", answer=SENT)


def test_who_parks_what_it_called_is_done_with_it(claims: Claims) -> None:
    """Also where Redis was away when the answer was to be noted."""
    take(claims, "one")
    call(claims, "one")
    claims.done([("d", 0, "parked")], owner="one")
    assert take(claims, "two") == FINISHED
    assert take(claims, "two", pass_no=1) == TAKEN


# passes


def test_a_higher_pass_is_under_way_so_this_one_is_finished(claims: Claims) -> None:
    take(claims, "one", pass_no=1)
    assert take(claims, "two", pass_no=0) == FINISHED
    claims.done([("d", 0, "parked")])
    assert call(claims, "one", pass_no=1), "and late news of the lower pass changes nothing"


@pytest.mark.parametrize("until_ms", [PAST, FUTURE], ids=["expired", "live"])
@pytest.mark.parametrize("state", ["held", "free", "answered", "parked"])
def test_a_claim_of_a_lower_pass_counts_as_none(claims: Claims, state: str, until_ms: int) -> None:
    take(claims, "one", until_ms=until_ms, alone=True)
    if state == "free":
        claims.release(["d"], owner="one", as_crash=True)
    elif state == "answered":
        answer(claims, "one", PARKED, until_ms=until_ms)
    elif state == "parked":
        claims.done([("d", 0, "parked")])
    assert take(claims, "two", pass_no=1) == TAKEN


def test_but_not_where_its_call_is_under_way(claims: Claims) -> None:
    take(claims, "one")
    call(claims, "one")
    assert take(claims, "two", pass_no=1) == BUSY
    call(claims, "one", until_ms=PAST)
    assert take(claims, "two", pass_no=1).state == "in_doubt"
    assert call(claims, "two", pass_no=1), "and is of the higher pass from then on"


def test_nor_where_its_answer_is_final_and_not_recorded(claims: Claims) -> None:
    take(claims, "one")
    answer(claims, "one", SENT)
    assert take(claims, "two", pass_no=1) == Taken(state="answered", answer=SENT)
    assert take(claims, "one") == FINISHED


@pytest.mark.parametrize("status", FINALS)
def test_nor_where_it_is_final(claims: Claims, status: Status) -> None:
    claims.done([("d", 0, str(status))])
    assert take(claims, "two", pass_no=1) == FINISHED


# released, and deaths


def test_what_is_given_back_is_free_and_nobody_died(claims: Claims) -> None:
    take(claims, "one", alone=True)
    claims.release(["d"], owner="one")
    assert take(claims, "two", alone=True) == TAKEN


def test_only_its_owner_gives_a_claim_back(claims: Claims) -> None:
    take(claims, "one")
    claims.release(["d"], owner="two")
    assert take(claims, "two") == BUSY


def test_what_was_being_called_is_in_doubt_when_it_is_given_back_and_nobody_died(claims: Claims) -> None:
    take(claims, "one", alone=True)
    call(claims, "one")
    claims.release(["d"], owner="one")
    assert take(claims, "two") == Taken(state="in_doubt")


def test_nothing_is_given_back_that_is_answered_or_done_or_not_there(claims: Claims) -> None:
    answer(claims, "one", SENT)
    claims.release(["d", "other"], owner="one")
    assert take(claims, "two").state == "answered"
    claims.done([("d", 0, "sent")])
    claims.release(["d"], owner="two")
    assert take(claims, "two") == FINISHED


def test_deaths_of_copies_that_carried_it_alone_are_counted(claims: Claims) -> None:
    take(claims, "0", until_ms=PAST, alone=True)
    assert take(claims, "1", until_ms=PAST, alone=False).crashes == 1
    assert take(claims, "2", until_ms=PAST, alone=True).crashes == 1, "it was not alone"
    assert take(claims, "3", until_ms=PAST, alone=True).crashes == 2
    call(claims, "3", until_ms=PAST)
    assert take(claims, "4") == Taken(state="in_doubt", crashes=3)


def test_a_failure_alone_counts_like_a_death(claims: Claims) -> None:
    for owner, crashes in (("0", 0), ("1", 1), ("2", 2)):
        assert take(claims, owner, alone=True).crashes == crashes
        claims.release(["d"], owner=owner, as_crash=True)
    assert take(claims, "3", alone=True).crashes == 3


def test_deaths_are_forgotten_with_the_pass(claims: Claims) -> None:
    take(claims, "one", until_ms=PAST, alone=True)
    assert take(claims, "two", until_ms=PAST, alone=True).crashes == 1
    assert take(claims, "three", pass_no=1) == TAKEN


# cancelled

STOPPED = Taken(state="answered", answer=CANCELLED)
#: What has been done to a delivery that no worker has, nor has called.
FREE = ("nothing", "given back", "expired", "parked", "parked a pass before")
LIFE_S = 3600.0


def cancel(claims: Both, *, life_s: float = LIFE_S) -> bool:
    return claims.cancel("n", ["d"], life_s=life_s)[0]


def prepare(claims: Claims, how: str) -> None:
    if how == "given back":
        take(claims, "one")
        claims.release(["d"], owner="one")
    elif how == "expired":
        take(claims, "one", until_ms=PAST)
    elif how.startswith("parked"):
        claims.done([("d", 0, "parked")])


@pytest.mark.parametrize("how", FREE)
def test_what_no_worker_has_is_free_and_will_not_be_called(claims: Both, how: str) -> None:
    prepare(claims, how)
    pass_no = int(how.endswith("before"))
    assert cancel(claims)
    for owner in ("two", "three"):
        found = take(claims, owner, pass_no=pass_no)
        assert found == (FINISHED if how == "parked" else Taken(state="answered", answer=CANCELLED))
        assert not call(claims, owner, pass_no=pass_no)


def test_what_stands_instead_of_an_answer_can_be_recorded() -> None:
    assert decode(CANCELLED, Verdict) == Verdict(status=Status.CANCELLED, reason=Reason.CANCELLED_BY_CLIENT)
    doubtful = decode(IN_DOUBT, Verdict)
    assert (doubtful.status, doubtful.reason) == (Status.UNKNOWN, Reason.IN_DOUBT)


def test_who_holds_it_is_told_before_the_call(claims: Both) -> None:
    take(claims, "one")
    assert not cancel(claims), "its worker tells of it"
    assert permit(claims, "one") == Permit(may_call=False, verdict=CANCELLED)
    assert not call(claims, "one")
    assert take(claims, "two") == STOPPED, "for as long as it is not recorded"
    claims.done([("d", 0, "cancelled")])
    assert take(claims, "two") == FINISHED


def test_a_live_claim_stays_busy(claims: Both) -> None:
    take(claims, "one")
    cancel(claims)
    assert take(claims, "two") == BUSY


@pytest.mark.parametrize("until_ms", [PAST, FUTURE], ids=["expired", "live"])
def test_a_call_that_is_under_way_is_too_late_to_stop(claims: Both, until_ms: int) -> None:
    take(claims, "one")
    call(claims, "one", until_ms=until_ms)
    assert not cancel(claims)
    answer(claims, "one", SENT)
    assert not cancel(claims)
    assert take(claims, "two") == Taken(state="answered", answer=SENT)
    claims.done([("d", 0, "sent")])
    assert not cancel(claims)
    assert take(claims, "two") == FINISHED


def test_after_a_call_that_failed_for_now_there_is_no_other(claims: Both) -> None:
    take(claims, "one")
    call(claims, "one")
    cancel(claims)
    answer(claims, "one", PARKED)
    claims.done([("d", 0, "parked")], owner="one")
    assert cancel(claims)
    assert take(claims, "two", pass_no=1) == STOPPED


def test_an_answer_that_was_not_recorded_is_replaced_where_it_is_not_final(claims: Both) -> None:
    answer(claims, "one", PARKED)
    assert not cancel(claims)
    assert take(claims, "two") == STOPPED


@pytest.mark.parametrize("when", ["before the next copy", "after it"])
def test_a_call_in_doubt_is_not_repeated_and_nobody_says_that_it_was_stopped(claims: Both, when: str) -> None:
    take(claims, "one")
    call(claims, "one", until_ms=PAST)
    if when == "before the next copy":
        cancel(claims)
        assert take(claims, "two") == Taken(state="answered", answer=IN_DOUBT)
    else:
        assert take(claims, "two").state == "in_doubt"
        cancel(claims)
        assert permit(claims, "two") == Permit(may_call=False, verdict=IN_DOUBT)
    assert not call(claims, "two")


def test_nor_where_its_worker_knew_of_the_doubt(claims: Both) -> None:
    answer(claims, "one", '{"status":"parked","reason":"provider_transient","is_in_doubt":true}')
    cancel(claims)
    assert take(claims, "two") == Taken(state="answered", answer=IN_DOUBT)


def test_taking_back_what_was_not_called_finds_it_cancelled(claims: Both) -> None:
    take(claims, "one")
    call(claims, "one")
    cancel(claims)
    assert take(claims, "one") == STOPPED


def test_what_was_stopped_stays_so_in_the_next_pass(claims: Both) -> None:
    cancel(claims)
    take(claims, "one")
    assert take(claims, "two", pass_no=1) == STOPPED


def test_other_notifications_go_on(claims: Both) -> None:
    assert claims.cancel("other", [], life_s=LIFE_S) == []
    assert claims.cancel("third", ["e"], life_s=LIFE_S) == [True]
    assert take(claims, "one") == TAKEN
    assert call(claims, "one")
    assert claims.take([("e", 0, "third")], owner="one", until_ms=FUTURE, alone=False) == [STOPPED]


def test_a_cancel_lives_for_its_time_and_a_shorter_one_ends_no_other(claims: Both) -> None:
    claims.cancel("third", [], life_s=LIFE_S)
    cancel(claims, life_s=0.2)
    assert take(claims, "one") == STOPPED
    time.sleep(0.25)
    assert take(claims, "one", pass_no=1) == STOPPED, "it was noted"
    assert claims.take([("f", 0, "n")], owner="one", until_ms=FUTURE, alone=False) == [TAKEN]
    assert claims.take([("e", 0, "third")], owner="one", until_ms=FUTURE, alone=False) == [STOPPED]


def test_more_deliveries_than_the_script_looks_up_at_a_time(claims: Both) -> None:
    wanted = [(f"d{number}", 0, f"n{number}") for number in range(2500)]
    for number in (0, 1000, 2499):
        claims.cancel(f"n{number}", [], life_s=LIFE_S)
    found = claims.take(wanted, owner="one", until_ms=FUTURE, alone=False)
    assert [place for place, taken in enumerate(found) if taken == STOPPED] == [0, 1000, 2499]


# repetitions and lives


def test_its_own_repetition_is_recognised(claims: Claims) -> None:
    for _ in range(2):
        assert take(claims, "one", until_ms=PAST, alone=True) == TAKEN
    assert call(claims, "one")
    assert call(claims, "one")
    for _ in range(2):
        answer(claims, "one", SENT)
    for _ in range(2):
        claims.done([("d", 0, "sent")])
    assert take(claims, "one") == FINISHED


def test_taking_again_what_was_to_be_called_holds_it_again(claims: Claims) -> None:
    """So that what could not be called in time is not in doubt."""
    take(claims, "one")
    call(claims, "one")
    assert take(claims, "one") == TAKEN
    claims.release(["d"], owner="one")
    assert take(claims, "two") == TAKEN


@pytest.mark.parametrize("operation", ["take", "advance", "done", "release"])
def test_the_key_lives_for_its_time_from_the_last_operation_on(make: Callable[[float], Both], operation: str) -> None:
    claims = make(0.3)
    take(claims, "one")
    time.sleep(0.2)
    if operation == "take":
        take(claims, "one")
    elif operation == "advance":
        call(claims, "one")
    elif operation == "done":
        claims.done([("d", 0, "sent")])
    else:
        claims.release(["d"], owner="one")
    time.sleep(0.2)
    assert not call(claims, "two"), "still there"
    time.sleep(0.2)
    assert take(claims, "two") == TAKEN


def test_a_redis_that_is_away_is_our_error(own_redis: RedisServer) -> None:
    client = make_client(own_redis.url(), timeout_s=1.0)
    claims = RedisClaims(client, ttl_s=TTL_S)
    take(claims, "one")
    own_redis.stop()
    with pytest.raises(StoreUnavailableError):
        take(claims, "one")
    with pytest.raises(StoreUnavailableError):
        cancel(claims)
    client.close()


# a Redis that hangs, and does later what nobody waits for any more


def state(client: Redis) -> str:
    return str(client.get("claim:d")).split("|")[1]


def hang_while(server: RedisServer, client: Redis, ask: Callable[[], object]) -> None:
    """Redis stands still while it is asked, and then does what it was asked."""
    before = _scripts_run(client)
    server.send(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailableError):
            ask()
    finally:
        server.send(signal.SIGCONT)
    eventually(lambda: _scripts_run(client) > before, "the script, later")


def _scripts_run(client: Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


@pytest.fixture
def hanging(own_redis: RedisServer) -> Iterator[tuple[RedisClaims, Callable[[Callable[[], object]], None], Redis]]:
    """Claims that wait for 0.3 s, how to let Redis hang while they are asked, and a look from aside."""
    asking, aside = make_client(own_redis.url(), timeout_s=0.3), make_client(own_redis.url(), timeout_s=5.0)
    claims = RedisClaims(asking, ttl_s=TTL_S)
    yield claims, lambda ask: hang_while(own_redis, aside, ask), aside
    asking.close()
    aside.close()


Hanging = tuple[RedisClaims, Callable[[Callable[[], object]], None], Redis]


def test_what_runs_when_nobody_waits_any_more_marks_no_call(hanging: Hanging) -> None:
    """Whoever asked has left it uncalled: it would be in doubt for nothing."""
    claims, hang, aside = hanging
    take(claims, "one")
    hang(lambda: call(claims, "one"))
    assert state(aside) == "h"


def test_nor_where_another_process_took_it(hanging: Hanging) -> None:
    """The step before may have run in another child."""
    claims, hang, aside = hanging
    take(RedisClaims(aside, ttl_s=TTL_S), "one")
    assert call(claims, "one")
    aside.delete("claim:d")
    hang(lambda: call(claims, "one"))
    assert aside.get("claim:d") is None


def test_but_answers_are_noted_however_late(hanging: Hanging) -> None:
    claims, hang, aside = hanging
    take(claims, "one")
    call(claims, "one")
    hang(lambda: answer(claims, "one", SENT))
    assert state(aside) == "a"


def test_a_process_that_stood_still_before_it_asked_asks_again(client: Redis) -> None:
    clock = iter([10.0, 0.0])
    claims = RedisClaims(client, ttl_s=TTL_S, monotonic=lambda: next(clock, 10.0))
    take(claims, "one")
    assert call(claims, "one"), "the first time it was told that it is late, and what time it is"


def test_who_is_always_late_may_not_call(client: Redis) -> None:
    clock = itertools.cycle([10.0, 0.0])
    claims = RedisClaims(client, ttl_s=TTL_S, monotonic=lambda: next(clock))
    take(claims, "one")
    with pytest.raises(StoreUnavailableError):
        call(claims, "one")
    assert state(client) == "h"


def test_a_value_that_is_none_of_ours_counts_as_no_claim(client: Redis) -> None:
    client.set("claim:d", "gibberish")
    assert take(RedisClaims(client, ttl_s=TTL_S), "one") == TAKEN


def test_a_charge_stays_with_the_claim_until_it_is_done(client: Redis) -> None:
    """What `user_limits.lua` notes."""
    claims = RedisClaims(client, ttl_s=TTL_S)
    client.set("claim:d", f"0|h|one|{PAST}|c|0|0|")
    take(claims, "two")
    call(claims, "two")
    answer(claims, "two", SENT)
    take(claims, "three")
    assert client.get("claim:d") == f"0|a|three|{FUTURE}|c|0|0|{SENT}"


# the same operations on both

ids = st.sampled_from(["a", "b", "c"])
passes = st.integers(0, 2)
owners = st.sampled_from(["one", "two"])
times = st.sampled_from([PAST, FUTURE])
statuses = st.sampled_from([str(status) for status in (Status.SENT, Status.PARKED, Status.CANCELLED)])
payloads = st.sampled_from(
    [SENT, PARKED, '{"status":"parked","is_in_doubt":true}', '{"status":"failed","detail":"|\\n|"}']
)
keys = st.builds(lambda name, pass_no: (name, pass_no, f"n-{name}"), ids, passes)

operations = st.one_of(
    st.tuples(
        st.just("take"),
        st.fixed_dictionaries(
            {"wanted": st.lists(keys, max_size=3), "owner": owners, "until_ms": times, "alone": st.booleans()}
        ),
    ),
    st.tuples(
        st.just("advance"),
        st.fixed_dictionaries(
            {
                "owner": owners,
                "until_ms": times,
                "answered": st.lists(st.tuples(ids, passes, payloads), max_size=2),
                "calling": st.lists(keys, max_size=2),
            }
        ),
    ),
    st.tuples(
        st.just("done"),
        st.fixed_dictionaries({"finals": st.lists(st.tuples(ids, passes, statuses), max_size=2), "owner": owners}),
    ),
    st.tuples(
        st.just("release"),
        st.fixed_dictionaries({"delivery_ids": st.lists(ids, max_size=2), "owner": owners, "as_crash": st.booleans()}),
    ),
    st.tuples(
        st.just("cancel"),
        st.fixed_dictionaries(
            {
                "notification_id": ids.map("n-{}".format),
                "delivery_ids": st.lists(ids, max_size=2),
                "life_s": st.just(LIFE_S),
            }
        ),
    ),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # flushed below
@given(steps=st.lists(operations, min_size=1, max_size=20))
def test_the_script_and_the_model_do_and_keep_the_same(client: Redis, steps: list[tuple[str, dict[str, Any]]]) -> None:
    client.flushdb()
    script, model = RedisClaims(client, ttl_s=TTL_S), ModelClaims(now_ms, ttl_s=TTL_S)
    for name, given_ in steps:
        assert getattr(script, name)(**given_) == getattr(model, name)(**given_)
    for delivery_id in ("a", "b", "c"):
        kept = model.read(delivery_id)
        assert client.get(f"claim:{delivery_id}") == (str(kept) if kept else None)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # flushed below
@given(before=st.lists(operations, max_size=12), after=st.lists(operations, max_size=12))
def test_whatever_happens_no_call_begins_after_a_cancel(
    client: Redis, before: list[tuple[str, dict[str, Any]]], after: list[tuple[str, dict[str, Any]]]
) -> None:
    client.flushdb()
    claims = RedisClaims(client, ttl_s=TTL_S)
    for name, given_ in before:
        getattr(claims, name)(**given_)
    for name in ("a", "b", "c"):
        claims.cancel(f"n-{name}", [], life_s=LIFE_S)
    for name, given_ in after:
        found = getattr(claims, name)(**given_)
        if name == "take":
            assert not {taken.state for taken in found} & {"taken", "in_doubt"}
        elif name == "advance":
            assert not any(permit.may_call for permit in found)
