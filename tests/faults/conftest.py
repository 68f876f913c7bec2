"""One set for all faults; `pytest tests/faults --full -s` runs them at the size that is promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.catalogue import write_catalogue
from tests.support.load import Load
from tests.support.providers import StandIns, stand_ins
from tests.support.stack import QUICK, Stack, pytest_runtest_makereport, running_stack

__all__ = ["pytest_runtest_makereport"]

KILLER = Path(__file__).parent / "killer"
FULL_TIMEOUT_S = 1800


class Size(NamedTuple):
    """How much and how long."""

    low: int
    high: int
    fault_s: float
    final_s: float
    waiting: int
    measured: int
    stopped_s: float
    isolation_s: float

    @property
    def is_full(self) -> bool:
        return self.low > SHORT.low


SHORT = Size(900, 100, 4.0, 60.0, 3000, 60, 8.0, 5.0)
FULL = Size(19_000, 1000, 20.0, 420.0, 20_000, 500, 120.0, 30.0)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run tests/faults at full size: takes most of an hour")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The full form takes longer than a test may otherwise."""
    if config.getoption("--full", default=False):
        for item in items:
            item.add_marker(pytest.mark.timeout(FULL_TIMEOUT_S))


@pytest.fixture(scope="session")
def size(pytestconfig: pytest.Config) -> Size:
    return FULL if pytestconfig.getoption("--full", default=False) else SHORT


@pytest.fixture(scope="session")
def fault_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="session")
def providers(fault_folder: Path) -> Iterator[StandIns]:
    with stand_ins(fault_folder) as both:
        yield both


@pytest.fixture(scope="module")
def set_of_faults(
    tmp_path_factory: pytest.TempPathFactory, providers: StandIns, request: pytest.FixtureRequest
) -> Iterator[Stack]:
    """The set that the faults of a module share; each leaves it settled. The module may have `SETTINGS` of its own.

    No two sets run at a time: they would slow each other down.
    """
    folder = tmp_path_factory.mktemp("set")
    settings = {**QUICK, **getattr(request.module, "SETTINGS", {})}
    with running_stack(
        folder, python_path=KILLER, **settings, CATALOGUE=str(write_catalogue(folder)), SMTP_URL=providers.smtp.url
    ) as stack:
        yield stack


@pytest.fixture
def stack(set_of_faults: Stack, providers: StandIns) -> Iterator[Stack]:
    """The shared set, with providers that accept at once again."""
    yield set_of_faults
    for one in providers.all():
        one.turn("accept")
        one.slow_down(0.0)


@pytest.fixture
def load(stack: Stack, providers: StandIns) -> Iterator[Load]:
    """Load for the set; what is still being posted when the test ends is stopped."""
    load = Load(stack, providers)
    yield load
    load.halt()
