"""Port KnownSuppressions: copies that no older one replaces, and that tell no address."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from app.domain.errors import HalfStoredError, StoreUnavailableError
from app.domain.suppression import Destination, SuppressionReason
from infrastructure.redis.client import make_client
from infrastructure.redis.known_suppressions import RedisKnownSuppressions
from infrastructure.sql.suppressions import SqlSuppressions
from tests.support.sql_stores import SECRET, fresh_stores

ANNA, BEN = Destination("email", "anna@example.com"), Destination("sms", "+442071838750")
AWAY = "redis://127.0.0.1:1/0"


@pytest.fixture
def known(client: Redis) -> RedisKnownSuppressions:
    return RedisKnownSuppressions(client, SECRET, ttl_s=60.0)


def test_what_is_remembered_is_found(known: RedisKnownSuppressions) -> None:
    assert known.find([ANNA, BEN]) == {}
    known.remember({ANNA: "hard_bounce"}, 5)
    assert known.find([BEN, ANNA]) == {ANNA: "hard_bounce"}
    known.remember({ANNA: "", BEN: "stop"}, 6)
    assert known.find([ANNA, BEN]) == {BEN: "stop"}
    known.remember({}, 7)
    assert known.find([]) == {}


def test_an_older_copy_changes_nothing(known: RedisKnownSuppressions) -> None:
    known.remember({ANNA: ""}, 1_700_000_000_009)
    known.remember({ANNA: "hard_bounce", BEN: "stop"}, 1_700_000_000_008)
    assert known.find([ANNA, BEN]) == {BEN: "stop"}
    known.remember({ANNA: "complaint"}, 1_700_000_000_009)
    assert known.find([ANNA]) == {ANNA: "complaint"}


def test_copies_end_and_tell_no_address(known: RedisKnownSuppressions, client: Redis) -> None:
    known.remember({ANNA: "hard_bounce"}, 5)
    [key] = client.keys("*")
    assert key.startswith("suppressed:")
    assert "anna" not in key
    assert 0 < client.pttl(key) <= 60_000


def test_without_redis_it_says_so() -> None:
    client = make_client(AWAY, timeout_s=0.5)
    known = RedisKnownSuppressions(client, SECRET, ttl_s=60.0)
    with pytest.raises(StoreUnavailableError):
        known.remember({ANNA: "stop"}, 1)
    with pytest.raises(StoreUnavailableError):
        known.find([ANNA])
    client.close()


def test_changes_of_the_store_are_told(tmp_path: Path, known: RedisKnownSuppressions) -> None:
    with fresh_stores("sqlite", tmp_path) as stores:
        store = SqlSuppressions(stores.engines[0], SECRET, known)
        store.suppress(ANNA, SuppressionReason.STOP, since_ms=1)
        store.suppress(ANNA, SuppressionReason.HARD_BOUNCE, since_ms=2)
        assert known.find([ANNA]) == {ANNA: "stop"}
        store.lift(ANNA, 3, [SuppressionReason.STOP])
        assert known.find([ANNA]) == {ANNA: "hard_bounce"}
        store.lift(ANNA, 4)
        assert known.find([ANNA]) == {}


def test_a_change_that_cannot_be_told_is_half_stored(tmp_path: Path) -> None:
    client = make_client(AWAY, timeout_s=0.5)
    with fresh_stores("sqlite", tmp_path) as stores:
        store = SqlSuppressions(stores.engines[0], SECRET, RedisKnownSuppressions(client, SECRET, ttl_s=60.0))
        with pytest.raises(HalfStoredError):
            store.suppress(ANNA, SuppressionReason.STOP, since_ms=1)
        assert stores.suppressions.find([ANNA]) == {ANNA: "stop"}
        with pytest.raises(HalfStoredError):
            store.lift(ANNA, 2)
        assert stores.suppressions.find([ANNA]) == {}
    client.close()
