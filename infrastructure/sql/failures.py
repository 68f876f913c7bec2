"""What goes wrong with a database, as one kind of error; what only lost against another transaction is done again."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError, InvalidRequestError, SQLAlchemyError

from app.domain.errors import StoreUnavailableError
from app.domain.meter import METER
from app.domain.metric_catalogue import STORE_FAILURES

Given = ParamSpec("Given")
Result = TypeVar("Result")

#: Longest pauses (seconds) before a transaction that lost is done again.
PAUSES_S: Final = (0.005, 0.02, 0.08, 0.2)
#: The same for one that waited for a lock, as long as it is let: it has little time left.
PAUSES_AFTER_WAIT_S: Final = (0.02,)

_DUPLICATE, _LOCK_WAIT, _DEADLOCK = 1062, 1205, 1213
#: MySQL's and MariaDB's numbers of errors. Their own texts may quote values, so they are never shown.
_MEANINGS: Final = {
    1040: "too many connections",
    1044: "the user may not use this database",
    1045: "user or password is refused",
    1049: "there is no such database: create it, with CHARACTER SET utf8mb4",
    _DUPLICATE: "another transaction made the same row",
    1146: "a table is missing: run `manage.py migrate`",
    1153: "a statement is larger than max_allowed_packet",
    _LOCK_WAIT: "a lock was not free in time",
    _DEADLOCK: "deadlock",
    1969: "a statement took too long",
    2002: "the server cannot be reached",
    2003: "the server cannot be reached",
    2005: "the server's name is unknown",
    2006: "the connection was lost",
    2013: "the connection was lost, or no answer came in time",
    3024: "a statement took too long",
}


class ConflictError(StoreUnavailableError):
    """A transaction lost against another, and nothing of it stays: done again it may well succeed."""

    def __init__(self, text: str, *, has_waited: bool) -> None:
        super().__init__(text)
        self.has_waited = has_waited


@contextmanager
def store_errors() -> Iterator[None]:
    """Raise what SQLAlchemy raises as StoreUnavailableError, with the cause kept and no values in the text.

    ConflictError where repeating helps; `repeated` does that, and counts what is left.
    """
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        number = _number(error)
        if number in (_DUPLICATE, _LOCK_WAIT, _DEADLOCK):
            raise ConflictError(f"SQL: {_text(error)}", has_waited=number == _LOCK_WAIT) from error
        METER.count(STORE_FAILURES, ("sql",))
        raise StoreUnavailableError(f"SQL: {_text(error)}") from error


def repeated(work: Callable[Given, Result]) -> Callable[Given, Result]:
    """Do the work again, a few times and at random moments, where its transaction lost. For what may be repeated."""

    @functools.wraps(work)
    def run(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        failures = 0
        while True:
            try:
                return work(*args, **kwargs)
            except ConflictError as conflict:
                pauses = PAUSES_AFTER_WAIT_S if conflict.has_waited else PAUSES_S
                if failures >= len(pauses):
                    METER.count(STORE_FAILURES, ("sql",))
                    raise
                pause_s = random.uniform(0, pauses[failures])  # noqa: S311 - no secret, only not all at once
                failures += 1
            time.sleep(pause_s)

    return run


def _number(error: SQLAlchemyError | OSError) -> int | None:
    """The server's number of the error; None where there is none, as ever with SQLite."""
    first = next(iter(error.orig.args), None) if isinstance(error, DBAPIError) and error.orig is not None else None
    return first if isinstance(first, int) else None


def _text(error: SQLAlchemyError | OSError) -> str:
    number = _number(error)
    if number is not None:
        return f"{number} {_MEANINGS.get(number, type(error).__name__)}"
    if isinstance(error, DBAPIError) and error.orig is not None and type(error).__name__ == "OperationalError":
        return str(next(iter(error.orig.args), type(error.orig).__name__))  # all that SQLite says: it quotes no values
    if isinstance(error, (InvalidRequestError, OSError)):
        return str(error)  # such as a MySQL server that the URL calls mariadb
    return type(error).__name__
