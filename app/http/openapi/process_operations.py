"""The operations on the HTTP process itself."""

from __future__ import annotations

from typing import Any

from app.domain.api_key import Scope
from app.http import docs, metrics
from app.http.health import Health
from app.http.openapi.operation import Operation, Parameter, Reply
from app.http.problems import NOT_FOUND, UNAVAILABLE

PATH = "/openapi.json"
TAG = "process"
#: Asks for no key: a probe has none, and what this API is is no secret.
OPEN = None
ASSET = Parameter(name="asset", place="path", kind=docs.Asset, text="Its name.")
_FIRST, *_OTHERS = docs.MEDIA_TYPES.values()

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
    Operation(
        method="GET",
        path=docs.PATH,
        id="showPage",
        tag=TAG,
        summary="This document as a page, to read and try",
        scope=OPEN,
        replies=(Reply(status=200, text="The page.", kind=str, media_type=docs.HTML),),
    ),
    Operation(
        method="GET",
        path=f"{docs.PATH}/<asset>",
        id="showPageAsset",
        tag=TAG,
        summary="A file of that page",
        scope=OPEN,
        parameters=(ASSET,),
        replies=(Reply(status=200, text="The file.", kind=str, media_type=_FIRST, other_media_types=tuple(_OTHERS)),),
        problems=(NOT_FOUND,),
    ),
)
