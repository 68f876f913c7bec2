"""Port Statistics: deliveries count once, under their current status, whatever way their outcomes came."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import structs

from app.domain.outcome import Outcome, Reason, Status
from app.domain.statistics import DAY_MS, DIMENSIONS, HOUR_MS, MAX_ROWS, CountQuery
from app.domain.timeline import delivery_states
from infrastructure.sql.schema import HISTORY
from tests.support.sql_stores import HISTORY_STORES, Stores, fresh_stores

SUITE = HISTORY_STORES
START_MS = 20_000 * DAY_MS
ALL = CountQuery(from_ms=START_MS, to_ms=START_MS + 3 * DAY_MS, group_by=DIMENSIONS)
TYPES = ("order_shipped", "security_alert")


def outcome(status: Status = Status.SENT, *, number: int = 0, delivery: str = "email", **given: Any) -> Outcome:
    """Of the notification of this number; those of odd ones are accepted a day and a quarter later."""
    values = {
        "notification_id": f"n-{number}",
        "delivery_id": f"{number}-{delivery}" if delivery else "",
        "user_id": "anna",
        "event_type": TYPES[number % 2],
        "channel": delivery,
        "status": status,
        "at_ms": START_MS + 5,
        "accepted_at_ms": START_MS + number % 2 * (DAY_MS + DAY_MS // 4) + number,
    }
    return Outcome(**(values | given))


def counted(stores: Stores, query: CountQuery = ALL) -> dict[tuple[str | int, ...], int]:
    return {tuple(row.values.values()): row.count for row in stores.statistics.counts(query)}


def asked(stores: Stores, *group_by: str, **given: Any) -> dict[Any, int]:
    found = counted(stores, structs.replace(ALL, group_by=group_by, **given))
    return {key[0] if len(key) == 1 else key: count for key, count in found.items()}


def recount(outcomes: list[Outcome]) -> dict[tuple[str | int, ...], int]:
    """The plain way: each delivery's outcomes, the timeline's rule, one by one."""
    by_delivery: dict[tuple[str, str], list[Outcome]] = {}
    for one in outcomes:
        if one.delivery_id:
            by_delivery.setdefault((one.notification_id, one.delivery_id), []).append(one)
    found: Counter[tuple[str | int, ...]] = Counter()
    for own in by_delivery.values():
        [state] = delivery_states(own)
        at_ms, kind = own[0].accepted_at_ms, own[0].event_type
        found[
            at_ms - at_ms % DAY_MS, at_ms - at_ms % HOUR_MS, state.channel, kind, str(state.status), state.reason
        ] += 1
    return dict(found)


def same_for_same_key(outcomes: list[Outcome]) -> list[Outcome]:
    """The key names the outcome: another one of the same key is not another outcome."""
    known: dict[tuple[Any, ...], Outcome] = {}
    for one in outcomes:
        known.setdefault((one.notification_id, one.delivery_id, one.pass_no, one.attempt, one.status), one)
    return list(known.values())


OUTCOMES = st.lists(
    st.builds(
        outcome,
        st.sampled_from(Status),
        number=st.integers(0, 3),
        delivery=st.sampled_from(["", "email", "sms"]),
        pass_no=st.integers(0, 2),
        attempt=st.integers(0, 1),
        at_ms=st.integers(START_MS, START_MS + 2),
        reason=st.sampled_from(["", "ttl", "muted"]),
    ),
    max_size=25,
).map(same_for_same_key)


@pytest.mark.parametrize("name", SUITE)
@given(
    outcomes=OUTCOMES,
    order=st.randoms(use_true_random=False),
    repeated=st.integers(0, 20),
    cuts=st.lists(st.integers(0, 45), max_size=6),
)
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_order_repetition_and_split_do_not_matter_and_a_recount_gives_the_same(
    name: str,
    tmp_path_factory: pytest.TempPathFactory,
    outcomes: list[Outcome],
    order: random.Random,
    repeated: int,
    cuts: list[int],
) -> None:
    given_ = outcomes + order.choices(outcomes, k=repeated) if outcomes else []
    order.shuffle(given_)
    with emptied(name, tmp_path_factory) as stores:
        bounds = sorted({0, *(cut for cut in cuts if cut < len(given_)), len(given_)})
        for first, last in itertools.pairwise(bounds):
            stores.history.append(given_[first:last])
        assert counted(stores) == recount(outcomes)


_kept: dict[str, Any] = {}


class emptied:  # noqa: N801 - reads as what it gives
    """Stores of this kind with nothing in the history; migrated once, for migrating takes longer than the test."""

    def __init__(self, name: str, folders: pytest.TempPathFactory) -> None:
        if name not in _kept:
            opened = fresh_stores(name, Path(folders.mktemp("statistics")))
            _kept[name] = (opened, opened.__enter__())
        self._stores: Stores = _kept[name][1]

    def __enter__(self) -> Stores:
        if self._stores.client is not None:
            from tests.support import cassandra_stores

            cassandra_stores.empty(self._stores.client)
            return self._stores
        with self._stores.engines[1].begin() as connection:
            for table in HISTORY.sorted_tables:
                connection.execute(table.delete())
        return self._stores

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module", autouse=True)
def _closed() -> Any:
    yield
    for opened, _ in _kept.values():
        opened.__exit__(None, None, None)
    _kept.clear()


def test_a_delivery_moves_from_parked_to_sent_to_delivered_and_counts_once(stores: Stores) -> None:
    stores.history.append([outcome(Status.PARKED, reason=Reason.QUIET_HOURS)])
    assert asked(stores, "status", "reason") == {("parked", "quiet_hours"): 1}
    stores.history.append([outcome(Status.SENT, pass_no=1)])
    assert asked(stores, "status", "reason") == {("sent", ""): 1}
    stores.history.append([outcome(Status.DELIVERED, pass_no=1)])
    assert asked(stores, "status") == {"delivered": 1}


def test_late_news_of_an_earlier_pass_changes_nothing(stores: Stores) -> None:
    stores.history.append([outcome(Status.SENT, pass_no=1)])
    stores.history.append([outcome(Status.PARKED, at_ms=START_MS + 999)])
    assert asked(stores, "status") == {"sent": 1}


def test_outcomes_of_events_as_a_whole_are_not_counted(stores: Stores) -> None:
    stores.history.append([outcome(Status.FAILED, delivery="", reason=Reason.NO_CHANNELS)])
    assert asked(stores) == {}


def test_counts_are_by_hour_and_day_of_acceptance_in_utc(stores: Stores) -> None:
    last = {"number": 8, "accepted_at_ms": START_MS + HOUR_MS - 1}
    next_ = {"number": 10, "accepted_at_ms": START_MS + HOUR_MS}
    stores.history.append([outcome(**last), outcome(**next_), outcome(number=1)])
    assert asked(stores, "hour") == {START_MS: 1, START_MS + HOUR_MS: 1, START_MS + DAY_MS + 6 * HOUR_MS: 1}
    assert asked(stores, "day") == {START_MS: 2, START_MS + DAY_MS: 1}
    assert asked(stores, from_ms=START_MS + HOUR_MS, to_ms=START_MS + DAY_MS) == {(): 1}


def test_filters_choose_and_groups_are_sorted(stores: Stores) -> None:
    stores.history.append(
        [outcome(Status.FAILED if number % 3 else Status.SENT, number=number, delivery=channel)
         for number in range(12) for channel in ("sms", "email")]
    )  # fmt: skip
    assert list(asked(stores, "channel", "status").items()) == [
        (("email", "failed"), 8),
        (("email", "sent"), 4),
        (("sms", "failed"), 8),
        (("sms", "sent"), 4),
    ]
    assert asked(stores, filters={"channel": ("sms",), "event_type": (TYPES[1],), "status": ("sent", "expired")}) == {
        (): 2
    }
    assert asked(stores, "status", filters={"reason": ("ttl",)}) == {}


def test_trackers_that_append_the_same_at_the_same_time_count_once(stores: Stores) -> None:
    steps = ((Status.PARKED, 0), (Status.SENT, 1), (Status.DELIVERED, 1))
    everything = [outcome(status, number=number, pass_no=pass_no) for number in range(40) for status, pass_no in steps]

    def append(seed: int) -> None:
        mine = random.Random(seed).sample(everything, k=len(everything))  # noqa: S311 - an order, no secret
        for first in range(0, len(mine), 17):
            stores.history.append(mine[first : first + 17])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(append, range(4)))
    assert asked(stores, "status") == {"delivered": 40}


def kinds(statements: list[str]) -> list[str]:
    """What they begin with, but for those about who was forgotten: they come once a second."""
    return [statement.split()[0] for statement in statements if "forgotten" not in statement]


def test_a_batch_takes_five_statements_and_four_where_nothing_is_new(stores: Stores) -> None:
    if stores.client is not None:
        pytest.skip("on Cassandra: tests/integration/test_cassandra_history.py")
    batch = [outcome(number=number, event=None) for number in range(500)]
    with stores.statements() as first:
        stores.history.append(batch)
    with stores.statements() as second:
        stores.history.append(batch)
    assert kinds(first) == ["INSERT", "SELECT", "SELECT", "INSERT", "INSERT"]
    assert kinds(second) == ["INSERT", "SELECT", "SELECT", "INSERT"]


def test_an_answer_is_bounded(stores: Stores) -> None:
    stores.history.append([outcome(number=number, event_type=f"t{number}") for number in range(MAX_ROWS + 5)])
    assert len(stores.statistics.counts(structs.replace(ALL, group_by=("event_type",)))) == MAX_ROWS + 1
    assert asked(stores) == {(): MAX_ROWS + 5}
