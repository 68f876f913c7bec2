"""A store that did not answer is left alone until it does."""

from __future__ import annotations

import threading
import time

import pytest

from app.domain.errors import StoreUnavailableError
from tasks.store_watch import StoreWatch


class Store:
    def __init__(self) -> None:
        self.is_up = False
        self.asked = 0

    def __call__(self) -> None:
        self.asked += 1
        if not self.is_up:
            raise StoreUnavailableError


def test_it_is_asked_by_a_thread_and_nobody_waits() -> None:
    store = Store()
    watch = StoreWatch(store, pause_s=0.02)
    watch.check()
    for _ in range(5):
        watch.lost()
    assert [one.name for one in threading.enumerate()].count("store-watch") == 1
    for _ in range(100):
        with pytest.raises(StoreUnavailableError):
            watch.check()
    store.is_up = True
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            watch.check()
            break
        except StoreUnavailableError:
            time.sleep(0.01)
    watch.check()
    assert store.asked >= 1


def test_it_can_be_lost_again() -> None:
    store = Store()
    store.is_up = True
    watch = StoreWatch(store, pause_s=0.01)
    for _ in range(2):
        watch.lost()
        with pytest.raises(StoreUnavailableError):
            watch.check()
        time.sleep(0.3)
        watch.check()
    assert store.asked == 2
