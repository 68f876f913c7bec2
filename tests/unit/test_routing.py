"""From a raw record to deliveries: whatever the bytes, nothing is raised."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import structs

from app.domain.catalogue import Catalogue
from app.domain.codec import decode, encode
from app.domain.delivery import Delivery
from app.domain.event import MAX_EVENT_BYTES
from app.domain.ids import delivery_id
from app.domain.lane import Priority
from app.domain.outcome import Outcome, Reason, Status
from bridges.routing import Routed, route
from infrastructure.kafka.event_log import headers_of
from infrastructure.kafka.records import Record
from tests.support.deliveries import raw_record
from tests.support.http_services import rule

NOW = 1_732_270_100_000
ACCEPTED = NOW - 1000


CATALOGUE = Catalogue(
    rules={
        "alert": rule("alert", Priority.HIGH, "email", "in_app", ttl_s=600),
        "gone": rule("gone", Priority.LOW, "carrier_pigeon", ttl_s=600),
    },
    default=rule("*", Priority.MEDIUM, "log", ttl_s=600),
    max_ttl_s=7200,
)


def record(body: bytes | dict[str, Any] | None = None, **headers: bytes | None) -> Record:
    """A sound record, but for what is given; a header that is None is left out."""
    if body is None or isinstance(body, dict):
        body = json.dumps({"user_id": "anna", "event_type": "alert", "content": "x"} | (body or {})).encode()
    sound = headers_of(raw_record(id="n-1", event_type="alert", accepted_at_ms=ACCEPTED))
    kept = {name: value for name, value in (sound | headers).items() if value is not None}
    return Record("notifications.raw", 2, 77, "anna", body, kept)


def routed(body: bytes | dict[str, Any] | None = None, **headers: bytes | None) -> Routed:
    return route(record(body, **headers), CATALOGUE, NOW)


def refused(one: Routed) -> Outcome:
    """The outcome of what was not routed."""
    assert one.deliveries == []
    assert one.outcome is not None
    assert one.outcome.status.is_final
    assert one.outcome.delivery_id == ""
    return one.outcome


# what is routed


def test_a_delivery_for_each_channel_of_the_catalogue() -> None:
    one = routed()
    assert one.outcome is None
    assert [delivery.channel for delivery in one.deliveries] == ["email", "in_app"]
    for delivery in one.deliveries:
        assert delivery.id == delivery_id("n-1", "anna", delivery.channel)
        assert delivery.notification_id == "n-1"
        assert delivery.priority is Priority.HIGH
        assert (delivery.accepted_at_ms, delivery.routed_at_ms) == (ACCEPTED, NOW)
        assert delivery.expires_at_ms == ACCEPTED + 600_000
        assert (delivery.pass_no, delivery.attempt, delivery.retries, delivery.slot_at_ms) == (0, 0, 0, 0)


def test_routing_twice_gives_the_same_ids() -> None:
    assert [one.id for one in routed().deliveries] == [one.id for one in routed().deliveries]


def test_a_type_that_is_not_named_has_the_default() -> None:
    [one] = routed({"event_type": "news"}).deliveries
    assert (one.lane.queue, one.expires_at_ms) == ("medium.log", ACCEPTED + 600_000)


@pytest.mark.parametrize("priority", list(Priority))
def test_the_client_may_choose_the_priority(priority: Priority) -> None:
    lanes = [one.lane.queue for one in routed({"options": {"priority": priority}}).deliveries]
    assert lanes == [f"{priority}.email", f"{priority}.in_app"]


def test_the_client_may_choose_the_channels_each_once() -> None:
    one = routed({"options": {"channels": ["webhook", "log", "webhook"]}})
    assert [delivery.channel for delivery in one.deliveries] == ["webhook", "log"]


def test_a_channel_that_is_none_is_left_out() -> None:
    one = routed({"options": {"channels": ["fax", "log"]}})
    assert [delivery.channel for delivery in one.deliveries] == ["log"]


@pytest.mark.parametrize(("asked_s", "given_s"), [(60, 60), (7200, 7200), (7201, 7200), (10**12, 7200)])
def test_the_client_may_choose_the_ttl_within_the_catalogues_longest(asked_s: int, given_s: int) -> None:
    [one, _] = routed({"options": {"ttl_s": asked_s}}).deliveries
    assert one.expires_at_ms == ACCEPTED + given_s * 1000


@pytest.mark.parametrize(("ahead_s", "counts_from_s"), [(-30, 0), (0, 0), (86_400 * 300, 86_400 * 300)])
def test_expiry_counts_from_acceptance_or_send_at_whichever_is_later(ahead_s: int, counts_from_s: int) -> None:
    send_at = datetime.fromtimestamp(ACCEPTED / 1000 + ahead_s, UTC).isoformat(timespec="milliseconds")
    [one, _] = routed({"options": {"send_at": send_at, "ttl_s": 60}}).deliveries
    assert one.expires_at_ms == ACCEPTED + (counts_from_s + 60) * 1000
    assert one.event.send_at_ms == ACCEPTED + ahead_s * 1000


def test_who_sent_it_goes_with_it_where_that_is_an_id() -> None:
    assert {one.key_id for one in routed().deliveries} == {""}
    assert {one.key_id for one in routed(ce_keyid=b"0123456789ab").deliveries} == {"0123456789ab"}
    assert refused(routed({"event_type": "gone"}, ce_keyid=b"0123456789ab")).key_id == "0123456789ab"
    for junk in (b"", b"anonymous", b"0123456789AB", b"0123456789ab0", b"\xff\xfe", b"0" * 10_000):
        assert {one.key_id for one in routed(ce_keyid=junk).deliveries} == {""}


# what is not


def test_an_event_without_a_channel_is_failed() -> None:
    one = routed({"options": {"channels": ["fax"]}})
    outcome = refused(one)
    assert (outcome.status, outcome.reason, one.is_dead) == (Status.FAILED, Reason.NO_CHANNELS, False)
    assert outcome.event is not None
    assert refused(routed({"event_type": "gone"})).reason == Reason.NO_CHANNELS


@pytest.mark.parametrize(("age_s", "is_expired"), [(599.999, False), (600, True), (86_400, True)])
def test_an_event_past_its_ttl_is_expired(age_s: float, is_expired: bool) -> None:
    accepted_at = datetime.fromtimestamp(NOW / 1000 - age_s, UTC).isoformat(timespec="milliseconds")
    one = routed(ce_time=accepted_at.encode())
    assert bool(one.outcome) is is_expired
    if is_expired:
        outcome = refused(one)
        assert (outcome.status, outcome.reason, one.is_dead) == (Status.EXPIRED, Reason.TTL, False)
        assert outcome.accepted_at_ms == NOW - round(age_s * 1000)


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"ce_specversion": None}, "ce_specversion"),
        ({"ce_specversion": b"0.3"}, "ce_specversion"),
        ({"ce_specversion": b"\xff"}, "ce_specversion"),
        ({"ce_recordversion": None}, "ce_recordversion"),
        ({"ce_recordversion": b"2"}, "ce_recordversion"),
        ({"ce_id": None}, "ce_id"),
        ({"ce_id": b""}, "ce_id"),
        ({"ce_id": b"x" * 65}, "ce_id"),
        ({"ce_id": b"x" * 800_000}, "ce_id"),
        ({"ce_time": None}, "ce_time"),
        ({"ce_time": b"yesterday"}, "ce_time"),
        ({"ce_time": b"0001-01-01T00:00:00"}, "ce_time"),
        ({"ce_time": b"2024-11-22T10:08:20"}, "ce_time"),
        ({"ce_time": b"\xff\xfe"}, "ce_time"),
    ],
)
def test_a_header_that_is_wrong_is_named(headers: dict[str, bytes | None], why: str) -> None:
    one = routed(**headers)
    outcome = refused(one)
    assert (outcome.status, outcome.reason, one.is_dead) == (Status.FAILED, Reason.UNDECODABLE, True)
    assert outcome.detail.startswith("notifications.raw:2:77: ")
    assert outcome.detail.endswith(why)
    assert len(outcome.notification_id) <= 64


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "truncated"),
        (b"not json", "malformed"),
        (b"\xff\xfe", "malformed"),
        (b"[]", "Expected `object`"),
        (b"null", "Expected `object`"),
        (b'{"user_id":"anna","event_type":"alert"}', "content"),
        (b'{"user_id":7,"event_type":"alert","content":"x"}', "$.user_id"),
        (b'{"user_id":"anna","event_type":"alert","content":"x","more":1}', "more"),
        (b'{"user_id":"anna","event_type":"alert","content":"x","options":{"priority":"now"}}', "priority"),
        (b'{"user_id":"anna","event_type":"alert","content":{"a":"\\u0000"}}', "NUL"),
        (b'{"user_id":"anna","event_type":"alert","content":{"a":' + b"[" * 40 + b"]" * 40 + b"}}", "deeper"),
        (b'{"user_id":"anna","event_type":"alert","content":{"a":' + b"[" * 60_000 + b"]" * 60_000 + b"}}", "deep"),
        (b'{"user_id":"anna","event_type":"alert","content":"' + b"x" * MAX_EVENT_BYTES + b'"}', "larger"),
        (b'{"' + b"k" * 200_000 + b'":1}', ""),
    ],
    ids=lambda value: value[:12].decode("latin-1") if isinstance(value, bytes) else value,
)
def test_a_body_that_is_no_event_is_refused_with_its_place(body: bytes, why: str) -> None:
    one = routed(body)
    outcome = refused(one)
    assert (outcome.reason, one.is_dead, outcome.notification_id) == (Reason.UNDECODABLE, True, "n-1")
    assert why in outcome.detail
    assert len(outcome.detail) <= 500
    assert outcome.event is None


def test_the_detail_quotes_no_content() -> None:
    outcome = refused(routed({"content": ["a secret"]}))
    assert "a secret" not in outcome.detail


def test_without_an_id_the_place_stands_for_it() -> None:
    assert refused(routed(ce_id=None)).notification_id == "notifications.raw:2:77"


def test_what_cannot_be_read_is_its_users_all_the_same() -> None:
    """By the record's key and time, so that the user's history shows it where it shows the event."""
    outcome = refused(routed(b"not json"))
    assert (outcome.user_id, outcome.accepted_at_ms, outcome.at_ms) == ("anna", ACCEPTED, NOW)
    assert outcome.event_type == "alert"


@pytest.mark.parametrize("key", ["", "x" * 129, "a\nb", "\ufffd"], ids=["none", "too long", "control", "no UTF-8"])
def test_but_a_key_that_is_no_user_id_is_nobodys(key: str) -> None:
    outcome = refused(route(structs.replace(record(b"not json"), key=key), CATALOGUE, NOW))
    assert outcome.user_id == ""


@pytest.mark.parametrize(
    "time", [b"", b"yesterday", b"2024-11-22T10:08:20", b"1969-12-31T23:59:59Z", b"2999-01-01T00:00:00Z"]
)
@pytest.mark.parametrize(
    ("written_ms", "told_ms"), [(NOW - 7, NOW - 7), (0, NOW), (NOW + 86_400_000, NOW)], ids=["known", "none", "ahead"]
)
def test_where_its_time_is_none_the_records_own_stands_for_it(time: bytes, written_ms: int, told_ms: int) -> None:
    one = structs.replace(record(b"not json", ce_time=time), timestamp_ms=written_ms)
    assert refused(route(one, CATALOGUE, NOW)).accepted_at_ms == told_ms


# whatever comes

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
events = st.fixed_dictionaries(
    {"user_id": st.text(max_size=4) | json_values, "event_type": st.sampled_from(["alert", "gone", "x"]) | json_values},
    optional={
        "content": json_values,
        "metadata": json_values,
        "options": st.fixed_dictionaries(
            {},
            optional={
                "priority": st.sampled_from(["high", "low", "no"]) | json_values,
                "channels": st.lists(st.sampled_from(["log", "email", "fax"]), max_size=3) | json_values,
                "ttl_s": st.integers() | json_values,
                "to": json_values,
            },
        ),
    },
)
bodies = st.binary(max_size=200) | events.map(lambda event: json.dumps(event).encode())
headers = st.dictionaries(
    st.sampled_from(["ce_id", "ce_source", "ce_specversion", "ce_type", "ce_time", "ce_recordversion"]) | st.text(),
    st.binary(max_size=80) | st.datetimes().map(lambda at: at.isoformat().encode()) | st.none(),
    max_size=4,
)


@settings(deadline=None)  # the machine is shared
@given(bodies, headers)
@example(b"1" * 5000, {})
@example(b'{"user_id":"a","event_type":"x","content":{"a":1e15}}', {})
@example(b'{"user_id":"a","event_type":"x","content":{"a":100000000000000000000000000000000}}', {})
def test_nothing_is_raised_and_all_of_it_can_travel_on(body: bytes, given_headers: dict[str, bytes | None]) -> None:
    one = route(record(body, **given_headers), CATALOGUE, NOW)
    assert bool(one.deliveries) != bool(one.outcome)
    for delivery in one.deliveries:
        assert decode(encode(delivery), Delivery) == delivery
        assert delivery.lane.topic
    if one.outcome is not None:
        assert decode(encode(one.outcome), Outcome) == one.outcome
        assert not one.is_dead or one.outcome.reason == Reason.UNDECODABLE
