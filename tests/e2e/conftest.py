"""Every test here runs in both profiles: on the embedded set, and on the real one where its services run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.any_stack import PROFILES, Profile, SharedSets
from tests.support.stack_client import StackClient, pytest_runtest_makereport

__all__ = ["pytest_runtest_makereport"]

HERE: Final = Path(__file__).parent
#: Modules that need sets of their own come last, those that can share one next to each other.
LAST: Final = ("test_callbacks", "test_metrics", "test_trace", "test_no_leaks", "test_as_composed")

_sets: Final[list[SharedSets]] = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put modules that share a set next to each other; pytest then puts the profiles one after the other."""
    places = [place for place, item in enumerate(items) if item.path.parent == HERE]
    ours = sorted((items[place] for place in places), key=_order)
    for place, item in zip(places, ours, strict=True):
        items[place] = item


def _order(item: pytest.Item) -> int:
    name = item.path.stem
    return LAST.index(name) + 1 if name in LAST else 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """After the last test here no set is left: what other folders test is timed."""
    yield
    if nextitem is None or nextitem.path.parent != HERE:
        for one in _sets:
            one.stop()


@pytest.fixture(scope="session", params=PROFILES)
def profile(request: pytest.FixtureRequest) -> Profile:
    """What the test runs on."""
    found: Profile = request.param
    return found


@pytest.fixture(scope="session")
def sets(profile: Profile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedSets]:
    """The sets of the profile, one at a time."""
    shared = SharedSets(profile, tmp_path_factory)
    _sets.append(shared)
    yield shared
    _sets.remove(shared)
    shared.stop()


@pytest.fixture(scope="module")
def stack(sets: SharedSets) -> StackClient:
    """The set that all modules share but those of `LAST`: with the mailbox, and no webhook to this machine."""
    return sets.running(WEBHOOK_ALLOW="", LIMIT_USER_CHANNEL="log=1/s:1", LIMIT_USER="600/h")
