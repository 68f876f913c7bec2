"""The operation that explains an event."""

from __future__ import annotations

from app.domain.api_key import Scope
from app.domain.event import MAX_EVENT_BYTES, Event
from app.explain.explanation import Explanation
from app.http.explain import PATH
from app.http.openapi.operation import Body, Operation, Reply
from app.http.wire import JSON

OPERATIONS = (
    Operation(
        method="POST",
        path=PATH,
        id="explainEvent",
        tag="notifications",
        summary="Tell what would become of an event",
        scope=Scope.READ,
        text=f"At most {MAX_EVENT_BYTES} bytes. Nothing is sent, stored or counted. The verdict of each delivery is "
        "what its dispatcher and worker would decide now, with a provider that accepts it and nothing before it in its "
        "lane. Addresses are masked. A store that is away is named where its facts are missing (`unknown`).",
        body=Body(content={JSON: Event}),
        replies=(Reply(status=200, text="The decision.", kind=Explanation),),
    ),
)
