"""What of a rendered message an SMS says."""

from __future__ import annotations

from app.domain.errors import PermanentError
from app.domain.outcome import Reason
from app.domain.ports import Message
from app.domain.sms_segments import said

#: Ten concatenated segments of GSM-7; gateways refuse more.
LONGEST = 1530


def sms_text(message: Message) -> str:
    """The text, or the subject where there is none. Raises PermanentError (invalid_content): nothing, or too much."""
    text = said(message.text, message.subject)
    if not text:
        raise PermanentError(Reason.INVALID_CONTENT, "an SMS needs a text")
    if len(text) > LONGEST:
        raise PermanentError(Reason.INVALID_CONTENT, f"{len(text)} characters are more than an SMS may have")
    return text
