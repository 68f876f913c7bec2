"""Which set tests get that share them: the one that runs where its settings are the same, else another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import any_stack
from tests.support.any_stack import SharedSets


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is started and stopped, in order, by the folder's name."""
    told: list[str] = []

    @contextmanager
    def running_set(profile: str, folder: Path, **settings: str) -> Iterator[Any]:
        told.append(f"start {folder.name} {settings}")
        yield SimpleNamespace(is_running=True)
        told.append(f"stop {folder.name}")

    monkeypatch.setattr(any_stack, "running_set", running_set)
    return told


@pytest.fixture
def sets(told: list[str], tmp_path_factory: pytest.TempPathFactory) -> SharedSets:
    return SharedSets("embedded", tmp_path_factory)


def test_the_same_settings_get_the_set_that_runs(sets: SharedSets, told: list[str]) -> None:
    assert sets.running(LIMIT_USER="1/s") is sets.running(LIMIT_USER="1/s")
    assert len(told) == 1


def test_other_settings_get_another_once_the_first_is_stopped(sets: SharedSets, told: list[str]) -> None:
    first = sets.running()
    second = sets.running(LIMIT_USER="1/s")
    assert second is not first
    assert [one.split()[0] for one in told] == ["start", "stop", "start"]
    assert told[0].split()[1] != told[2].split()[1], "its folder is its own"


def test_a_set_that_a_test_left_stopped_is_not_handed_on(sets: SharedSets, told: list[str]) -> None:
    first: Any = sets.running()
    first.is_running = False
    assert sets.running() is not first


def test_after_a_stop_another_is_started(sets: SharedSets, told: list[str]) -> None:
    first = sets.running()
    sets.stop()
    sets.stop()
    assert sets.running() is not first
    assert [one.split()[0] for one in told] == ["start", "stop", "start"]
