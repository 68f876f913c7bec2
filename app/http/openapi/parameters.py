"""Parameters and headers that operations share."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from app.domain.event import UserId
from app.http.idempotency import HEADER, REPLAYED_HEADER
from app.http.openapi.operation import Header, Parameter
from app.http.paging import LIMIT_DEFAULT, LIMIT_MAX
from app.http.request_limit import FIELD, POLICY_FIELD

Uri = Annotated[str, Meta(extra_json_schema={"format": "uri-reference"})]
Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[int, Meta(ge=1)]
# A string in quotes, or its inside: as `app.http.idempotency` reads it.
KeyHeader = Annotated[str, Meta(pattern=r'^("([ !#-\[\]-~]|\\["\\]){1,255}"|[!#-~]([ !#-~]{0,253}[!#-~])?)\Z')]
Limit = Annotated[int, Meta(ge=1, le=LIMIT_MAX)]

NOTIFICATION_ID = Parameter(name="notification_id", place="path", kind=str, text="The id that the 202 gave.")
USER_ID = Parameter(
    name="user_id", place="path", kind=UserId, text="The user's id. One with a slash can be in events, not in a path."
)
ENTRY_ID = Parameter(name="entry_id", place="path", kind=str, text="The entry's id; one that is not there marks none.")
TOKEN = Parameter(name="token", place="path", kind=str, text="The last part of the link in a mail's List-Unsubscribe.")
DEVICE_ID = Parameter(
    name="device_id", place="path", kind=str, text="The device's id; one that is not there removes none."
)

CURSOR = Parameter(name="cursor", place="query", kind=str, text="`next_cursor` of the page before.")
LIMIT = Parameter(name="limit", place="query", kind=Limit, text="Most items of the page.", default=LIMIT_DEFAULT)
UNREAD = Parameter(name="unread", place="query", kind=bool, text="Only what is unread.", default=False)

KEY = Parameter(
    name=HEADER,
    place="header",
    kind=KeyHeader,
    text="A quoted string of 1 to 255 printable ASCII characters; the quotes may be left out. "
    "The same request with the same key is accepted once within 24 h and answered alike.",
    example='"order-7-shipped"',
)

REPLAYED = Header(
    name=REPLAYED_HEADER,
    kind=Count,
    text="How many of the accepted events had been accepted before, by their keys; not sent where none had.",
    is_required=False,
)
LOCATION = Header(name="Location", kind=Uri, text="Where the notification is found.")
RETRY_AFTER = Header(name="Retry-After", kind=Seconds, text="Seconds to wait before the request is repeated.")
CHALLENGE = Header(name="WWW-Authenticate", kind=str, text="`Bearer`, with what is wrong with the key (RFC 6750).")
RATE_LIMIT_POLICY = Header(
    name=POLICY_FIELD,
    kind=str,
    text="The key's request limit, where it has one: `q` requests in `w` seconds.",
    is_required=False,
)
RATE_LIMIT = Header(
    name=FIELD,
    kind=str,
    text="Where the key has a request limit: `r` requests are left; `t` seconds until the next may go if none is, "
    "otherwise until all may.",
    is_required=False,
)
ITEMS_RETRY_AFTER = Header(
    name=RETRY_AFTER.name,
    kind=Seconds,
    text="Seconds to wait before items with a `retry_after_s` are repeated, where there are any.",
    is_required=False,
)
