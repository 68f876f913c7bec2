"""Where the values of an answer lead: a link for each operation on the path that a `Link` names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.http import devices, inbox, preferences, user_notifications, users
from app.http.openapi.operation import Link, Operation


def user_links(value: str) -> tuple[Link, ...]:
    """From an answer to all that concerns one user; `value` is where the user's id stands."""
    paths = (users.PATH, preferences.PATH, devices.PATH, inbox.PATH, f"{inbox.PATH}/read", user_notifications.PATH)
    return tuple(Link(path=path, parameter="user_id", value=value) for path in paths)


def links_of(links: Iterable[Link], operations: Iterable[Operation]) -> dict[str, Any]:
    """The `links` of an answer, by the id of the operation they lead to. New ones are in by themselves."""
    told = [(link, operation) for link in links for operation in operations if operation.path == link.path]
    return {operation.id: _link(link, operation) for link, operation in told}


def _link(link: Link, operation: Operation) -> dict[str, Any]:
    return {
        "operationId": operation.id,
        "parameters": {link.parameter: link.value},
        "description": operation.summary,
    }
