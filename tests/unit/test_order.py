"""Who is served next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from app.domain.lane import Lane, Priority
from bridges.dispatch.order import STRIDE_LOW, Order, Place

HIGH, MEDIUM, LOW = (Lane(priority, "email") for priority in Priority)


def first(order: Order, places: Sequence[Place]) -> Place:
    return order.sort(places, lambda place: place)[0]


def serve(order: Order, places: Sequence[Place], times: int) -> Counter[Place]:
    served = Counter[Place]()
    for _ in range(times):
        place = first(order, places)
        order.served(*place)
        served[place] += 1
    return served


def test_high_comes_first_however_much_it_had() -> None:
    order = Order()
    assert serve(order, [(LOW, 0), (MEDIUM, 0), (HIGH, 0)], 100) == {(HIGH, 0): 100}


def test_partitions_of_a_priority_take_turns() -> None:
    assert serve(Order(), [(MEDIUM, one) for one in range(4)], 40) == {(MEDIUM, one): 10 for one in range(4)}


def test_medium_comes_before_low_and_low_comes_all_the_same() -> None:
    order = Order()
    assert first(order, [(LOW, 0), (MEDIUM, 0)]) == (MEDIUM, 0)
    served = serve(order, [(LOW, 0), (LOW, 1), (MEDIUM, 0), (MEDIUM, 1)], 1800)
    assert served[MEDIUM, 0] + served[MEDIUM, 1] == 1600
    assert abs(served[LOW, 0] - 100) <= 1
    assert served[MEDIUM, 0] / served[LOW, 0] == STRIDE_LOW


def test_who_had_nothing_to_send_is_owed_nothing() -> None:
    order = Order()
    serve(order, [(MEDIUM, 0)], 1000)
    served = serve(order, [(MEDIUM, 0), (MEDIUM, 1)], 100)
    assert abs(served[MEDIUM, 0] - served[MEDIUM, 1]) <= 1


def test_who_was_held_back_comes_first_when_it_may() -> None:
    order = Order()
    serve(order, [(MEDIUM, 0), (MEDIUM, 1)], 10)
    serve(order, [(MEDIUM, 0)], 10)
    assert first(order, [(MEDIUM, 0), (MEDIUM, 1)]) == (MEDIUM, 1)


def test_other_channels_do_not_take_lows_turn() -> None:
    """Medium of another channel may have thirty batches while this channel's one place is taken."""
    order = Order()
    others = [(Lane(Priority.MEDIUM, "in_app"), number) for number in range(6)]
    served = Counter[Place]()
    for _ in range(90):
        serve(order, others, 30)
        served += serve(order, [(MEDIUM, 0), (MEDIUM, 1), (LOW, 0)], 1)
    assert served[LOW, 0] >= 4
