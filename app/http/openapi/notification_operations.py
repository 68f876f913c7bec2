"""The operations on notifications: events in, and what became of them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from app.domain.api_key import Scope
from app.domain.channel import CHANNELS
from app.domain.event import MAX_EVENT_BYTES, Event
from app.domain.event_rules import MAX_AHEAD_DAYS, BatchItem
from app.http.cancellations import TooLateProblem
from app.http.cancelling import Cancellation
from app.http.idempotency import HEADER, Accepted
from app.http.notification_view import NotificationView
from app.http.notifications import MAX_BATCH_BYTES, MAX_BATCH_EVENTS, PATH, BatchAnswers
from app.http.openapi import examples
from app.http.openapi.links import user_links
from app.http.openapi.operation import Body, Link, Operation, Reply
from app.http.openapi.parameters import (
    CURSOR,
    ITEMS_RETRY_AFTER,
    KEY,
    LIMIT,
    LOCATION,
    NOTIFICATION_ID,
    REPLAYED,
    USER_ID,
)
from app.http.problems import (
    CONTENT_TYPE,
    INVALID,
    INVALID_KEY,
    KEY_REUSED,
    KEY_RUNNING,
    NOT_FOUND,
    TOPIC_FULL,
    UNAVAILABLE,
)
from app.http.user_notifications import PATH as USER_PATH
from app.http.user_notifications import NotificationPage
from app.http.wire import JSON, NDJSON

TAG = "notifications"
BY_ID_PATH = f"{PATH}/<notification_id>"
Events = Annotated[list[BatchItem], Meta(min_length=1, max_length=MAX_BATCH_EVENTS)]

OPERATIONS = (
    Operation(
        method="POST",
        path=PATH,
        id="acceptEvent",
        tag=TAG,
        summary="Accept an event",
        scope=Scope.SEND,
        text=f"At most {MAX_EVENT_BYTES} bytes. The 202 comes once Kafka has acknowledged the event. After a 503 of "
        f"type `unavailable` it may still have landed: repeat it with the same {HEADER}. "
        f"The channels are {', '.join(spec.name for spec in CHANNELS)}. "
        f"`options.send_at` may be up to {MAX_AHEAD_DAYS} days ahead; it is parked until then.",
        parameters=(KEY,),
        body=Body(content={JSON: Event}, example=examples.EVENT),
        replies=(
            Reply(
                status=202,
                text="Accepted.",
                kind=Accepted,
                headers=(LOCATION,),
                links=(
                    Link(path=BY_ID_PATH, parameter="notification_id", value="$response.body#/id"),
                    *user_links("$request.body#/user_id"),
                ),
                example=examples.ACCEPTED,
            ),
        ),
        problems=(INVALID_KEY, KEY_RUNNING, KEY_REUSED, TOPIC_FULL, UNAVAILABLE),
    ),
    Operation(
        method="POST",
        path=f"{PATH}/batch",
        id="acceptBatch",
        tag=TAG,
        summary="Accept many events",
        scope=Scope.SEND,
        text=f"Up to {MAX_BATCH_EVENTS} events in at most {MAX_BATCH_BYTES} bytes; refused ones leave the others. "
        f"An item without `idempotency_key` gets one made of the request's {HEADER}, if it has one, and its place.",
        parameters=(KEY,),
        body=Body(
            content={JSON: Events} | dict.fromkeys(NDJSON, str),
            example=examples.BATCH,
            text="NDJSON has one `BatchItem` on each line.",
        ),
        replies=(
            Reply(
                status=202,
                text="All are accepted.",
                kind=BatchAnswers,
                headers=(REPLAYED,),
                links=(Link(path=BY_ID_PATH, parameter="notification_id", value="$response.body#/items/0/id"),),
            ),
            Reply(
                status=207,
                text="At least one was rejected; its problem has the status it would have had alone.",
                kind=BatchAnswers,
                headers=(ITEMS_RETRY_AFTER, REPLAYED),
            ),
        ),
        problems=(INVALID_KEY,),
    ),
    Operation(
        method="GET",
        path=BY_ID_PATH,
        id="showNotification",
        tag=TAG,
        summary="Show a notification with its deliveries and their outcomes",
        scope=Scope.READ,
        parameters=(NOTIFICATION_ID,),
        replies=(Reply(status=200, text="What is known; `accepted` right after the 202.", kind=NotificationView),),
        problems=(NOT_FOUND, UNAVAILABLE),
    ),
    Operation(
        method="DELETE",
        path=f"{PATH}/<notification_id>",
        id="cancelNotification",
        tag=TAG,
        summary="Cancel what is not sent yet",
        scope=Scope.SEND,
        text="Once this is answered no provider call begins for the notification. Repeating it is harmless, and tells "
        "what was pending. After a 503 nothing is promised.",
        parameters=(NOTIFICATION_ID,),
        replies=(
            Reply(status=200, text="All deliveries have ended, at least one by being cancelled.", kind=Cancellation),
            Reply(status=202, text="Some deliveries cannot be told of yet (`pending`).", kind=Cancellation),
            Reply(status=409, text="All deliveries had ended.", kind=TooLateProblem, media_type=CONTENT_TYPE),
        ),
        problems=(NOT_FOUND, UNAVAILABLE),
    ),
    Operation(
        method="GET",
        path=USER_PATH,
        id="listNotifications",
        tag=TAG,
        summary="List what a user was sent, newest first",
        scope=Scope.READ,
        parameters=(USER_ID, LIMIT, CURSOR),
        replies=(Reply(status=200, text="A page; empty for a user without any.", kind=NotificationPage),),
        problems=(INVALID, UNAVAILABLE),
    ),
)
