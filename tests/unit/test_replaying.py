"""What runs again, by what is known of it; and holding a rate."""

from __future__ import annotations

import pytest

from app.domain.outcome import Status
from app.domain.ports import SeenClaim, Standing
from app.domain.rate import parse_rate
from app.domain.steady import Steady
from bridges.replaying.verdict import Evidence, Why, judge, next_pass
from tests.support.deliveries import delivery

NOW = 1_000_000
ONE = delivery("a", expires_at_ms=NOW + 1)


def standing(pass_no: int, status: Status, *, at_ms: int = NOW - 10, name: str = "a") -> Standing:
    return Standing(notification_id=ONE.notification_id, delivery_id=name, pass_no=pass_no, status=status, at_ms=at_ms)


def known(*standings: Standing, claim: SeenClaim | None = None, of_event: Status | None = None) -> Evidence:
    whole = [standing(0, of_event, name="")] if of_event else []
    return Evidence(
        looked_at_ms=NOW,
        standings={"a": standings},
        of_events={ONE.notification_id: whole},
        claims={"a": claim} if claim else {},
    )


def claim(pass_no: int, *, is_live: bool) -> SeenClaim:
    return SeenClaim(pass_no=pass_no, is_live=is_live, is_done=not is_live, status="" if is_live else "sent")


@pytest.mark.parametrize(
    ("evidence", "why", "pass_no"),
    [
        (known(), Why.UNFINISHED, 1),
        (known(standing(0, Status.PARKED)), Why.UNFINISHED, 1),
        (known(standing(0, Status.PARKED), standing(1, Status.PARKED)), Why.UNFINISHED, 2),
        (known(standing(0, Status.PARKED), standing(1, Status.SENT)), Why.FINAL, 2),
        (known(standing(1, Status.PARKED), standing(1, Status.EXPIRED)), Why.FINAL, 2),
        (known(standing(0, Status.FAILED), standing(1, Status.ACCEPTED)), Why.UNFINISHED, 2),
        (known(standing(0, Status.PARKED, at_ms=NOW)), Why.UNDER_WAY, 1),
        (known(claim=claim(0, is_live=True)), Why.UNDER_WAY, 1),
        (known(claim=claim(3, is_live=False)), Why.UNFINISHED, 4),
        (known(of_event=Status.EXPIRED), Why.FINAL, 1),
        (known(standing(0, Status.PARKED), of_event=Status.FAILED), Why.UNFINISHED, 1),
    ],
)
def test_only_what_has_no_end_and_is_nowhere_runs_again(evidence: Evidence, why: Why, pass_no: int) -> None:
    assert judge(ONE, evidence, NOW) is why
    assert next_pass(ONE, evidence) == pass_no


def test_one_past_its_expiry_runs_too_so_that_it_ends() -> None:
    assert judge(ONE, known(), NOW + 1) is Why.PAST_EXPIRY
    assert Why.PAST_EXPIRY.runs


@pytest.mark.parametrize(("where", "why"), [("on_lane", Why.ON_LANE), ("parked", Why.PARKED)])
def test_what_is_on_its_way_stays_there(where: str, why: Why) -> None:
    there = frozenset("a") if where == "on_lane" else {"a": 0}
    assert judge(ONE, Evidence(looked_at_ms=NOW, **{where: there}), NOW) is why  # type: ignore[arg-type]
    assert not why.runs


def test_a_rate_is_held_and_not_caught_up_with() -> None:
    steady = Steady(parse_rate("100/s"))
    assert steady.portion(500, 0.2) == 20
    assert [round(steady.delay_s(20, now_s), 2) for now_s in (5.0, 5.0, 5.1, 9.0)] == [0.0, 0.2, 0.3, 0.0]
    assert (Steady(None).portion(500, 0.2), Steady(None).delay_s(500, 1.0)) == (500, 0.0)
    assert Steady(parse_rate("1/h")).portion(500, 0.2) == 1
