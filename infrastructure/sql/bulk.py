"""Many rows at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TypeVar

ROWS_A_STATEMENT = 500  # keeps SQLite's write lock short and MySQL's statements below its packet size

Row = TypeVar("Row")


def chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in portions that fit one statement."""
    rest = iter(rows)
    while portion := list(itertools.islice(rest, ROWS_A_STATEMENT)):
        yield portion
