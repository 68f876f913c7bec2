"""Callbacks to the senders behind API keys, as `webhooks` of OpenAPI: requests that this service makes."""

from __future__ import annotations

from typing import Any, Final

from app.domain.callback import TYPES, CallbackBody
from app.http.openapi.schemas import Schemas
from app.http.wire import JSON

KINDS: Final = (CallbackBody,)
_HEADERS: Final = {
    "webhook-id": "The same over all tries: a repetition is known by it.",
    "webhook-timestamp": "When this try was made, Unix seconds.",
    "webhook-signature": "`v1,` and the base64 of an HMAC-SHA256 of `{id}.{timestamp}.{body}`.",
}
_WORDS: Final = ", ".join(f"`{kind}`" for kind in dict.fromkeys(TYPES.values()))
_TEXT: Final = (
    "Signed (Standard Webhooks), to the URL of the API key that sent the event. At least once, in no order. "
    f"`type` is one of {_WORDS}."
)
_EXAMPLE: Final = {
    "type": "notification.failed",
    "timestamp": "2026-11-23T14:27:34.443Z",
    "data": {
        "notification_id": "01a203a7-b81b-7fa3-88a0-d7f956e6663d",
        "delivery_id": "e2114f20-680c-8708-a02b-e13f0c1634a9",
        "channel": "email",
        "event_type": "security_alert",
        "status": "failed",
        "reason": "provider_rejected",
    },
}


def webhooks(schemas: Schemas) -> dict[str, Any]:
    """The document's part."""
    content = {JSON: {"schema": schemas.of(CallbackBody), "example": _EXAMPLE}}
    return {
        "webhooks": {
            "callback": {
                "post": {
                    "operationId": "callback",
                    "tags": ["callbacks"],
                    "summary": "How a delivery ended",
                    "description": _TEXT,
                    "security": [],
                    "parameters": [_header(name, text) for name, text in _HEADERS.items()],
                    "requestBody": {"required": True, "content": content},
                    "responses": {
                        "2XX": {"description": "It is taken."},
                        "410": {"description": "Nothing more is wanted: the URL is disabled."},
                        "default": {"description": "It is tried again."},
                    },
                }
            }
        }
    }


def _header(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
