"""What FCM's answers mean (https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode).

An error is told three times: by HTTP status, by `error.status` (google.rpc.Code), and, where it is FCM's own, by
`errorCode` among `error.details`. Its `message` may quote the token: it is never read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

import msgspec
from msgspec import Struct

from app.domain.errors import DeadAddressError, DeliveryError, PermanentError, ThrottledError, TransientError
from app.domain.outcome import Reason
from infrastructure.channels.http_answer import judge_api
from infrastructure.channels.http_client import HttpAnswer

#: What Google asks to wait after 429 where it does not say how long.
_QUOTA_WAIT_S = 60.0
_MAX_CODE = 64
#: FCM's own codes that say more than the status does.
_OWN: Mapping[str, Callable[[str], DeliveryError]] = {
    "UNREGISTERED": lambda detail: DeadAddressError(Reason.UNREGISTERED, detail),
    "SENDER_ID_MISMATCH": lambda detail: PermanentError(
        Reason.PROVIDER_REJECTED, f"{detail}: the token is of another project"
    ),
    # FCM itself does well, and Android's devices with it.
    "THIRD_PARTY_AUTH_ERROR": lambda detail: TransientError(
        Reason.PROVIDER_TRANSIENT, f"{detail}: the project's APNs or web push credentials", is_about_address=True
    ),
}


class _Violation(Struct, frozen=True):
    field: str = ""


class _Detail(Struct, frozen=True):
    error_code: str = msgspec.field(default="", name="errorCode")
    violations: list[_Violation] = msgspec.field(default_factory=list, name="fieldViolations")


class _Error(Struct, frozen=True):
    status: str = ""
    details: list[_Detail] = msgspec.field(default_factory=list)

    @property
    def own_code(self) -> str:
        """FCM's own code; empty where Google's front answered."""
        return next((detail.error_code for detail in self.details if detail.error_code), "")

    @property
    def fields(self) -> list[str]:
        """The fields of the request that are wrong."""
        return [violation.field for detail in self.details for violation in detail.violations]


class _Body(Struct, frozen=True):
    error: _Error = _Error()


def is_stale_access(answer: HttpAnswer) -> bool:
    """Whether the access token is refused, as it is after its end."""
    return answer.status == HTTPStatus.UNAUTHORIZED and not _error(answer).own_code


def refusal_of(answer: HttpAnswer, *, longest_wait_s: float) -> DeliveryError | None:
    """None for success. What is about the account, and may be mended, fails no delivery."""
    by_status = judge_api(answer.status, answer.headers, longest_wait_s=longest_wait_s)
    if by_status is None:
        return None
    error = _error(answer)
    code = (error.own_code or error.status)[:_MAX_CODE]
    detail = f"HTTP {answer.status}, {code}" if code.replace("_", "").isalnum() else f"HTTP {answer.status}"
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return _throttled(by_status, detail, longest_wait_s)
    if error.own_code in _OWN:
        return _OWN[error.own_code](detail)
    if answer.status == HTTPStatus.BAD_REQUEST:
        reason = Reason.INVALID_ADDRESS if _is_about_token(error) else Reason.PROVIDER_REJECTED
        return PermanentError(reason, detail)
    by_status.detail = detail
    return by_status


def _is_about_token(error: _Error) -> bool:
    """FCM's own INVALID_ARGUMENT names no field, and is about the token; a field that is named is of the payload."""
    return any(field == "message.token" for field in error.fields) or (bool(error.own_code) and not error.fields)


def _throttled(by_status: DeliveryError, detail: str, longest_wait_s: float) -> ThrottledError:
    wait_s = by_status.retry_after_s if isinstance(by_status, ThrottledError) else min(_QUOTA_WAIT_S, longest_wait_s)
    return ThrottledError(Reason.PROVIDER_THROTTLED, detail, retry_after_s=wait_s)


def _error(answer: HttpAnswer) -> _Error:
    """The error told in the body; an empty one where it is not Google's."""
    try:
        return msgspec.json.decode(answer.body, type=_Body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Error()
