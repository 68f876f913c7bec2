"""Port History."""

from __future__ import annotations

import pytest
from msgspec import structs

from app.domain.event import Event, Options
from app.domain.lane import Priority
from app.domain.outcome import Outcome, Reason, Status
from app.domain.ports import Standing
from tests.support.sql_stores import HISTORY_STORES, Stores

SUITE = HISTORY_STORES
EVENT = Event(
    user_id="anna",
    event_type="order_shipped",
    content={"text": "\N{PARTY POPPER}"},
    options=Options(channels=("email",)),
)
EVENT_AS_POSTED = {
    "user_id": "anna",
    "event_type": "order_shipped",
    "content": {"text": "\N{PARTY POPPER}"},
    "options": {"channels": ["email"]},
}
PARKED = Outcome(
    notification_id="n-1",
    delivery_id="d-1",
    user_id="anna",
    event_type="order_shipped",
    channel="email",
    priority=Priority.HIGH,
    attempt=1,
    status=Status.PARKED,
    reason=Reason.PROVIDER_TRANSIENT,
    detail="451 try later",
    provider="smtp",
    at_ms=200,
    until_at_ms=400,
    accepted_at_ms=100,
    routed_at_ms=150,
    event=EVENT,
)
SENT = structs.replace(
    PARKED,
    pass_no=1,
    attempt=2,
    status=Status.SENT,
    reason="",
    detail="250 ok",
    provider_id="<1@example.com>",
    at_ms=401,
    until_at_ms=0,
)


def shown(outcome: Outcome) -> Outcome:
    """An outcome as it comes back: the event is in the record."""
    return structs.replace(outcome, event=None)


def test_a_notification_comes_back_with_its_event_and_all_outcomes_oldest_first(stores: Stores) -> None:
    stores.history.append([SENT])
    stores.history.append([PARKED])
    record = stores.history.notification("n-1")
    assert record is not None
    assert (record.id, record.user_id, record.event_type, record.accepted_at_ms) == (
        "n-1",
        "anna",
        "order_shipped",
        100,
    )
    assert record.event == EVENT_AS_POSTED
    assert record.outcomes == [shown(PARKED), shown(SENT)]


def test_an_unknown_notification_is_none(stores: Stores) -> None:
    assert stores.history.notification("nothing") is None


def test_appending_again_in_any_split_changes_nothing(stores: Stores) -> None:
    stores.history.append([PARKED, SENT, PARKED])
    stores.history.append([SENT])
    record = stores.history.notification("n-1")
    assert record is not None
    assert record.outcomes == [shown(PARKED), shown(SENT)]


@pytest.mark.parametrize(
    "change",
    [{"delivery_id": "d-2"}, {"pass_no": 3}, {"attempt": 9}, {"status": Status.DELIVERED}],
    ids=lambda change: next(iter(change)),
)
def test_each_part_of_the_key_makes_another_outcome(stores: Stores, change: dict[str, object]) -> None:
    stores.history.append([SENT, structs.replace(SENT, **change)])
    record = stores.history.notification("n-1")
    assert record is not None
    assert len(record.outcomes) == 2


def test_an_outcome_of_the_event_as_a_whole_needs_neither_delivery_nor_event(stores: Stores) -> None:
    whole = Outcome(
        notification_id="n-2", user_id="", event_type="", status=Status.FAILED, reason=Reason.UNDECODABLE, at_ms=7
    )
    stores.history.append([whole])
    record = stores.history.notification("n-2")
    assert record is not None
    assert (record.event, record.accepted_at_ms) == (None, 7)
    assert [(found.status, found.reason) for found in record.outcomes] == [(Status.FAILED, Reason.UNDECODABLE)]


@pytest.mark.parametrize("together", [True, False])
def test_an_event_that_comes_with_a_later_outcome_is_kept(stores: Stores, together: bool) -> None:
    batch = [structs.replace(PARKED, event=None), SENT]
    for portion in [batch] if together else [[outcome] for outcome in batch]:
        stores.history.append(portion)
    record = stores.history.notification("n-1")
    assert record is not None
    assert record.event == EVENT_AS_POSTED


def test_the_first_event_stays(stores: Stores) -> None:
    stores.history.append([PARKED])
    stores.history.append([structs.replace(SENT, event=structs.replace(EVENT, content="other"))])
    record = stores.history.notification("n-1")
    assert record is not None
    assert record.event == EVENT_AS_POSTED


def test_appending_nothing_is_harmless(stores: Stores) -> None:
    stores.history.append([])
    assert stores.history.by_user("anna").items == []


def test_a_batch_larger_than_a_statement_is_stored_whole(stores: Stores) -> None:
    stores.history.append([_of(number) for number in range(1201)])
    assert len(stores.history.by_user("anna", limit=2000).items) == 1201


def test_a_users_notifications_come_newest_first_in_pages_that_show_each_once(stores: Stores) -> None:
    stores.history.append([_of(number, accepted_at_ms=1 + number // 4) for number in range(10)])
    stores.history.append([structs.replace(_of(99), user_id="bert")])
    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = stores.history.by_user("anna", cursor=cursor, limit=4)
        seen += [record.id for record in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == [f"n-{number:04}" for number in reversed(range(10))]


def test_a_full_last_page_has_no_cursor(stores: Stores) -> None:
    stores.history.append([_of(number) for number in range(4)])
    assert stores.history.by_user("anna", limit=4).cursor is None


def test_a_page_with_its_outcomes_takes_few_statements(stores: Stores) -> None:
    stores.history.append([_of(number) for number in range(60)])
    stores.history.append([structs.replace(_of(number), pass_no=2) for number in range(60)])
    with stores.statements() as statements:
        page = stores.history.by_user("anna")
    assert [len(record.outcomes) for record in page.items] == [2] * 50
    assert len(statements) == (2 if stores.client is None else 3)  # Cassandra is asked for the user's months first


def test_a_strange_cursor_is_a_value_error(stores: Stores) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        stores.history.by_user("anna", cursor="strange")


def _of(number: int, *, accepted_at_ms: int = 0) -> Outcome:
    return structs.replace(
        SENT,
        notification_id=f"n-{number:04}",
        delivery_id=f"d-{number:04}",
        accepted_at_ms=accepted_at_ms or number + 1,
    )


def test_standings_are_all_outcomes_of_those_asked_for(stores: Stores) -> None:
    whole = structs.replace(PARKED, notification_id="n-2", delivery_id="", status=Status.FAILED)
    other = structs.replace(PARKED, notification_id="n-3")
    stores.history.append([PARKED, SENT, whole, other])
    found = {(one.notification_id, one.delivery_id, one.pass_no, one.status, one.at_ms) for one in standings(stores)}
    assert found == {
        ("n-1", "d-1", 0, Status.PARKED, 200),
        ("n-1", "d-1", 1, Status.SENT, 401),
        ("n-2", "", 0, Status.FAILED, 200),
    }
    assert stores.history.standings([]) == []


def standings(stores: Stores) -> list[Standing]:
    return stores.history.standings([f"n-{number}" for number in range(3)] + ["unknown"] * 1000)


def test_an_outcome_with_a_very_long_text_is_stored(stores: Stores) -> None:
    long = structs.replace(SENT, detail="\N{PARTY POPPER}" * 100_000, provider_id="p" * 5000)
    stores.history.append([long, PARKED])
    record = stores.history.notification("n-1")
    assert record is not None
    [_, sent] = record.outcomes
    assert long.detail.startswith(sent.detail)
    assert long.provider_id.startswith(sent.provider_id)
    assert sent.status is Status.SENT
