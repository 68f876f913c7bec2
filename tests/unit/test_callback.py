"""What a callback is made of, what it tells, and when it is tried again."""

from __future__ import annotations

import base64
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from app.domain.callback import (
    SCHEDULE_S,
    TYPES,
    Callback,
    CallbackReceiver,
    Told,
    callback_of,
    new_salt,
    next_try_ms,
    signing_secret,
    trial_callback,
)
from app.domain.codec import decode, encode
from app.domain.outcome import Status
from tests.support.deliveries import delivery

NOW = 1_732_270_000_000
KEY = "0123456789ab"
DAY_S = 86_400
TOLD = Told(
    notification_id="n-1",
    delivery_id="d-1",
    event_type="order_shipped",
    channel="email",
    status="failed",
    reason="provider_rejected",
    at_ms=NOW - 123,
    key_id=KEY,
)
RECEIVER = CallbackReceiver(key_id=KEY, url="https://example.com/", salt="salt", since_ms=1)


def made(told: Told = TOLD) -> Callback:
    found = callback_of(told, NOW)
    assert found is not None
    return found


def waits(callback: Callback, *, longest_s: float = 5 * DAY_S, asked_s: float = 0.0, random: float = 0.0) -> int | None:
    """Milliseconds to the next try of one that has just failed."""
    at_ms = next_try_ms(callback, now_ms=NOW, longest_s=longest_s, asked_s=asked_s, random=lambda: random)
    return None if at_ms is None else at_ms - NOW


# what is told


def test_it_tells_what_became_of_the_delivery_and_nothing_of_content_or_user() -> None:
    assert json.loads(made().body) == {
        "type": "notification.failed",
        "timestamp": "2024-11-22T10:06:39.877Z",
        "data": {
            "notification_id": "n-1",
            "delivery_id": "d-1",
            "channel": "email",
            "event_type": "order_shipped",
            "status": "failed",
            "reason": "provider_rejected",
        },
    }


def test_of_an_event_as_a_whole_there_is_neither_delivery_nor_channel() -> None:
    data = json.loads(made(structs.replace(TOLD, delivery_id="", channel="", reason="")).body)["data"]
    assert (data["delivery_id"], data["channel"], data["reason"]) == (None, None, None)


def test_every_end_is_told_and_what_is_no_end_is_not() -> None:
    ends = {str(status) for status in Status if status.is_final}
    assert ends <= set(TYPES)
    assert not set(TYPES) & {"accepted", "parked"}
    assert set(TYPES.values()) == {f"notification.{word}" for word in ("sent", "delivered", "suppressed", "failed")}
    for status in ("accepted", "parked", "a status of a later version"):
        assert callback_of(structs.replace(TOLD, status=status), NOW) is None


def test_it_is_made_of_the_record_of_an_outcome() -> None:
    outcome = delivery("d", key_id=KEY, channel="sms").outcome(status=Status.SENT, reason="", at_ms=NOW)
    told = decode(encode(outcome), Told)
    assert (told.key_id, told.delivery_id, told.channel, told.status, told.at_ms) == (KEY, "d", "sms", "sent", NOW)
    assert decode(encode(structs.replace(outcome, key_id="")), Told).key_id == ""


# ids


def test_the_same_record_gives_the_same_id_whenever_it_is_read() -> None:
    again = callback_of(TOLD, NOW + 5)
    assert again is not None
    assert again.id == made().id
    assert re.fullmatch(r"cb_[0-9a-f]{32}", again.id), "no full stop: it is signed beside the time"


@pytest.mark.parametrize(
    "other",
    [{"delivery_id": "d-2"}, {"pass_no": 1}, {"status": "sent"}, {"reason": "poison"}, {"key_id": "ba9876543210"}],
    ids=str,
)
def test_what_is_other_news_has_another_id(other: dict[str, object]) -> None:
    assert made(structs.replace(TOLD, **other)).id != made().id


def test_two_trials_are_two_callbacks() -> None:
    first, second = (trial_callback(RECEIVER, NOW) for _ in range(2))
    assert first.id != second.id
    assert json.loads(first.body)["type"] == "callback.test"


# secrets


def test_a_secret_is_of_one_key_one_salt_and_one_service() -> None:
    others = [
        signing_secret(structs.replace(RECEIVER, key_id="ba9876543210"), b"service"),
        signing_secret(structs.replace(RECEIVER, salt=new_salt()), b"service"),
        signing_secret(RECEIVER, b"another service"),
    ]
    mine = signing_secret(RECEIVER, b"service")
    assert mine == signing_secret(structs.replace(RECEIVER, url="https://elsewhere.example/"), b"service")
    assert len({mine, *others}) == 4
    assert len(base64.b64decode(mine.removeprefix("whsec_"), validate=True)) == 32
    assert new_salt() != new_salt()


# tries


def test_it_is_tried_again_as_the_schedule_says_and_then_once_a_day() -> None:
    found = [waits(structs.replace(made(), tries=tries)) for tries in range(len(SCHEDULE_S) + 2)]
    assert found == [1000 * delay_s for delay_s in (*SCHEDULE_S, SCHEDULE_S[-1], SCHEDULE_S[-1])]
    assert (SCHEDULE_S[0], SCHEDULE_S[-1]) == (5, DAY_S)


def test_what_would_come_too_late_is_given_up() -> None:
    old = structs.replace(made(), made_at_ms=NOW - 4 * DAY_S * 1000 - 1, tries=8)
    assert waits(old) is None
    assert waits(structs.replace(old, made_at_ms=old.made_at_ms + 2)) == DAY_S * 1000
    assert waits(made(), longest_s=5) is None


def test_who_asks_for_more_time_gets_it() -> None:
    assert waits(made(), asked_s=60) == 60_000
    assert waits(structs.replace(made(), tries=1), asked_s=60) == 300_000


@given(st.integers(0, 20), st.floats(0, 1, exclude_max=True))
def test_jitter_makes_it_later_by_a_tenth_at_most(tries: int, random: float) -> None:
    delay_s = SCHEDULE_S[min(tries, len(SCHEDULE_S) - 1)]
    waited = waits(structs.replace(made(), tries=tries), random=random)
    assert waited is not None
    assert delay_s * 1000 <= waited <= delay_s * 1100
