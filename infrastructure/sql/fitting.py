"""Text that is longer than its column: it is cut, never refused. One such row would fail its batch for ever."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import String, Table

#: Characters that surely fit into a TEXT column, which has 65,535 bytes.
TEXT_LENGTH: Final = 65_535 // 4


def lengths(table: Table) -> dict[str, int]:
    """The longest text of each column that is for people to read: keys are checked where they come from."""
    types = ((column.name, column.type) for column in table.columns)
    return {name: kind.length or TEXT_LENGTH for name, kind in types if isinstance(kind, String)}


def cut(row: dict[str, Any], longest: dict[str, int]) -> dict[str, Any]:
    """The row, its texts cut where they are too long."""
    for name, length in longest.items():
        if len(row[name]) > length:
            row[name] = row[name][:length]
    return row
