"""Listings: which page is asked for, and how it is answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import flask
from msgspec import Struct

from app.http.problems import INVALID, Fault, ProblemError

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
#: More make a number that nobody means, and that costs time to read.
LIMIT_DIGITS = 9


class PageQuery(Struct, frozen=True):
    """What the query string asks for."""

    cursor: str | None
    limit: int


def read_page(*others: str) -> PageQuery:
    """The page asked for. Raises ProblemError (422) for a parameter that is none of these and `others`."""
    arguments = flask.request.args
    for name in arguments:
        if name not in ("cursor", "limit", *others):
            raise refused(name, "is not a parameter")
    refuse_repeated("is given more than once")
    limit = arguments.get("limit", str(LIMIT_DEFAULT))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= LIMIT_DIGITS and 1 <= int(limit) <= LIMIT_MAX):
        raise refused("limit", f"is not a number from 1 to {LIMIT_MAX}")
    return PageQuery(arguments.get("cursor"), int(limit))


def refuse_repeated(detail: str) -> None:
    """Only one of several values would be heard of. Raises ProblemError (422) naming the parameter."""
    for name, values in flask.request.args.lists():
        if len(values) > 1:
            raise refused(name, detail)


def read_flag(name: str) -> bool:
    """A parameter that is `true` or `false` (the default). Raises ProblemError (422)."""
    value = flask.request.args.get(name, "false")
    if value not in ("true", "false"):
        raise refused(name, "is neither true nor false")
    return value == "true"


@contextmanager
def cursor_errors() -> Iterator[None]:
    """Turn a store's ValueError for a cursor that is none of ours into a ProblemError (422)."""
    try:
        yield
    except ValueError as error:
        raise refused("cursor", "is none of ours") from error


def refused(parameter: str, detail: str) -> ProblemError:
    """The problem of a parameter of the path or the query."""
    return ProblemError(INVALID.problem("", Fault(parameter=parameter, detail=detail)))
