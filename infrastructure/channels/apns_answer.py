"""What APNs' answers mean.

https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns
An error is told by HTTP status and by `reason` in the body.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import Struct

from app.domain.errors import DeadAddressError, DeliveryError, PermanentError, ThrottledError, TransientError
from app.domain.outcome import Reason
from infrastructure.channels.http_answer import judge_api
from infrastructure.channels.http_client import HttpAnswer

#: How long a device is left alone that got too much, where Apple does not say how long.
_DEVICE_WAIT_S: Final = 60.0
_MAX_REASON: Final = 64

_STALE_TOKEN: Final = frozenset({"ExpiredProviderToken", "InvalidProviderToken"})
_DEAD: Final = frozenset({"Unregistered", "ExpiredToken"})
#: About the device, but for a topic or environment that is set wrong: then all devices would be removed for nothing.
_ABOUT_DEVICE: Final[Mapping[str, tuple[Reason, str]]] = {
    "BadDeviceToken": (Reason.INVALID_ADDRESS, "no token, or one of the other environment"),
    "DeviceTokenNotForTopic": (Reason.PROVIDER_REJECTED, "the token is of another app than the topic"),
}
#: About the settings or the account: they may be mended, and another provider may be better off.
_ABOUT_US: Final = frozenset(
    {
        "BadTopic",
        "MissingTopic",
        "TopicDisallowed",
        "IdleTimeout",
        "TooManyProviderTokenUpdates",
    }
)


class _Body(Struct, frozen=True):
    reason: str = ""


def is_stale_token(answer: HttpAnswer) -> bool:
    """Whether the provider token is refused, as it is after an hour."""
    return answer.status == HTTPStatus.FORBIDDEN and _reason(answer) in _STALE_TOKEN


def refusal_of(answer: HttpAnswer, *, longest_wait_s: float) -> DeliveryError | None:
    """None for success. What is about the account, and may be mended, fails no delivery."""
    by_status = judge_api(answer.status, answer.headers, longest_wait_s=longest_wait_s)
    if by_status is None:
        return None
    reason = _reason(answer)
    detail = f"HTTP {answer.status}, {reason}" if reason else f"HTTP {answer.status}"
    if reason in _DEAD or answer.status == HTTPStatus.GONE:
        return DeadAddressError(Reason.UNREGISTERED, detail)
    if reason in _ABOUT_DEVICE:
        code, why = _ABOUT_DEVICE[reason]
        return PermanentError(code, f"{detail}: {why}")
    if reason in _ABOUT_US:
        return TransientError(Reason.PROVIDER_TRANSIENT, f"{detail}: account or settings")
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return _throttled(by_status, detail, longest_wait_s)
    by_status.detail = detail
    return by_status


def _throttled(by_status: DeliveryError, detail: str, longest_wait_s: float) -> ThrottledError:
    """Apple counts by device: the others are served as before."""
    wait_s = by_status.retry_after_s if isinstance(by_status, ThrottledError) else min(_DEVICE_WAIT_S, longest_wait_s)
    return ThrottledError(Reason.PROVIDER_THROTTLED, detail, retry_after_s=wait_s, is_about_address=True)


def _reason(answer: HttpAnswer) -> str:
    """The reason told in the body; empty where it is not Apple's."""
    try:
        reason = msgspec.json.decode(answer.body, type=_Body).reason
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return reason if reason.isascii() and reason.isalnum() and len(reason) <= _MAX_REASON else ""
