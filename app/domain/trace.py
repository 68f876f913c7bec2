"""Trace context: the `traceparent` of W3C Trace Context, https://www.w3.org/TR/trace-context/, and the port Tracer.

A delivery carries the traceparent of what caused it, so that a receiver of ours continues the client's trace. Whether
spans are exported as well is the tracer's business: `NO_TRACER` makes ids and nothing else.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Protocol

HEADER = "traceparent"

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_VERSION = "00"
_NOT_SAMPLED = "00"
#: Of a version we do not know there may be more behind it; ours ends there.
_LENGTH = 55

Attributes = Mapping[str, str | int | Sequence[str]]


def read_traceparent(text: str) -> str:
    """The traceparent in our version's form; empty where it is none, as if there were no header."""
    match = _FORM.match(text)
    rest = text[_LENGTH:]
    if match is None or (rest and (text.startswith(_VERSION) or not rest.startswith("-"))):
        return ""
    return f"{_VERSION}-{match[1]}-{match[2]}-{match[3]}"


def child_of(traceparent: str) -> str:
    """A new span of the same trace; of a new one, which nobody records, where there is none (empty)."""
    trace, flags = (trace_id(traceparent), traceparent[-2:]) if traceparent else (secrets.token_hex(16), _NOT_SAMPLED)
    return f"{_VERSION}-{trace}-{secrets.token_hex(8)}-{flags}"


def trace_id(traceparent: str) -> str:
    """The id that all spans of a trace share; empty where there is no trace."""
    return traceparent[3:35]


def trace_of(traceparent: str) -> dict[str, str]:
    """What a log line carries of it."""
    return {"trace_id": trace_id(traceparent)} if traceparent else {}


class Span(Protocol):
    """Something that takes time. `traceparent` is for what it causes."""

    traceparent: str

    def tell(self, attributes: Attributes) -> None:
        """Add what is known by now: ids and words of the code, never an address or content."""

    def end(self, *, error: str = "") -> None:
        """It is over; `error` is a word where it failed."""


class Tracer(Protocol):
    """Makes spans. Raises nothing. `is_on` is whether anybody sees them: else what only serves that can be left out."""

    is_on: bool

    def start(
        self,
        name: str,
        *,
        parent: str = "",
        attributes: Attributes | None = None,
        links: Sequence[tuple[str, str]] = (),
        started_at_ms: int = 0,
    ) -> Span:
        """A span that begins now, or at a time. `links` are (traceparent, notification id) of what it works for."""

    def close(self) -> None:
        """Hand over what is left."""


class _NoSpan:
    """Carries the trace on."""

    __slots__ = ("traceparent",)

    def __init__(self, parent: str) -> None:
        self.traceparent = child_of(parent)

    def tell(self, attributes: Attributes) -> None:
        """See `Span`."""

    def end(self, *, error: str = "") -> None:
        """See `Span`."""


class NoTracer:
    """The tracer where no export is set."""

    is_on = False

    def start(
        self,
        name: str,
        *,
        parent: str = "",
        attributes: Attributes | None = None,
        links: Sequence[tuple[str, str]] = (),
        started_at_ms: int = 0,
    ) -> Span:
        """See `Tracer`."""
        del name, attributes, links, started_at_ms
        return _NoSpan(parent)

    def close(self) -> None:
        """See `Tracer`."""


NO_TRACER = NoTracer()
