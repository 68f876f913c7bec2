"""What preferences mean for a delivery."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.domain.catalogue import EventRule
from app.domain.lane import Priority
from app.domain.outcome import Reason, Status
from app.domain.preference_rules import Decision, decide, is_wanted
from app.domain.users import Preferences, QuietHours

NOON = 1_732_276_800_000 - 1_732_276_800_000 % 86_400_000 + 43_200_000
AROUND_NOON = QuietHours(start="11:00", end="13:30")


def rule(*, critical: bool = False) -> EventRule:
    return EventRule(
        event_type="order_shipped",
        category="orders",
        priority=Priority.MEDIUM,
        channels=("email",),
        ttl_s=60,
        subject="s",
        text="t",
        critical=critical,
    )


def test_nothing_stands_against_a_delivery_of_a_user_without_preferences() -> None:
    assert decide(rule(), "email", Preferences(), "UTC", NOON) == Decision()


def test_what_is_switched_off_goes_before_mute_and_quiet_hours() -> None:
    off = Preferences(channels={"orders": {"email": False}}, muted_until_ms=NOON + 1, quiet_hours=AROUND_NOON)
    assert decide(rule(), "email", off, "UTC", NOON) == Decision(status=Status.SUPPRESSED, reason=Reason.PREFERENCE_OFF)
    muted = decide(rule(), "push", off, "UTC", NOON)
    assert muted == Decision(status=Status.SUPPRESSED, reason=Reason.MUTED)
    quiet = decide(rule(), "push", off, "UTC", NOON + 1)
    assert quiet == Decision(status=Status.PARKED, reason=Reason.QUIET_HOURS, until_ms=NOON + 90 * 60_000)


def test_quiet_hours_go_by_the_users_clock() -> None:
    preferences = Preferences(quiet_hours=AROUND_NOON)
    assert decide(rule(), "email", preferences, "Asia/Tokyo", NOON).status is None
    assert decide(rule(), "email", preferences, "Asia/Tokyo", NOON - 9 * 3_600_000).status is Status.PARKED


def test_a_critical_type_ignores_all_of_it() -> None:
    against = Preferences(channels={"*": {"*": False}}, muted_until_ms=NOON + 1, quiet_hours=AROUND_NOON)
    assert decide(rule(critical=True), "email", against, "UTC", NOON) == Decision()


@given(
    st.dictionaries(st.sampled_from(["c", "*", "x"]), st.dictionaries(st.sampled_from(["e", "*", "y"]), st.booleans()))
)
def test_the_most_special_entry_decides(channels: dict[str, dict[str, bool]]) -> None:
    entries = {(category, channel): wanted for category, row in channels.items() for channel, wanted in row.items()}
    order = [("c", "e"), ("c", "*"), ("*", "e"), ("*", "*")]
    expected = next((entries[key] for key in order if key in entries), True)
    assert is_wanted(Preferences(channels=channels), "c", "e") is expected
