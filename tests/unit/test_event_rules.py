"""Events: what is taken, and where it is said what is wrong."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import codec
from app.domain.event import MAX_EVENT_BYTES, Event
from app.domain.event_rules import MAX_DEPTH, read_batch_item, read_event, read_timely_event
from app.domain.violation import InvalidInputError, MalformedInputError, TooLargeInputError, Violation, pointer
from tests.support.http_services import CATALOGUE, EVENT

TREES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab~/ ", max_size=3), inner, max_size=4),
    max_leaves=12,
)


def body(**changes: Any) -> bytes:
    return json.dumps(EVENT | changes).encode()


def refusal(text: bytes) -> dict[str, str]:
    """Pointer -> detail of all that is wrong."""
    with pytest.raises(InvalidInputError) as caught:
        read_event(text, CATALOGUE)
    return {violation.pointer: violation.detail for violation in caught.value.violations}


def nested(levels: int) -> Any:
    tree: Any = "leaf"
    for _ in range(levels):
        tree = [tree]
    return tree


def test_the_first_event_of_the_readme_is_taken() -> None:
    checked = read_event(body(metadata={"ip_address": "203.0.113.42", "timestamp": 1732270000}), CATALOGUE)
    assert checked.event.user_id == "user-001"
    assert codec.decode(checked.body, Event) == checked.event


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), TREES, max_size=4))
def test_metadata_goes_on_as_it_came(metadata: dict[str, Any]) -> None:
    checked = read_event(body(metadata=metadata), CATALOGUE)
    assert json.loads(checked.body).get("metadata", {}) == metadata


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"colour": 1}, "/colour"),
        ({"a/b~c": 1}, "/a~1b~0c"),
        ({"user_id": 7}, "/user_id"),
        ({"user_id": ""}, "/user_id"),
        ({"user_id": "x" * 129}, "/user_id"),
        ({"user_id": "a\nb"}, "/user_id"),
        ({"user_id": "a\n"}, "/user_id"),
        ({"user_id": "a\0"}, "/user_id"),
        ({"event_type": "Not A Type"}, "/event_type"),
        ({"event_type": "type\n"}, "/event_type"),
        ({"content": 5}, "/content"),
        ({"content": None}, "/content"),
        ({"content": ""}, "/content"),
        ({"content": " \n"}, "/content"),
        ({"content": {}}, "/content"),
        ({"metadata": []}, "/metadata"),
        ({"options": {"x": 1}}, "/options/x"),
        ({"options": {"priority": "urgent"}}, "/options/priority"),
        ({"options": {"channels": []}}, "/options/channels"),
        ({"options": {"channels": ["email", 3]}}, "/options/channels/1"),
        ({"options": {"channels": ["email", "fax"]}}, "/options/channels/1"),
        ({"options": {"ttl_s": 0}}, "/options/ttl_s"),
        ({"options": {"ttl_s": CATALOGUE.max_ttl_s + 1}}, "/options/ttl_s"),
        ({"options": {"ttl_s": 10**40}}, "/options/ttl_s"),
        ({"options": {"to": {"emial": "a@b.c"}}}, "/options/to/emial"),
        ({"options": {"to": {"email": "a@b.c\r\nBcc: d@e.f"}}}, "/options/to/email"),
        ({"options": {"to": {"webhook": "http://a\0"}}}, "/options/to/webhook"),
        ({"options": {"to": {"chat": "nonsense"}}}, "/options/to/chat"),
        ({"options": {"to": {"chat": "slack://a\nb"}}}, "/options/to/chat"),
        ({"content": {"a": ["x", {"b/c": "\0"}]}}, "/content/a/1/b~1c"),
        ({"metadata": {"a\0": 1}}, "/metadata"),
    ],
)
def test_a_refusal_points_at_the_field(changes: dict[str, Any], where: str) -> None:
    assert list(refusal(body(**changes))) == [where]


@pytest.mark.parametrize("name", ["user_id", "event_type", "content"])
def test_a_missing_field_is_named(name: str) -> None:
    text = json.dumps({key: value for key, value in EVENT.items() if key != name}).encode()
    assert refusal(text) == {f"/{name}": "is required"}


def test_all_that_is_wrong_beyond_types_is_listed() -> None:
    options = {"channels": ["fax", "email", "pigeon"], "ttl_s": 10**9, "to": {"email": "a\r", "phone": "\n"}}
    assert list(refusal(body(content="", metadata={"x": "\0"}, options=options))) == [
        "/content",
        "/options/channels/0",
        "/options/channels/2",
        "/options/ttl_s",
        "/options/to/email",
        "/options/to/phone",
        "/metadata/x",
    ]


@pytest.mark.parametrize("text", [b"", b"{", b"nope", b"\xff\xfe", b'{"user_id":"\xff"}', b"\xef\xbb\xbf{}"])
def test_what_is_not_json_is_malformed(text: bytes) -> None:
    with pytest.raises(MalformedInputError):
        read_event(text, CATALOGUE)


@pytest.mark.parametrize("content", ['"\\ud800"', '"\\udc00x"', '{"a":NaN}', '{"a":-Infinity}', '{"a":1e999}'])
def test_lone_surrogates_and_numbers_that_are_none_are_refused(content: str) -> None:
    refusal(body(content="@").replace(b'"@"', content.encode()))


def test_the_whole_document_is_pointed_at_where_it_is_no_object() -> None:
    assert list(refusal(b"[]")) == [""]


def test_nesting_is_taken_up_to_the_limit() -> None:
    read_event(body(metadata={"a": nested(MAX_DEPTH - 2)}), CATALOGUE)
    [where] = refusal(body(metadata={"a": nested(MAX_DEPTH - 1)}))
    assert where == "/metadata/a" + "/0" * (MAX_DEPTH - 2)


@pytest.mark.parametrize("levels", [500, 5000, 100_000])
def test_nesting_far_beyond_the_limit_is_refused(levels: int) -> None:
    refusal(body(metadata={"a": "@"}).replace(b'"@"', b"[" * levels + b"]" * levels))


def test_an_event_is_taken_up_to_the_size_limit() -> None:
    room = MAX_EVENT_BYTES - len(body(content=""))
    read_event(body(content="x" * room), CATALOGUE)
    with pytest.raises(TooLargeInputError):
        read_event(body(content="x" * (room + 1)), CATALOGUE)


def test_an_event_that_grows_when_it_is_written_again_is_too_large() -> None:
    numbers = b"[" + b",".join([b"1e9"] * 60_000) + b"]"
    text = body(metadata={"a": "@"}).replace(b'"@"', numbers)
    assert len(text) <= MAX_EVENT_BYTES
    with pytest.raises(TooLargeInputError):
        read_event(text, CATALOGUE)


def test_an_item_of_a_batch_may_carry_a_key_that_does_not_travel() -> None:
    checked = read_batch_item(body(idempotency_key="k-1"), CATALOGUE)
    assert checked.idempotency_key == "k-1"
    assert checked.body == read_event(body(), CATALOGUE).body
    assert list(refusal(body(idempotency_key="k-1"))) == ["/idempotency_key"]


@pytest.mark.parametrize("key", ["", "a\n", "ä", "x" * 256, 7])
def test_a_key_that_a_header_could_not_carry_is_refused(key: object) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_batch_item(body(idempotency_key=key), CATALOGUE)
    assert [violation.pointer for violation in caught.value.violations] == ["/idempotency_key"]


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(text: bytes) -> None:
    with pytest.raises(InvalidInputError):
        read_event(text, CATALOGUE)


@given(TREES)
def test_no_json_raises_anything_else(tree: Any) -> None:
    with pytest.raises(InvalidInputError):
        read_event(json.dumps(tree).encode(), CATALOGUE)


@given(st.lists(st.text("a~/01"), max_size=4))
def test_a_pointer_leads_back_to_its_steps(steps: list[str]) -> None:
    """RFC 6901, section 4: first ~1, then ~0."""
    back = [step.replace("~1", "/").replace("~0", "~") for step in pointer(*steps).split("/")[1:]]
    assert back == steps


# send_at


def in_s(seconds: float, zone: str = "+02:00") -> str:
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    hours = int(zone[:3])
    return (at + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S.%f") + zone


@pytest.mark.parametrize("seconds", [-50, 0, 3600, 365 * 86_400 - 60])
def test_when_to_send_may_be_said_with_any_offset(seconds: float) -> None:
    wanted_ms = (time.time() + seconds) * 1000
    for zone in ("+02:00", "-11:00", "+00:00"):
        checked = read_event(body(options={"send_at": in_s(seconds, zone)}), CATALOGUE)
        assert abs(checked.event.send_at_ms - wanted_ms) < 5000
        assert codec.decode(checked.body, Event) == checked.event


@pytest.mark.parametrize(
    ("send_at", "detail"),
    [
        pytest.param(in_s(366 * 86_400), "is more than 365 days ahead", id="too far ahead"),
        ("9999-12-31T23:59:59-12:00", "is more than 365 days ahead"),
        pytest.param(in_s(60)[:-6], "timezone", id="without a zone"),
        ("tomorrow", "RFC3339"),
        ("2030-02-30T00:00:00Z", "RFC3339"),
        (1_800_000_000, "datetime"),
        ("", "RFC3339"),
    ],
)
def test_what_is_no_time_to_send_is_told_by_its_place(send_at: Any, detail: str) -> None:
    found = refusal(body(options={"send_at": send_at}))
    assert list(found) == ["/options/send_at"]
    assert detail in found["/options/send_at"]


@pytest.mark.parametrize("send_at", [pytest.param(in_s(-70), id="a minute ago"), "0001-01-01T00:00:00+14:00"])
def test_a_time_that_is_past_refuses_what_is_new(send_at: str) -> None:
    """What was accepted before is answered as before."""
    text = body(options={"send_at": send_at})
    assert read_event(text, CATALOGUE).overdue == Violation("/options/send_at", "is in the past")
    with pytest.raises(InvalidInputError, match="is in the past"):
        read_timely_event(text, CATALOGUE)
    assert read_event(body(options={"send_at": in_s(-50)}), CATALOGUE).overdue is None


def test_a_time_that_is_past_is_told_with_all_else() -> None:
    assert set(refusal(body(content="", options={"send_at": in_s(-70)}))) == {"/content", "/options/send_at"}
