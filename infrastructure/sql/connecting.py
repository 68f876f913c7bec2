"""What a connection is opened with: every wait has a limit."""

from __future__ import annotations

import importlib
import math
from typing import Any, Final

from infrastructure.sql.dialect import SERVERS

#: Rows of a multi-row insert are sent together up to this many bytes; below max_allowed_packet (16 MB on MariaDB).
STATEMENT_BYTES: Final = 1024 * 1024


def connect_arguments(backend: str, timeout_s: float, statement_s: float | None = None) -> dict[str, Any]:
    """The driver's arguments: no statement waits longer than `timeout_s`, or `statement_s` where that is given.

    A server ends a statement itself a little before the driver gives the connection up. Raises ImportError where the
    driver is not installed.
    """
    if backend not in SERVERS:
        return {"timeout": timeout_s, "check_same_thread": False}
    longest_s = statement_s or timeout_s
    whole_s = max(1, round(longest_s))
    return {
        "connect_timeout": max(1, round(timeout_s)),
        "read_timeout": whole_s,
        "write_timeout": whole_s,
        "charset": "utf8mb4",
        "init_command": _session(longest_s),
        "cursorclass": _cursor_class(),
    }


def _session(longest_s: float) -> str:
    """A wait for a lock ends early enough for a second try. Each server has its own limit of a statement's time.

    `/*M!` is a comment to MySQL, `/*!50708` one to MariaDB.
    """
    lock_s = max(1, math.floor(longest_s / 3))
    statement_s = max(0.5, longest_s * 0.9)
    return (
        f"SET SESSION innodb_lock_wait_timeout={lock_s}, lock_wait_timeout={lock_s}"
        f" /*M!100100 , max_statement_time={statement_s:.3f} */"
        f" /*!50708 , max_execution_time={round(statement_s * 1000)} */"
    )


def _cursor_class() -> type[Any]:
    cursors = importlib.import_module("MySQLdb.cursors")
    return type("Cursor", (cursors.Cursor,), {"max_stmt_length": STATEMENT_BYTES})
