"""What is told of a route in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from app.domain.api_key import Scope
from app.domain.event import UserId
from app.http.problems import INTERNAL, INVALID, MALFORMED, NOT_FOUND, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, Kind
from app.http.wire import JSON


class Parameter(Struct, frozen=True, kw_only=True):
    """A parameter; `kind` is a type that msgspec makes a schema of."""

    name: str
    place: str
    kind: Any
    text: str
    default: Any = None
    example: str | None = None


class Header(Struct, frozen=True, kw_only=True):
    """A header of an answer."""

    name: str
    kind: Any
    text: str
    is_required: bool = True


class Body(Struct, frozen=True, kw_only=True):
    """A body: media type -> type. The example is of the first."""

    content: Mapping[str, Any]
    example: Any = None
    text: str = ""


class Link(Struct, frozen=True, kw_only=True):
    """A value of an answer (a runtime expression of OpenAPI) as a parameter of all operations on a path."""

    path: str
    parameter: str
    value: str


class Reply(Struct, frozen=True, kw_only=True):
    """An answer that is no problem; `other_media_types` have the same schema."""

    status: int
    text: str
    kind: Any
    media_type: str = JSON
    other_media_types: tuple[str, ...] = ()
    headers: tuple[Header, ...] = ()
    links: tuple[Link, ...] = ()
    example: Any = None


class Operation(Struct, frozen=True, kw_only=True):
    """A method of a path, which is in the framework's form; `problems` are the kinds that it is answered with.

    `scope` is what an API key needs for it, where keys are asked for; None: it is open.
    """

    method: str
    path: str
    id: str
    tag: str
    summary: str
    scope: Scope | None
    replies: tuple[Reply, ...]
    text: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    problems: tuple[Kind, ...] = ()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """All kinds of problem it is answered with. A slash in a value of the path leads nowhere."""
        read = (MALFORMED, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, INVALID) if self.body else ()
        placed = [parameter for parameter in self.parameters if parameter.place == "path"]
        nowhere = (NOT_FOUND,) if placed else ()
        checked = (INVALID,) if any(parameter.kind is UserId for parameter in placed) else ()
        return tuple(dict.fromkeys((*read, *nowhere, *checked, *self.problems, INTERNAL)))
