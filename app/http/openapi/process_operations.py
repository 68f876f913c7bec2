"""The operations on the HTTP process itself."""

from __future__ import annotations

from typing import Any

from app.domain.api_key import Scope
from app.http import metrics
from app.http.health import Health
from app.http.openapi.operation import Operation, Reply
from app.http.problems import UNAVAILABLE

PATH = "/openapi.json"
TAG = "process"
#: Asks for no key: a probe has none, and what this API is is no secret.
OPEN = None

OPERATIONS = (
    Operation(
        method="GET",
        path="/livez",
        id="isAlive",
        tag=TAG,
        summary="Whether the process runs",
        scope=OPEN,
        replies=(Reply(status=200, text="It does.", kind=Health),),
    ),
    Operation(
        method="GET",
        path="/readyz",
        id="isReady",
        tag=TAG,
        summary="Whether Kafka answers, so that events can be taken in",
        scope=OPEN,
        replies=(Reply(status=200, text="It does.", kind=Health),),
        problems=(UNAVAILABLE,),
    ),
    Operation(
        method="GET",
        path=metrics.PATH,
        id="showMetrics",
        tag=TAG,
        summary="Metrics of this process, in Prometheus' text format",
        scope=Scope.READ,
        replies=(Reply(status=200, text="The metrics.", kind=str, media_type="text/plain"),),
    ),
    Operation(
        method="GET",
        path=PATH,
        id="showDescription",
        tag=TAG,
        summary="This document",
        scope=OPEN,
        replies=(Reply(status=200, text="OpenAPI 3.1.", kind=dict[str, Any]),),
    ),
)
