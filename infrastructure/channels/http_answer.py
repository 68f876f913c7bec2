"""What an HTTP answer means for the delivery, by its status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from app.domain.errors import DeliveryError, PermanentError, ThrottledError, TransientError
from app.domain.outcome import Reason

_TRY_LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_SHORTEST_WAIT_S = 1.0
_ABOUT_US = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
}


def judge(status: int, headers: Mapping[str, str], *, longest_wait_s: float) -> DeliveryError | None:
    """None for success, which is 2xx alone; redirects are not followed, so they count as a refusal."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    detail = f"HTTP {status}"
    if status not in _TRY_LATER and status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return PermanentError(Reason.PROVIDER_REJECTED, detail)
    wait_s = _retry_after_s(headers.get("retry-after", ""))
    if wait_s is None:
        return TransientError(Reason.PROVIDER_TRANSIENT, detail)
    wait_s = min(max(wait_s, _SHORTEST_WAIT_S), longest_wait_s)
    return ThrottledError(Reason.PROVIDER_THROTTLED, detail, retry_after_s=wait_s)


def judge_api(status: int, headers: Mapping[str, str], *, longest_wait_s: float) -> DeliveryError | None:
    """The same for a provider's API, where some answers are about the account or the URL, and not about the message.

    Those may be mended, and another provider may be better off: no delivery is failed for them.
    """
    if status in _ABOUT_US or HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return TransientError(Reason.PROVIDER_TRANSIENT, f"HTTP {status}: account or URL")
    return judge(status, headers, longest_wait_s=longest_wait_s)


def _retry_after_s(value: str) -> float | None:
    """RFC 9110 section 10.2.3: seconds or a date; None for neither."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
