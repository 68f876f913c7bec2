"""Which limits a lane and a user's delivery have, and what the shares promise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import ConfigError
from app.domain.gcra import take_up_to
from app.domain.lane import LANES
from app.domain.limit_rules import LaneLimitTable, lane_limits, user_rates
from app.domain.local_limits import LocalLimits
from app.domain.ports import Charged, UserCharge
from app.domain.rate import Rate, parse_rate, parse_rates

NOW = 1_700_000_000_000_000


def table(
    everything: Rate | None = None, channel: str = "", priority: str = "", shares: tuple[float, float] = (0.2, 0.1)
) -> LaneLimitTable:
    return lane_limits(
        everything=everything,
        channel=parse_rates(channel),
        priority=parse_rates(priority),
        share_high=shares[0],
        share_low=shares[1],
    )


def granted_in(limits: LaneLimitTable, queues: list[str], seconds: int) -> dict[str, int]:
    """What lanes get that all ask for more than there is, every 10 ms, the first of them first."""
    tats: dict[str, int] = {}
    totals = dict.fromkeys(queues, 0)
    for step in range(seconds * 100):
        for queue in queues:
            totals[queue] += take_up_to(tats, limits[queue], NOW + step * 10_000, 1000)[0]
    return totals


def test_without_rates_no_lane_has_a_limit() -> None:
    limits = table()
    assert set(limits) == {lane.queue for lane in LANES}
    assert not any(limits.values())


def test_a_lane_is_limited_by_everything_its_channel_and_its_priority() -> None:
    limits = table(parse_rate("100/s"), "email=10/s", "low=5/s", shares=(0, 0))
    assert [limit.whole.key.split(":")[1] for limit in limits["low.email"]] == ["all", "email", "low"]
    assert [limit.whole.key.split(":")[1] for limit in limits["high.push"]] == ["all"]


def test_neither_high_nor_the_others_starve_when_both_ask_for_all() -> None:
    limits = table(parse_rate("100/s"))
    for queues in (["low.email", "medium.sms", "high.email"], ["high.email", "low.email", "medium.sms"]):
        totals = granted_in(limits, queues, seconds=10)
        assert sum(totals.values()) <= 100 + 10 * 100
        assert totals["high.email"] >= 0.19 * 1000
        assert totals["low.email"] + totals["medium.sms"] >= 0.09 * 1000


@given(
    taken=st.lists(
        st.tuples(st.integers(0, 2_000_000), st.sampled_from(["high", "low"]), st.integers(1, 300)), max_size=40
    ),
    late=st.sampled_from(["high", "low"]),
)
def test_what_is_set_aside_is_there_at_once_whatever_the_other_side_took(
    taken: list[tuple[int, str, int]], late: str
) -> None:
    """After a second without asking, a side gets its second's worth, and the whole limit is kept meanwhile."""
    limits, tats, now, total = table(parse_rate("100/s")), dict[str, int](), NOW, 0
    for wait, side, wanted in taken:
        now += wait
        total += take_up_to(tats, limits[f"{side}.log"], now, wanted)[0]
    other = "low" if late == "high" else "high"
    for step in range(100):
        total += take_up_to(tats, limits[f"{other}.log"], now + step * 10_000, 1000)[0]
    now += 1_000_000
    granted = take_up_to(tats, limits[f"{late}.log"], now, 1000)[0]
    assert granted >= (20 if late == "high" else 10)
    assert total + granted <= 100 + (now - NOW) // 10_000


def test_the_rate_of_a_saturated_channel_is_reached() -> None:
    assert granted_in(table(channel="email=1000/s", shares=(0, 0)), ["low.email"], 5)["low.email"] in range(5000, 6001)


def test_a_lane_gets_at_most_a_second_of_its_rate_at_once() -> None:
    limits = table(channel="email=36000/h,sms=10/h", shares=(0.2, 0.1))
    [email], [sms] = limits["low.email"], limits["low.sms"]
    assert [one.rate.burst for one in (email.whole, *email.parts)] == [10, 1, 7]
    assert [one.rate.burst for one in (sms.whole, *sms.parts)] == [1, 1, 1]


def test_a_changed_rate_is_a_new_limit() -> None:
    old, new = table(parse_rate("1/d"))["high.log"][0], table(parse_rate("100/s"))["high.log"][0]
    assert old.whole.key != new.whole.key
    before, after = (user_rates(parse_rate(text), {}).limits("u", "email")[0].key for text in ("1/d", "9/s"))
    assert before != after


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"channel": "emial=1/s"}, "limit_channel: 'emial'"),
        ({"priority": "urgent=1/s"}, "limit_priority: 'urgent'"),
        ({"shares": (1.0, 0.1)}, "limit_share_high"),
        ({"shares": (0.1, 2.0)}, "limit_share_low"),
        ({"shares": (0.5, 0.5)}, "leave nothing to share"),
    ],
)
def test_names_and_shares_that_make_no_sense_are_refused(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        table(**arguments)  # type: ignore[arg-type]  # the cases differ in type
    with pytest.raises(ConfigError, match="limit_user_channel"):
        user_rates(None, parse_rates("fax=1/s"))


def test_users_with_tricky_ids_never_share_a_limit() -> None:
    rates = user_rates(parse_rate("1/h"), parse_rates("email=1/h"))
    keys = [limit.key for user in ("a", "a:email", "a:*") for limit in rates.limits(user, "email")]
    assert len(set(keys)) == len(keys)


def test_local_limits_forget_what_is_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.domain.local_limits._MANY", 10)
    now = [NOW]
    limits = LocalLimits(table(), user_rates(parse_rate("1/s"), {}), lambda: now[0])
    for number in range(200):
        now[0] += 500_000
        charge = UserCharge(
            delivery_id=f"d{number}", user_id=f"u{number}", channel="log", expires_at_ms=0, may_park=False
        )
        assert limits.charge([charge, charge], owner="o") == [Charged(), Charged(is_refused=True)]
    assert len(limits._tats) < 50
