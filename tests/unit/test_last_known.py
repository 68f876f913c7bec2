"""What steps remember of users: given once, again after a while, and never an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from app.domain.errors import StoreUnavailableError
from app.domain.ports import KnownUser, StoredPreferences
from app.domain.users import Preferences, Recipient
from tasks import last_known
from tasks.last_known import GIVEN_S, LastKnown


class Copies:
    """What it was given, call by call."""

    def __init__(self) -> None:
        self.life = "first"
        self.is_away = False
        self.calls: list[list[str]] = []

    def remember(self, users: Sequence[KnownUser]) -> str:
        self.calls.append([user.user_id for user in users])
        if self.is_away:
            raise StoreUnavailableError
        return self.life

    def find(self, user_ids: Sequence[str]) -> Mapping[str, KnownUser]:
        if self.is_away:
            raise StoreUnavailableError
        return {user_id: known(user_id) for user_id in user_ids}

    def forget(self, user_id: str, version: int, at_ms: int) -> None:
        raise AssertionError


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def known(user_id: str, version: int = 1, preferences: int | None = 1) -> KnownUser:
    stored = None if preferences is None else StoredPreferences(Preferences(), preferences)
    return KnownUser(user_id=user_id, recipient=Recipient(user_id=user_id, version=version), preferences=stored)


@pytest.fixture
def copies() -> Copies:
    return Copies()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def remembered(copies: Copies, clock: Clock) -> LastKnown:
    return LastKnown(copies, clock)


def test_what_was_given_is_not_given_again_until_it_is_old(remembered: LastKnown, copies: Copies, clock: Clock) -> None:
    remembered.remember([known("anna"), known("ben")])
    remembered.remember([known("anna"), known("cleo")])
    remembered.remember([known("anna", preferences=None)])
    assert copies.calls == [["anna", "ben"], ["cleo"]]
    clock.now += GIVEN_S
    remembered.remember([known("anna")])
    assert copies.calls[2:] == [["anna"]]


def test_a_new_version_of_either_half_is_given(remembered: LastKnown, copies: Copies) -> None:
    for user in (known("anna", preferences=None), known("anna"), known("anna", 2), known("anna", 2, 5)):
        remembered.remember([user])
    assert copies.calls == [["anna"]] * 4


def test_where_another_redis_answers_everything_is_given_again(remembered: LastKnown, copies: Copies) -> None:
    remembered.remember([known("anna")])
    copies.life = "second"
    remembered.remember([known("ben")])
    remembered.remember([known("anna"), known("ben")])
    assert copies.calls == [["anna"], ["ben"], ["anna"]]


def test_a_store_of_copies_that_is_away_does_no_harm(remembered: LastKnown, copies: Copies) -> None:
    remembered.remember([known("anna")])
    copies.is_away = True
    remembered.remember([known("ben")])
    assert remembered.find(["anna"]) == {}
    copies.is_away = False
    remembered.remember([known("anna")])
    assert copies.calls == [["anna"], ["ben"], ["anna"]], "it may have lost them"
    assert set(remembered.find(["anna"])) == {"anna"}


def test_memory_is_bounded(remembered: LastKnown, copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_known, "GIVEN_USERS", 3)
    for name in "abcdefg":
        remembered.remember([known(name)])
    remembered.remember([known(name) for name in "hijklmn"])
    assert len(remembered._given) <= 3
