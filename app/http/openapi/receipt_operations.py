"""The operation that providers call."""

from __future__ import annotations

from typing import Any

from app.http import receipts
from app.http.openapi.operation import Body, Operation, Parameter, Reply
from app.http.problems import INVALID_SIGNATURE, UNAVAILABLE
from app.http.wire import JSON

PROVIDER = Parameter(name="provider", place="path", kind=str, text="Its name in the file of providers.")
CARRIED = (
    Parameter(name="delivery_id", place="query", kind=str, text="Twilio: whose status it is, as the callback has it."),
    Parameter(name="notification_id", place="query", kind=str, text="Twilio: the same of the notification."),
)
SIGNATURES = tuple(
    Parameter(name=name, place="header", kind=str, text=text)
    for name, text in (
        ("X-Twilio-Signature", "Twilio: of the URL and the form."),
        ("svix-id", "Resend: the event's id."),
        ("svix-timestamp", "Resend: when it was posted, Unix seconds."),
        ("svix-signature", "Resend: of the two and the body."),
    )
)

OPERATIONS = (
    Operation(
        method="POST",
        path=receipts.PATH,
        id="takeReceipt",
        tag="receipts",
        summary="Take what a provider reports",
        scope=None,
        text="Called by providers: delivery reports, bounces, complaints, and answers of people (`STOP`, `START`). "
        "Each provider has a signature of its own, which stands for an API key: Twilio's, that of Standard Webhooks "
        "(Resend), that of Amazon SNS within the document (SES). What is known or of no concern is answered with 200. "
        f"At most {receipts.MAX_BYTES} bytes. After a 503 the provider is to come again.",
        parameters=(PROVIDER, *CARRIED, *SIGNATURES),
        body=Body(content={JSON: dict[str, Any], receipts.FORM: dict[str, str], receipts.TEXT: str}),
        replies=(
            Reply(
                status=200,
                text="Taken. Nothing is said, and to a form no reply.",
                kind=str,
                media_type=receipts.TEXT,
                other_media_types=(receipts.XML,),
            ),
        ),
        problems=(INVALID_SIGNATURE, UNAVAILABLE),
    ),
)
