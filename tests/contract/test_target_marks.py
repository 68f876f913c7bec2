"""Port TargetMarks."""

from __future__ import annotations

import time
from typing import Any

import pytest
from redis import Redis

from app.domain.clock import now_ms
from app.domain.errors import StoreUnavailableError
from app.domain.ports import Mark, TargetKey
from infrastructure.redis.claims import RedisClaims
from infrastructure.redis.target_marks import RedisTargetMarks

SENT = '{"id":"t","status":"sent"}'
PARKED = '{"id":"t","status":"parked"}'
FUTURE = now_ms() + 3_600_000
PAST = now_ms() - 60_000
KEY = TargetKey("d", 0, "t")


@pytest.fixture
def claims(client: Redis) -> RedisClaims:
    return RedisClaims(client, ttl_s=60.0)


@pytest.fixture
def marks(client: Redis) -> RedisTargetMarks:
    return RedisTargetMarks(client, ttl_s=60.0)


def calling(claims: RedisClaims, owner: str, *, pass_no: int = 0, until_ms: int = FUTURE) -> None:
    claims.take([("d", pass_no, "n")], owner=owner, until_ms=until_ms, alone=False)
    claims.advance(owner=owner, until_ms=until_ms, answered=[], calling=[("d", pass_no, "n")])


def start(marks: RedisTargetMarks, owner: str, *keys: TargetKey) -> list[bool]:
    return marks.note(owner=owner, answered=[], starting=keys)


def answer(marks: RedisTargetMarks, owner: str, result: str, key: TargetKey = KEY) -> None:
    assert marks.note(owner=owner, answered=[(key, result)], starting=[]) == []


def test_a_target_is_called_by_who_has_the_claim_and_is_calling(claims: RedisClaims, marks: RedisTargetMarks) -> None:
    assert start(marks, "one", KEY) == [False], "there is no claim"
    claims.take([("d", 0, "n")], owner="one", until_ms=FUTURE, alone=False)
    assert start(marks, "one", KEY) == [False], "it is held, and not being called"
    calling(claims, "one")
    assert start(marks, "two", KEY) == [False]
    assert start(marks, "one", KEY, TargetKey("d", 1, "u"), TargetKey("d", 0, "v")) == [True, False, True]
    assert sorted(marks.find(["d", "e"])[0]) == [Mark("t", 0, ""), Mark("v", 0, "")]
    assert marks.find(["e", "d"])[0] == []


def test_answers_and_starts_are_one_question(claims: RedisClaims, marks: RedisTargetMarks) -> None:
    calling(claims, "one")
    start(marks, "one", KEY)
    assert marks.note(owner="one", answered=[(KEY, SENT)], starting=[TargetKey("d", 0, "u")]) == [True]
    assert sorted(marks.find(["d"])[0]) == [Mark("t", 0, SENT), Mark("u", 0, "")]


def test_what_was_said_for_good_stays(claims: RedisClaims, marks: RedisTargetMarks) -> None:
    calling(claims, "one", until_ms=PAST)
    start(marks, "one", KEY)
    answer(marks, "one", SENT)
    calling(claims, "two")
    answer(marks, "one", PARKED)
    answer(marks, "two", PARKED)
    assert marks.find(["d"]) == [[Mark("t", 0, SENT)]]


def test_a_late_yes_counts_where_another_is_calling_a_late_no_does_not(
    claims: RedisClaims, marks: RedisTargetMarks
) -> None:
    calling(claims, "one", until_ms=PAST)
    start(marks, "one", KEY)
    calling(claims, "two")
    start(marks, "two", KEY)
    answer(marks, "one", PARKED)
    assert marks.find(["d"]) == [[Mark("t", 0, "")]]
    answer(marks, "one", SENT)
    assert marks.find(["d"]) == [[Mark("t", 0, SENT)]]


def test_what_was_not_called_after_all_is_taken_back_by_its_owner_only(
    claims: RedisClaims, marks: RedisTargetMarks
) -> None:
    calling(claims, "one")
    start(marks, "one", KEY)
    marks.take_back([KEY], owner="two")
    assert marks.find(["d"]) == [[Mark("t", 0, "")]]
    marks.take_back([KEY, KEY], owner="one")
    assert marks.find(["d"]) == [[]]
    answer(marks, "one", SENT)
    marks.take_back([KEY], owner="one")
    assert marks.find(["d"]) == [[Mark("t", 0, SENT)]], "an answer is not taken back"
    marks.take_back([], owner="one")


def test_none_may_be_called_when_nobody_waits_any_more_and_answers_are_noted_all_the_same(
    claims: RedisClaims, marks: RedisTargetMarks, monkeypatch: pytest.MonkeyPatch
) -> None:
    calling(claims, "one")
    monkeypatch.setattr(marks._clock, "deadline_ms", lambda: PAST)
    with pytest.raises(StoreUnavailableError, match="too late"):
        marks.note(owner="one", answered=[(KEY, SENT)], starting=[TargetKey("d", 0, "u")])
    assert marks.find(["d"]) == [[Mark("t", 0, SENT)]]


def test_marks_live_as_long_as_the_claim_that_was_taken_last(client: Redis, claims: RedisClaims) -> None:
    marks = RedisTargetMarks(client, ttl_s=0.3)
    calling(claims, "one")
    start(marks, "one", KEY)
    for _ in range(3):
        time.sleep(0.2)
        assert marks.find(["d"]) == [[Mark("t", 0, "")]]
    time.sleep(0.4)
    assert marks.find(["d"]) == [[]]


def test_a_thousand_are_one_round_trip(client: Redis, claims: RedisClaims, marks: RedisTargetMarks) -> None:
    wanted: list[Any] = [(f"d{number}", 0, "n") for number in range(1000)]
    claims.take(wanted, owner="one", until_ms=FUTURE, alone=False)
    claims.advance(owner="one", until_ms=FUTURE, answered=[], calling=wanted)
    keys = [TargetKey(delivery_id, 0, target) for delivery_id, _, _ in wanted for target in ("a", "b")]
    assert start(marks, "one", *keys) == [True] * 2000
    answered = [(key, SENT) for key in keys]
    assert marks.note(owner="one", answered=answered, starting=[]) == []
    assert all(len(found) == 2 for found in marks.find([delivery_id for delivery_id, _, _ in wanted]))
