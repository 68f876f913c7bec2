"""What push services' answers mean (RFC 8030; RFC 8292, section 2). Their bodies differ, and are not read."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from app.domain.errors import DeadAddressError, DeliveryError, ThrottledError, TransientError
from app.domain.outcome import Reason
from infrastructure.channels.http_answer import judge
from infrastructure.channels.http_client import HttpAnswer

#: How long a subscription is left alone that got too much, where the push service does not say how long.
_WAIT_S: Final = 60.0
_GONE: Final = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
_WHO_WE_ARE: Final = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


def refusal_of(answer: HttpAnswer, *, longest_wait_s: float) -> DeliveryError | None:
    """None for success."""
    by_status = judge(answer.status, answer.headers, longest_wait_s=longest_wait_s)
    detail = f"HTTP {answer.status}"
    if answer.status in _GONE:
        return DeadAddressError(Reason.UNREGISTERED, detail)
    if answer.status in _WHO_WE_ARE:
        # Our settings, or a subscription made with another key: no status tells the two apart, so none is removed.
        why = f"{detail}: the VAPID key is refused, or is not the one of the subscription"
        return TransientError(Reason.PROVIDER_TRANSIENT, why, is_about_address=True)
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        wait_s = by_status.retry_after_s if isinstance(by_status, ThrottledError) else min(_WAIT_S, longest_wait_s)
        return ThrottledError(Reason.PROVIDER_THROTTLED, detail, retry_after_s=wait_s, is_about_address=True)
    return by_status
