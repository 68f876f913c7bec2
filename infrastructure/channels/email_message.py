"""A message as MIME (RFC 5322, RFC 2045)."""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from app.domain.errors import PermanentError
from app.domain.outcome import Reason
from app.domain.ports import Message
from infrastructure.channels.header_value import header_value

_POLICY = SMTP.clone(cte_type="7bit")  # nothing that needs 8BITMIME, which not every relay on the way speaks


def build_email(message: Message, sender: str, domain: str) -> bytes:
    """The mail's bytes. The Message-ID is the same over all tries of a delivery.

    Raises PermanentError (invalid_content) for a header value that could end its line, or text that cannot be encoded.
    """
    headers = {
        "From": sender,
        "To": message.address,
        "Subject": message.subject,
        "Date": format_datetime(datetime.fromtimestamp(message.created_at_ms / 1000, UTC)),
        "Message-ID": f"<{message.delivery_id}@{domain}>",
    }
    mail = EmailMessage(policy=_POLICY)
    try:
        for name, value in headers.items():
            mail[name] = header_value(value, name)
        mail.set_content(message.text)
        if message.html:
            mail.add_alternative(message.html, subtype="html")
        # The email package would fold a long link, which is then none (RFC 2047 words are not for structured headers).
        own = "".join(f"{name}: {header_value(value, name)}\r\n" for name, value in own_headers(message).items())
        return own.encode("ascii") + mail.as_bytes()
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # what the email package raises for bad input
        raise PermanentError(Reason.INVALID_CONTENT, f"not to be written as mail: {type(error).__name__}") from error


def own_headers(message: Message) -> dict[str, str]:
    """The headers, in ASCII, that a mail of ours has beside those that every mail has."""
    headers = {"Auto-Submitted": "auto-generated"}  # RFC 3834: no answer by machine, please
    if message.unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
    return headers
