"""What API keys add to the document: who is asked for one, and how those answer that are."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from app.http.openapi.operation import Operation
from app.http.openapi.parameters import RATE_LIMIT, RATE_LIMIT_POLICY
from app.http.problems import FORBIDDEN, RATE_LIMITED, UNAUTHENTICATED, UNAVAILABLE

SCHEME = "apiKey"


def with_key(operation: Operation) -> Operation:
    """The operation as it is where keys are asked for: with the refusals, and the fields of request limits."""
    if operation.scope is None:
        return operation
    limits = (RATE_LIMIT_POLICY, RATE_LIMIT)
    replies = tuple(structs.replace(reply, headers=(*reply.headers, *limits)) for reply in operation.replies)
    refusals = (UNAUTHENTICATED, FORBIDDEN, RATE_LIMITED, UNAVAILABLE)
    return structs.replace(operation, replies=replies, problems=(*operation.problems, *refusals))


def security(operation: Operation, *, asks_keys: bool) -> dict[str, Any]:
    """The operation's `security`, with its scope in the place of a role."""
    if operation.scope is None or not asks_keys:
        return {}
    return {"security": [{SCHEME: [operation.scope]}]}


def schemes(*, asks_keys: bool) -> dict[str, Any]:
    """The `securitySchemes`, none where no keys are asked for."""
    if not asks_keys:
        return {}
    text = "A key of `manage.py keys create`. Its scopes say what it may do: `send`, `read`, or `admin` for everything."
    scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "ntfy_<id>_<secret>", "description": text}
    return {"securitySchemes": {SCHEME: scheme}}
