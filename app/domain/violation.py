"""Input from outside to typed values, with each thing wrong told by its place: a JSON pointer (RFC 6901)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from app.domain.errors import NotifyError

T = TypeVar("T")

WHOLE = ""

# What msgspec says of a place: "... - at `$.options.channels[1]`". `[...]` stands for a key it does not name.
_PLACE = re.compile(r" - at `(?:key in )?\$([^`]*)`\Z")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[\.\.\.\]")
_FIELD = re.compile(r"Object (?:contains unknown|missing required) field `(.*)`\Z", re.DOTALL)


class Violation(Struct, frozen=True):
    """One thing that is wrong: where (a JSON pointer; empty: the whole document) and what."""

    pointer: str
    detail: str


class InvalidInputError(NotifyError):
    """The input is JSON, but not what is asked for."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(f"{violation.pointer or '/'}: {violation.detail}" for violation in violations))
        self.violations = tuple(violations)


class MalformedInputError(InvalidInputError):
    """The input is not JSON."""


class TooLargeInputError(InvalidInputError):
    """The input is larger than is taken."""


def decode_input(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """The typed value. Raises InvalidInputError or MalformedInputError with the first thing that is wrong."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInputError([_violation(str(error))]) from error
    except UnicodeDecodeError as error:
        raise MalformedInputError([Violation(WHOLE, "is not UTF-8")]) from error
    except RecursionError as error:
        raise MalformedInputError([Violation(WHOLE, "is nested too deep")]) from error
    except msgspec.DecodeError as error:
        raise MalformedInputError([Violation(WHOLE, str(error))]) from error


def pointer(*steps: str | int) -> str:
    """The JSON pointer of these steps from the whole document."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _violation(text: str) -> Violation:
    place = _PLACE.search(text)
    steps = list(_steps(place[1])) if place else []
    detail = text[: place.start()] if place else text
    field = _FIELD.match(detail)
    if field:
        steps.append(field[1])
        detail = "is not a field" if "unknown" in detail.split("`", 1)[0] else "is required"
    return Violation(pointer(*steps), detail)


def _steps(path: str) -> Iterator[str | int]:
    """The steps of msgspec's path, up to the first that it does not name."""
    for step in _STEP.finditer(path):
        if step[1] is not None:
            yield step[1]
        elif step[2] is not None:
            yield int(step[2])
        else:
            return
