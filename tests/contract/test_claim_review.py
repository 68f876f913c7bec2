"""Port ClaimReview, beside the port Claims."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.domain.clock import now_ms
from app.domain.ports import SeenClaim
from infrastructure.redis.claim_review import RedisClaimReview
from infrastructure.redis.claims import RedisClaims
from infrastructure.redis.client import make_client
from tests.support.redis_server import RedisServer


class Both:
    """The claims and their review."""

    def __init__(self, server: RedisServer) -> None:
        self.client = make_client(server.url(), 2.0)
        self.claims = RedisClaims(self.client, ttl_s=100.0)
        self.review = RedisClaimReview(self.client)

    def take(self, pass_no: int, owner: str = "one", life_ms: int = 60_000) -> str:
        until_ms = now_ms() + life_ms
        return self.claims.take([("a", pass_no, "n")], owner=owner, until_ms=until_ms, alone=False)[0].state

    def answer(self, pass_no: int, verdict: str) -> None:
        self.claims.advance(owner="one", until_ms=now_ms() + 60_000, answered=[("a", pass_no, verdict)], calling=[])


@pytest.fixture
def both(redis_server: RedisServer) -> Iterator[Both]:
    made = Both(redis_server)
    yield made
    made.client.close()


def test_a_claim_is_seen_as_it_stands(both: Both) -> None:
    assert both.review.seen([]) == []
    assert both.review.seen(["a", "b"]) == [None, None]
    both.take(2)
    assert both.review.seen(["b", "a"]) == [None, SeenClaim(pass_no=2, is_live=True, is_done=False)]
    both.answer(2, '{"status":"failed","detail":"a|b|c|d|e|f|g|h"}')
    assert both.review.seen(["a"]) == [SeenClaim(pass_no=2, is_live=True, is_done=False)]
    both.claims.done([("a", 2, "failed")])
    assert both.review.seen(["a"]) == [SeenClaim(pass_no=2, is_live=False, is_done=True, status="failed")]


def test_a_claim_that_ran_out_is_not_live(both: Both) -> None:
    both.take(0, life_ms=-1)
    assert both.review.seen(["a"]) == [SeenClaim(pass_no=0, is_live=False, is_done=False)]


def test_what_ended_goes_on_in_its_next_pass_once_it_is_reopened(both: Both) -> None:
    both.claims.done([("a", 1, "failed")])
    assert both.take(2) == "finished"
    both.review.reopen([("a", 0)])
    assert both.take(2) == "finished"
    both.review.reopen([("a", 1)])
    assert both.take(1) == "finished"
    assert both.take(2) == "taken"


def test_reopening_again_changes_nothing_of_a_higher_pass(both: Both) -> None:
    both.claims.done([("a", 1, "failed")])
    for _ in range(2):
        both.review.reopen([("a", 1)])
    assert both.take(2) == "taken"
    both.review.reopen([("a", 1)])
    assert both.take(2, "two") == "busy"
    both.claims.done([("a", 2, "sent")])
    both.review.reopen([("a", 1)])
    assert both.take(2, "two") == "finished"
    assert both.take(3, "two") == "finished"


def test_a_claim_that_is_not_done_stays(both: Both) -> None:
    both.take(0)
    both.review.reopen([("a", 0)])
    assert both.take(0, "two") == "busy"
    both.answer(0, '{"status":"sent"}')
    both.review.reopen([("a", 0)])
    assert both.take(1, "two") == "answered"


def test_reopening_leaves_the_claims_life_as_it_was_and_makes_none(both: Both) -> None:
    both.claims.done([("a", 0, "sent")])
    both.review.reopen([("a", 0), ("b", 3)])
    assert 0 < both.client.pttl("claim:a") <= 100_000
    assert both.client.exists("claim:b") == 0
