"""Port PendingCallbacks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from msgspec import structs

from app.domain.callback import Callback, CallbackReceiver
from app.domain.ports import CallbackResult
from tests.support.sql_stores import Stores

NOW = 1_732_270_000_000
LATER = NOW + 60_000
A, B = "0123456789ab", "ba9876543210"


def callback(name: str = "a1", key_id: str = A, **given: Any) -> Callback:
    values = {"body": f'{{"of":"{name}"}}'.encode(), "made_at_ms": NOW - 5, "due_at_ms": NOW, "tries": 0}
    return Callback(id=f"cb_{name}", key_id=key_id, **(values | given))


def receiver(key_id: str = A, **given: Any) -> CallbackReceiver:
    values = {"url": f"https://{key_id}.example/", "salt": "00", "since_ms": 1}
    return CallbackReceiver(key_id=key_id, **(values | given))


def take(stores: Stores, now_ms: int = NOW, again_at_ms: int = LATER, **shares: int) -> list[Callback]:
    by_key = {{"a": A, "b": B}[name]: share for name, share in shares.items()}
    return stores.pending_callbacks.take(by_key, now_ms=now_ms, again_at_ms=again_at_ms)


def failing(stores: Stores) -> dict[str, int]:
    return {one.key_id: one.failing_since_ms for one in stores.callback_receivers.list()}


def test_a_callback_comes_back_as_it_was_added(stores: Stores) -> None:
    one = callback(body=bytes(range(256)) * 20, tries=3)
    stores.pending_callbacks.add([one])
    assert take(stores, a=10) == [one]


def test_one_that_is_there_stays_as_it_is(stores: Stores) -> None:
    one = callback()
    stores.pending_callbacks.add([one])
    stores.pending_callbacks.add([structs.replace(one, due_at_ms=NOW - 99, tries=7), callback("a2")])
    assert sorted(take(stores, a=10), key=lambda found: found.id) == [one, callback("a2")]


def test_many_are_added_and_counted_by_key(stores: Stores) -> None:
    stores.pending_callbacks.add([callback(f"a{number:04}") for number in range(1200)] + [callback("b", B)])
    stores.pending_callbacks.add([])
    assert stores.pending_callbacks.counts() == {A: 1200, B: 1}


def test_as_many_as_a_key_has_room_for_are_taken_longest_due_first(stores: Stores) -> None:
    ages = {"a1": 10, "a2": 30, "a3": 20, "a4": 0}
    stores.pending_callbacks.add([callback(name, due_at_ms=NOW - age) for name, age in ages.items()])
    stores.pending_callbacks.add([callback("b1", B), callback("b2", B, due_at_ms=NOW + 1)])
    taken = take(stores, a=2, b=5)
    assert [one.id for one in taken if one.key_id == A] == ["cb_a2", "cb_a3"]
    assert [one.id for one in taken if one.key_id == B] == ["cb_b1"]
    assert take(stores) == []


def test_what_is_taken_is_nobody_elses_until_then(stores: Stores, other_process: Stores) -> None:
    stores.pending_callbacks.add([callback("a1"), callback("a2")])
    first = take(stores, a=1)
    second = take(other_process, a=5)
    assert len(first) == len(second) == 1
    assert first != second
    assert take(stores, now_ms=LATER - 1, a=5) == []
    assert len(take(other_process, now_ms=LATER, again_at_ms=LATER + 1, a=5)) == 2


def test_several_processes_take_each_callback_once(stores: Stores, other_process: Stores) -> None:
    stores.pending_callbacks.add([callback(f"a{number:03}") for number in range(100)])

    def take_all(mine: Stores) -> list[str]:
        found: list[str] = []
        while taken := take(mine, a=7):
            found += [one.id for one in taken]
        return found

    with ThreadPoolExecutor(4) as pool:
        found = [name for names in pool.map(take_all, [stores, other_process] * 2) for name in names]
    # SKIP LOCKED passes by what another holds at the moment: what it leaves is due, and comes next.
    found += [one.id for one in take(stores, a=100)]
    assert sorted(found) == [f"cb_a{number:03}" for number in range(100)]


def test_due_are_receivers_with_their_first_callback(stores: Stores) -> None:
    stores.callback_receivers.put(receiver())
    stores.callback_receivers.put(receiver(B))
    stores.callback_receivers.put(receiver("nothing waits"))
    stores.callback_receivers.put(receiver("disabled", disabled_at_ms=5))
    stores.pending_callbacks.add([callback("a1", due_at_ms=NOW + 7), callback("a2", due_at_ms=NOW + 3)])
    stores.pending_callbacks.add([callback("b", B), callback("d", "disabled"), callback("n", "of nobody")])
    assert sorted(stores.pending_callbacks.due(), key=lambda one: one[1]) == [
        (receiver(B), NOW),
        (receiver(), NOW + 3),
    ]
    take(stores, b=1)
    assert (receiver(B), LATER) in stores.pending_callbacks.due()


def test_what_is_taken_or_given_up_goes_and_the_rest_is_due_again(stores: Stores) -> None:
    for name in ("a1", "a2", "a3", "a4"):
        stores.pending_callbacks.add([callback(name, tries=2)])
    taken, failed, given_up, _ = sorted(take(stores, a=9), key=lambda one: one.id)
    results = [
        CallbackResult(callback=taken, is_taken=True),
        CallbackResult(callback=failed, again_at_ms=NOW + 500),
        CallbackResult(callback=given_up),
    ]
    for _ in range(2):
        stores.pending_callbacks.settle(results, NOW)
    assert stores.pending_callbacks.counts() == {A: 2}
    assert take(stores, now_ms=NOW + 499, a=9) == []
    [again] = take(stores, now_ms=NOW + 500, a=9)
    assert again == structs.replace(failed, due_at_ms=NOW + 500, tries=3)


def test_a_receiver_fails_from_its_first_failure_until_it_takes_one(stores: Stores) -> None:
    stores.callback_receivers.put(receiver())
    stores.callback_receivers.put(receiver(B))
    stores.pending_callbacks.add([callback("a1"), callback("a2"), callback("b", B)])
    failed = CallbackResult(callback=callback("a1"), again_at_ms=LATER, error="HTTP 500")
    stores.pending_callbacks.settle([failed, CallbackResult(callback=callback("b", B), is_taken=True)], 10)
    stores.pending_callbacks.settle([structs.replace(failed, error="no connection" * 9)], 20)
    assert failing(stores) == {A: 10, B: 0}
    assert stores.callback_receivers.find([A])[A].last_error == ("no connection" * 9)[:64]
    stores.pending_callbacks.settle([CallbackResult(callback=callback("a2"), is_taken=True)], 30)
    assert failing(stores) == {A: 0, B: 0}
    assert stores.callback_receivers.find([A])[A].last_error == ""
    stores.pending_callbacks.settle([failed, CallbackResult(callback=callback("a2"), is_taken=True)], 40)
    assert failing(stores) == {A: 0, B: 0}, "it takes some"


def test_settling_nothing_asks_nothing(stores: Stores) -> None:
    with stores.statements() as statements:
        stores.pending_callbacks.settle([], NOW)
        stores.pending_callbacks.add([])
        assert stores.pending_callbacks.take({}, now_ms=NOW, again_at_ms=LATER) == []
    assert statements == []


def test_what_came_of_many_calls_takes_few_statements(stores: Stores) -> None:
    results = [
        CallbackResult(callback=callback(f"{key_id}-{number}", key_id), is_taken=number % 2 == 0, again_at_ms=LATER)
        for key_id in (A, B)
        for number in range(50)
    ]
    stores.pending_callbacks.add([one.callback for one in results])
    with stores.statements() as statements:
        stores.pending_callbacks.settle(results, NOW)
    assert len(statements) <= 4
    assert stores.pending_callbacks.counts() == {A: 25, B: 25}


def test_callbacks_of_a_key_are_dropped_a_portion_at_a_time(stores: Stores) -> None:
    stores.pending_callbacks.add([callback(f"a{number:03}") for number in range(5)] + [callback("b", B)])
    assert [stores.pending_callbacks.drop(A, 3) for _ in range(3)] == [3, 2, 0]
    assert stores.pending_callbacks.counts() == {B: 1}
