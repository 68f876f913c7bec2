"""What the Cassandra adapters decide without a server: addresses, batches, write times, what is counted ahead."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import ConfigError
from app.domain.statistics import DAY_MS
from infrastructure.cassandra.address import Address, parse_address
from infrastructure.cassandra.batches import BYTES, ROWS, Write, batches, grouped
from infrastructure.cassandra.times import content_us, forgotten_us, key_us, month_of


def test_an_address_is_taken_apart() -> None:
    assert parse_address("cassandra://us%40er:p%3Ass@a,b.example:9999/notify?dc=eu-1&rf=2") == Address(
        hosts=("a", "b.example"), port=9999, keyspace="notify", user="us@er", password="p:ss", dc="eu-1", replicas=2
    )
    assert parse_address("cassandra://a/notify") == Address(hosts=("a",), port=9042, keyspace="notify")


@pytest.mark.parametrize(
    "url",
    [
        "cassandra:///notify",
        "cassandra://a,,b/notify",
        "cassandra://a",
        "cassandra://a/Notify",
        "cassandra://a/notify;drop",
        "cassandra://a:port/notify",
        "cassandra://a/notify?rf=0",
        "cassandra://a/notify?rf=x",
        "cassandra://a/notify?dc='",
        "cassandra://a/notify?replicas=3",
    ],
)
def test_a_wrong_address_names_the_setting(url: str) -> None:
    with pytest.raises(ConfigError, match="NOTIFY_HISTORY_URL"):
        parse_address(url)


def test_a_wrong_address_does_not_tell_the_password() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address("cassandra://anna:kestrel@a:x/notify")
    assert "kestrel" not in str(caught.value)


WRITES = st.lists(st.builds(Write, st.integers(), st.sampled_from([b"a", b"b", b"c"]), st.integers(0, 2 * BYTES)))


@given(WRITES)
def test_batches_hold_every_write_once_with_those_of_their_replicas_in_order(writes: list[Write]) -> None:
    made = list(batches(writes, replicas_of=lambda key: key == b"a"))
    for is_a in (True, False):
        expected = [write for write in writes if (write.key == b"a") == is_a]
        assert [write for portion in made for write in portion if (write.key == b"a") == is_a] == expected
    assert all(len({write.key == b"a" for write in portion}) == 1 for portion in made)


@given(WRITES)
def test_batches_keep_their_bounds_unless_a_single_write_is_larger(writes: list[Write]) -> None:
    for portion in batches(writes, replicas_of=lambda _: None):
        assert len(portion) <= ROWS
        assert len(portion) == 1 or sum(write.size for write in portion) <= BYTES


def test_keys_are_grouped_by_replicas_in_portions() -> None:
    made = list(grouped("abcdefg", str.encode, lambda key: key in b"ace", most=2))
    assert made == [["a", "c"], ["e"], ["b", "d"], ["f", "g"]]


TIMES = st.integers(0, 10**14)


@given(TIMES, TIMES, TIMES)
def test_forgetting_outdoes_what_was_accepted_until_then_and_nothing_else(
    accepted_ms: int, at_ms: int, forgotten_ms: int
) -> None:
    for us in (key_us(accepted_ms), content_us(accepted_ms, at_ms)):
        assert (us <= forgotten_us(forgotten_ms)) == (accepted_ms <= forgotten_ms)


def test_of_content_the_first_to_happen_stays() -> None:
    times = [content_us(7, at_ms) for at_ms in (7, 8, 500, 1006)]
    assert times == sorted(times, reverse=True)
    assert all(earlier > later for earlier, later in itertools.pairwise(times))


def test_months_are_those_of_utc() -> None:
    assert [month_of(at_ms) for at_ms in (0, 31 * DAY_MS - 1, 31 * DAY_MS)] == [197001, 197001, 197002]
