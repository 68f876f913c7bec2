"""Ids: their form, the keyed check, and what is always the same."""

from __future__ import annotations

import threading
import uuid

from hypothesis import given
from hypothesis import strategies as st

from app.domain.clock import now_ms
from app.domain.ids import delivery_id, derived_id, id_time_ms, is_ours, new_id

SECRETS = st.binary(min_size=1, max_size=64)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


@given(SECRETS)
def test_a_new_id_is_a_canonical_uuid7_of_now_and_ours(secret: bytes) -> None:
    before = now_ms()
    made = new_id(secret)
    parsed = uuid.UUID(made)
    assert str(parsed) == made
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert before <= (id_time_ms(made) or 0) <= now_ms()
    assert is_ours(made, secret)


@given(SECRETS, TEXTS, TEXTS)
def test_a_derived_id_is_a_uuid8_always_the_same_and_ours(secret: bytes, caller: str, key: str) -> None:
    made = derived_id(secret, caller, key)
    parsed = uuid.UUID(made)
    assert str(parsed) == made
    assert (parsed.version, parsed.variant) == (8, uuid.RFC_4122)
    assert made == derived_id(secret, caller, key)
    assert is_ours(made, secret)
    assert id_time_ms(made) is None


@given(st.tuples(TEXTS, TEXTS), st.tuples(TEXTS, TEXTS))
def test_other_callers_and_keys_have_other_ids(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Also where caller and key together read the same: ("a", "bc") and ("ab", "c")."""
    assert (derived_id(b"s", *one) == derived_id(b"s", *other)) == (one == other)


def test_caller_and_key_cannot_be_shifted_against_each_other() -> None:
    assert derived_id(b"s", "a", "bc") != derived_id(b"s", "ab", "c")
    assert derived_id(b"s", "1:", "a") != derived_id(b"s", "1", ":a")


@given(st.integers(0, 31), st.sampled_from("0123456789abcdef"))
def test_an_id_with_a_changed_digit_is_not_ours(place: int, digit: str) -> None:
    made = new_id(b"secret")
    digits = made.replace("-", "")
    changed = str(uuid.UUID(digits[:place] + digit + digits[place + 1 :]))
    assert is_ours(changed, b"secret") == (changed == made)


@given(st.one_of(TEXTS, st.uuids().map(str)))
def test_a_stranger_is_not_ours(text: str) -> None:
    assert not is_ours(text, b"secret")


def test_only_the_canonical_form_is_ours() -> None:
    made = new_id(b"secret")
    assert not is_ours(new_id(b"another"), b"secret")
    for other in (made.upper(), made.replace("-", ""), f"{{{made}}}", f"{made}\n", f" {made}"):
        assert other == made or not is_ours(other, b"secret")
        assert other == made or id_time_ms(other) is None


def test_ids_made_at_once_by_many_threads_differ() -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.extend(new_id(b"s") for _ in range(2000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == len(made) == 8000


@given(TEXTS, TEXTS)
def test_a_delivery_has_one_id_for_notification_user_and_channel(user: str, channel: str) -> None:
    made = delivery_id("n", user, channel)
    parsed = uuid.UUID(made)
    assert (parsed.version, parsed.variant) == (8, uuid.RFC_4122)
    assert made == delivery_id("n", user, channel)
    assert made != delivery_id("m", user, channel)
    assert made != delivery_id("n", user + "x", channel)
    assert made != delivery_id("n", user, channel + "x")
