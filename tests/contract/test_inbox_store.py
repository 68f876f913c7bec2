"""Port Inbox."""

from __future__ import annotations

import base64

import pytest
from msgspec import structs

from app.domain.ports import InboxEntry
from tests.support.sql_stores import Stores


def entry(number: int, *, user_id: str = "anna", created_at_ms: int = 0) -> InboxEntry:
    return InboxEntry(
        id=f"d-{number:04}",
        notification_id=f"n-{number}",
        user_id=user_id,
        event_type="order_shipped",
        category="orders",
        subject=f"Order {number}",
        body="It is on its way \N{PARTY POPPER}",
        created_at_ms=created_at_ms or number,
    )


def test_entries_come_back_newest_first_and_of_one_user_only(stores: Stores) -> None:
    stores.inbox.add([entry(1), entry(3), entry(2), entry(4, user_id="bert")])
    page = stores.inbox.list("anna")
    assert page.items == [entry(3), entry(2), entry(1)]
    assert page.cursor is None


def test_adding_again_changes_nothing(stores: Stores) -> None:
    stores.inbox.add([entry(1)])
    stores.inbox.mark_read("anna", None, 77)
    stores.inbox.add([structs.replace(entry(1), subject="other"), entry(2)])
    assert stores.inbox.list("anna").items == [entry(2), structs.replace(entry(1), read_at_ms=77)]


def test_a_batch_with_a_repeated_entry_is_stored_once(stores: Stores) -> None:
    stores.inbox.add([entry(1), entry(1)])
    assert len(stores.inbox.list("anna").items) == 1


def test_adding_nothing_is_harmless(stores: Stores) -> None:
    stores.inbox.add([])
    assert stores.inbox.unread_count("anna") == 0


def test_a_batch_larger_than_a_statement_is_stored_whole(stores: Stores) -> None:
    stores.inbox.add([entry(number) for number in range(1, 1202)])
    assert stores.inbox.unread_count("anna") == 1201


def test_pages_show_every_entry_once_even_where_times_are_equal(stores: Stores) -> None:
    stores.inbox.add([entry(number, created_at_ms=1 + number // 4) for number in range(10)])
    seen: list[str] = []
    cursor: str | None = None
    sizes = []
    while True:
        page = stores.inbox.list("anna", cursor=cursor, limit=3)
        seen += [found.id for found in page.items]
        sizes.append(len(page.items))
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == [f"d-{number:04}" for number in reversed(range(10))]
    assert sizes == [3, 3, 3, 1]


def test_a_page_is_not_moved_by_newer_entries(stores: Stores) -> None:
    stores.inbox.add([entry(number) for number in range(1, 5)])
    first = stores.inbox.list("anna", limit=2)
    stores.inbox.add([entry(9)])
    assert [found.id for found in stores.inbox.list("anna", cursor=first.cursor, limit=2).items] == ["d-0002", "d-0001"]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "not a cursor",
        "\N{SNOWMAN}",
        *(
            base64.urlsafe_b64encode(text).decode()
            for text in (b"[]", b'["a",1]', b"[99999999999999999999,1]", b'[-1,"a"]')
        ),
    ],
)
def test_a_strange_cursor_is_a_value_error(stores: Stores, cursor: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        stores.inbox.list("anna", cursor=cursor)


def test_marking_read_counts_those_that_were_unread(stores: Stores) -> None:
    stores.inbox.add([entry(1), entry(2), entry(3), entry(4, user_id="bert")])
    assert stores.inbox.mark_read("anna", ["d-0001", "d-0004", "unknown"], 50) == 1
    assert stores.inbox.mark_read("anna", ["d-0001"], 60) == 0
    assert stores.inbox.unread_count("anna") == 2
    assert stores.inbox.mark_read("anna", None, 70) == 2
    assert [found.read_at_ms for found in stores.inbox.list("anna").items] == [70, 70, 50]
    assert stores.inbox.unread_count("bert") == 1


def test_marking_no_entry_marks_none(stores: Stores) -> None:
    stores.inbox.add([entry(1)])
    assert stores.inbox.mark_read("anna", [], 50) == 0
    assert stores.inbox.unread_count("anna") == 1


def test_unread_entries_can_be_listed_alone(stores: Stores) -> None:
    stores.inbox.add([entry(1), entry(2)])
    stores.inbox.mark_read("anna", ["d-0002"], 50)
    assert stores.inbox.list("anna", unread_only=True).items == [entry(1)]


def test_an_entry_with_long_texts_is_stored(stores: Stores) -> None:
    long = structs.replace(entry(1), category="c" * 1000, subject="\N{PARTY POPPER}" * 100_000, body="b" * 500_000)
    stores.inbox.add([long])
    [found] = stores.inbox.list("anna").items
    assert (found.subject, found.body) == (long.subject, long.body)
    assert long.category.startswith(found.category)


def test_a_batch_takes_one_statement(stores: Stores) -> None:
    stores.inbox.add([entry(0)])  # connects
    with stores.statements() as of_many:
        stores.inbox.add([entry(number) for number in range(1, 101)])
    assert len(of_many) == 1
