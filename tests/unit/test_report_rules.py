"""Which outcome a report is about, and what is recorded of it."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.outcome import Outcome, Reason, Status
from app.domain.ports import NotificationRecord
from app.domain.report import Report, ReportKind
from app.domain.report_rules import concerned, is_repeated, reported
from app.domain.suppression import Destination, address_id

NOW_MS = 1_000_000


def outcome(status: Status = Status.SENT, **given: Any) -> Outcome:
    values: dict[str, Any] = {"delivery_id": "d", "channel": "email", "provider_id": "m", "at_ms": 100, "attempt": 1}
    return Outcome(notification_id="n", user_id="u", event_type="t", status=status, **(values | given))


def report(kind: ReportKind = ReportKind.DELIVERED, **given: Any) -> Report:
    values: dict[str, Any] = {"channel": "email", "delivery_id": "d", "notification_id": "n", "provider_id": "m"}
    return Report(kind=kind, **({"at_ms": 200} | values | given))


def record(*outcomes: Outcome, user_id: str = "u") -> NotificationRecord:
    return NotificationRecord(
        id="n", user_id=user_id, event_type="t", accepted_at_ms=50, event=None, outcomes=list(outcomes)
    )


def test_nothing_is_concerned_where_nothing_was_heard_of_the_delivery() -> None:
    assert concerned([], report()) is None
    assert concerned([outcome(delivery_id="other")], report()) is None


def test_the_message_tells_which_call_it_was() -> None:
    first, second = outcome(pass_no=0), outcome(pass_no=1, attempt=2, provider_id="m-2")
    assert concerned([second, first], report()) == first
    assert concerned([first, second], report(provider_id="m-2")) == second


@pytest.mark.parametrize("provider_id", ["", "never heard of"])
def test_else_it_is_where_the_delivery_stands(provider_id: str) -> None:
    parked, sent = outcome(Status.PARKED, at_ms=1, provider_id=""), outcome(pass_no=1)
    assert concerned([sent, parked], report(provider_id=provider_id)) == sent


def test_a_workers_outcome_goes_before_other_reports() -> None:
    sent, delivered = outcome(), outcome(Status.DELIVERED, at_ms=900)
    assert concerned([delivered, sent], report(ReportKind.HARD_BOUNCE)) == sent
    assert concerned([delivered], report(ReportKind.HARD_BOUNCE)) == delivered


@pytest.mark.parametrize(("told_ms", "at_ms"), [(200, 200), (99, 100), (NOW_MS + 5, NOW_MS)])
def test_it_comes_after_what_it_is_about_and_not_in_the_future(told_ms: int, at_ms: int) -> None:
    sent = outcome()
    assert reported(report(at_ms=told_ms), "ses", record(sent), sent, NOW_MS).at_ms == at_ms


def test_it_is_told_to_whom_the_message_was_sent_for() -> None:
    before = outcome()
    told = reported(report(key_id="0123456789ab"), "ses", record(before), before, NOW_MS)
    assert told.key_id == "0123456789ab"


def test_of_a_forgotten_user_only_the_bare_facts_stay() -> None:
    sent = outcome()
    found = reported(report(detail="Permanent"), "ses", record(sent, user_id=""), sent, NOW_MS)
    assert (found.status, found.user_id, found.detail, found.provider_id) == (Status.DELIVERED, "", "", "")


def test_a_double_has_status_delivery_pass_and_attempt_in_common() -> None:
    sent = outcome()
    once = reported(report(), "ses", record(sent), sent, NOW_MS)
    assert not is_repeated(once, [sent, outcome(Status.DELIVERED, pass_no=1), outcome(Status.BOUNCED)])
    assert is_repeated(once, [outcome(Status.DELIVERED, at_ms=7, provider_id="other")])


def test_what_each_kind_says_of_the_delivery() -> None:
    sent = outcome()
    found = {kind: reported(report(kind), "ses", record(sent), sent, NOW_MS) for kind in list(ReportKind)[:5]}
    assert {kind: (one.status, one.reason) for kind, one in found.items()} == {
        ReportKind.DELIVERED: (Status.DELIVERED, ""),
        ReportKind.HARD_BOUNCE: (Status.BOUNCED, Reason.HARD_BOUNCE),
        ReportKind.SOFT_BOUNCE: (Status.BOUNCED, Reason.SOFT_BOUNCE),
        ReportKind.REFUSED: (Status.BOUNCED, Reason.PROVIDER_REJECTED),
        ReportKind.COMPLAINT: (Status.COMPLAINED, ""),
    }


def test_what_stands_for_an_address_tells_it_to_nobody() -> None:
    anna = Destination("email", "anna@example.com")
    known = address_id(b"a secret", anna)
    assert known == address_id(b"a secret", Destination("email", "Anna@EXAMPLE.com"))
    assert len({known, address_id(b"another", anna), address_id(b"a secret", Destination("sms", anna.address))}) == 3
    assert "anna" not in known
    assert len(known) == 64
