"""The OpenAPI 3.1 document, made of the operations and of the types they name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from app.http.openapi.device_operations import OPERATIONS as DEVICES
from app.http.openapi.explain_operations import OPERATIONS as EXPLAIN
from app.http.openapi.links import links_of
from app.http.openapi.notification_operations import OPERATIONS as NOTIFICATIONS
from app.http.openapi.operation import Body, Header, Operation, Parameter, Reply
from app.http.openapi.parameters import CHALLENGE, RETRY_AFTER
from app.http.openapi.process_operations import OPERATIONS as PROCESS
from app.http.openapi.receipt_operations import OPERATIONS as RECEIPTS
from app.http.openapi.schemas import Schemas
from app.http.openapi.security import schemes, security, with_key
from app.http.openapi.statistics_operations import OPERATIONS as STATISTICS
from app.http.openapi.user_operations import OPERATIONS as USERS
from app.http.openapi.webhooks import KINDS as CALLED_BACK
from app.http.openapi.webhooks import webhooks
from app.http.problems import (
    CONTENT_TYPE,
    FORBIDDEN,
    KEY_RUNNING,
    RATE_LIMITED,
    TYPE_PREFIX,
    UNAUTHENTICATED,
    UNAVAILABLE,
    Kind,
    Problem,
)

OPENAPI = "3.1.1"
#: The version that paths carry.
API_VERSION = "1"
OPERATIONS = (*NOTIFICATIONS, *EXPLAIN, *USERS, *DEVICES, *RECEIPTS, *STATISTICS, *PROCESS)
#: Status of a problem -> what its answer's headers tell.
PROBLEM_HEADERS = {
    UNAUTHENTICATED.status: (CHALLENGE,),
    FORBIDDEN.status: (CHALLENGE,),
    KEY_RUNNING.status: (RETRY_AFTER,),
    RATE_LIMITED.status: (RETRY_AFTER,),
    UNAVAILABLE.status: (RETRY_AFTER,),
}


def document(public_url: str, *, asks_keys: bool) -> dict[str, Any]:
    """The whole document, as JSON has it. `public_url` is where clients reach the service.

    `asks_keys`: operations that are not open need an API key, and are told so; keys may have callbacks.
    """
    operations = tuple(map(with_key, OPERATIONS)) if asks_keys else OPERATIONS
    schemas = Schemas([*_kinds(operations), *(CALLED_BACK if asks_keys else ())])
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = re.sub(r"<(\w+)>", r"{\1}", operation.path)
        told = _operation(operation, schemas) | security(operation, asks_keys=asks_keys)
        paths.setdefault(path, {})[operation.method.lower()] = told
    return {
        "openapi": OPENAPI,
        "info": {"title": "Notify", "version": API_VERSION, "description": "Events in, notifications out."},
        "servers": [{"url": public_url}],
        "security": [],
        "paths": paths,
        "components": {"schemas": schemas.components} | schemes(asks_keys=asks_keys),
    } | (webhooks(schemas) if asks_keys else {})


def _kinds(operations: Iterable[Operation]) -> Iterator[Any]:
    yield Problem
    yield from (header.kind for header in (RETRY_AFTER, CHALLENGE))
    for operation in operations:
        yield from (parameter.kind for parameter in operation.parameters)
        yield from operation.body.content.values() if operation.body else ()
        for reply in operation.replies:
            yield reply.kind
            yield from (header.kind for header in reply.headers)


def _operation(operation: Operation, schemas: Schemas) -> dict[str, Any]:
    shown: dict[str, Any] = {"operationId": operation.id, "tags": [operation.tag], "summary": operation.summary}
    if operation.text:
        shown["description"] = operation.text
    if operation.parameters:
        shown["parameters"] = [_parameter(parameter, schemas) for parameter in operation.parameters]
    if operation.body:
        shown["requestBody"] = _body(operation.body, schemas)
    responses = {str(reply.status): _reply(reply, schemas) for reply in operation.replies}
    for status in sorted({kind.status for kind in operation.kinds}):
        same = [kind for kind in operation.kinds if kind.status == status]
        responses[str(status)] = _problem(status, same, schemas)
    return shown | {"responses": responses}


def _parameter(parameter: Parameter, schemas: Schemas) -> dict[str, Any]:
    schema = schemas.of(parameter.kind)
    if parameter.default is not None:
        schema["default"] = parameter.default
    shown = {"name": parameter.name, "in": parameter.place, "description": parameter.text, "schema": schema}
    if parameter.example is not None:
        shown["example"] = parameter.example
    return shown | {"required": parameter.place == "path"}


def _body(body: Body, schemas: Schemas) -> dict[str, Any]:
    content = {media_type: {"schema": schemas.of(kind)} for media_type, kind in body.content.items()}
    if body.example is not None:
        next(iter(content.values()))["example"] = body.example
    shown = {"required": True, "content": content}
    return shown | {"description": body.text} if body.text else shown


def _reply(reply: Reply, schemas: Schemas) -> dict[str, Any]:
    shown = _response(reply.text, (reply.media_type, *reply.other_media_types), reply.kind, reply.headers, schemas)
    if reply.example is not None:
        shown["content"][reply.media_type]["example"] = reply.example
    links = links_of(reply.links, OPERATIONS)
    return shown | {"links": links} if links else shown


def _problem(status: int, kinds: list[Kind], schemas: Schemas) -> dict[str, Any]:
    text = "; ".join(f"`{TYPE_PREFIX}{kind.name}`: {kind.title}" for kind in kinds)
    return _response(text, (CONTENT_TYPE,), Problem, PROBLEM_HEADERS.get(status, ()), schemas)


def _response(
    text: str, media_types: tuple[str, ...], kind: Any, headers: tuple[Header, ...], schemas: Schemas
) -> dict[str, Any]:
    content = {media_type: {"schema": schemas.of(kind)} for media_type in media_types}
    shown: dict[str, Any] = {"description": text, "content": content}
    if headers:
        shown["headers"] = {header.name: _header(header, schemas) for header in headers}
    return shown


def _header(header: Header, schemas: Schemas) -> dict[str, Any]:
    return {"description": header.text, "required": header.is_required, "schema": schemas.of(header.kind)}
