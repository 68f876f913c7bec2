"""Provider tokens of APNs: as Apple wants them, used again, renewed in time and never in a flood."""

from __future__ import annotations

import time

import jwt
import pytest

from app.domain.errors import ConfigError
from infrastructure.channels import es256
from infrastructure.channels.apns_token import ProviderTokens

MINUTE_S = 60.0
KEY = es256.new_key()


class Clock:
    """Stands until it is set."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(clock: Clock) -> ProviderTokens:
    return ProviderTokens(es256.pem_of(KEY), key_id="KEY1234567", team_id="TEAM123456", monotonic=clock)


def test_it_says_team_key_and_time_and_is_signed_with_es256(tokens: ProviderTokens) -> None:
    value = tokens.value()
    assert jwt.get_unverified_header(value) == {"alg": "ES256", "kid": "KEY1234567", "typ": "JWT"}
    claims = jwt.decode(value, KEY.public_key(), algorithms=["ES256"])
    assert claims["iss"] == "TEAM123456"
    assert abs(claims["iat"] - time.time()) < 60
    assert set(claims) == {"iss", "iat"}


@pytest.mark.parametrize(("age_min", "is_same"), [(0, True), (20, True), (39, True), (41, False), (59, False)])
def test_it_is_used_again_for_20_minutes_at_least_and_60_at_most(
    tokens: ProviderTokens, clock: Clock, age_min: int, is_same: bool
) -> None:
    first = tokens.value()
    clock.now_s += age_min * MINUTE_S
    assert (tokens.value() == first) is is_same


def test_one_that_was_refused_is_renewed_for_all_who_had_it(tokens: ProviderTokens) -> None:
    first = tokens.value()
    assert tokens.refuse(first)
    second = tokens.value()
    assert second != first
    assert tokens.refuse(first), "another has renewed it already"
    assert tokens.value() == second


def test_what_is_refused_again_is_not_renewed_before_20_minutes(tokens: ProviderTokens, clock: Clock) -> None:
    assert tokens.refuse(tokens.value())
    clock.now_s += 19 * MINUTE_S
    second = tokens.value()
    assert not tokens.refuse(second)
    assert tokens.value() == second
    clock.now_s += 2 * MINUTE_S
    assert tokens.refuse(second)


@pytest.mark.parametrize("key", ["", "s3cret", "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_cannot_sign_is_refused_and_not_quoted(key: str) -> None:
    with pytest.raises(ConfigError, match="key is no private key of P-256") as caught:
        ProviderTokens(key, key_id="K", team_id="T")
    assert "s3cret" not in str(caught.value)


def test_a_key_with_escaped_line_ends_is_read() -> None:
    escaped = es256.pem_of(KEY).replace("\n", "\\n")
    assert es256.point_of(es256.read_key(escaped)) == es256.point_of(KEY)
