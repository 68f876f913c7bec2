"""The requests of one message to a chat, sent by our HTTP client, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from msgspec import Struct

from app.domain.errors import DeliveryError, InDoubtError, PermanentError, TransientError
from app.domain.outcome import Reason
from infrastructure.channels.api_provider import answer_field
from infrastructure.channels.email_api import error_word
from infrastructure.channels.http_answer import judge
from infrastructure.channels.http_client import HttpAnswer, HttpClient, Request
from infrastructure.channels.ssrf import Target
from infrastructure.channels.timed_socket import Deadline

#: Slack's names for errors that pass (https://docs.slack.dev/reference/methods/chat.postMessage#errors).
_PASSING: Final = {
    "fatal_error",
    "internal_error",
    "ratelimited",
    "rate_limited",
    "request_timeout",
    "service_unavailable",
}
#: Where services say in the body how long to wait: Telegram, Discord.
_WAITS: Final = ("parameters.retry_after", "retry_after")


class _Said(Struct, frozen=True):
    """What Slack and Telegram say of a request in the body, whatever the status."""

    ok: Any = None
    error: Any = ""


class Exchange:
    """Sends what the library asks for, one request after the other, and keeps in mind what was answered.

    After an error, or where the service asks to wait, nothing more is sent.
    """

    def __init__(self, client: HttpClient, deadline: Deadline, longest_wait_s: float) -> None:
        self._client = client
        self._deadline = deadline
        self._longest_wait_s = longest_wait_s
        self._answers: list[tuple[str, HttpAnswer]] = []
        self._error: DeliveryError | None = None

    @property
    def has_answers(self) -> bool:
        """Whether anything was asked of anybody, and answered."""
        return bool(self._answers)

    def send(self, url: str, request: Request) -> HttpAnswer:
        """One request to whatever URL, within the call's time. Raises DeliveryError."""
        if self._error is not None:
            raise self._error
        try:
            answer = self._client.request(request, Target.parse(url), self._deadline)
        except DeliveryError as error:
            self._error = error
            raise
        self._answers.append((request.method, answer))
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            self._error = self._meaning(answer)
        return answer

    def refusal(self) -> DeliveryError:
        """What it comes to that the library does not say yes.

        It says no more than that, so it goes by the last answer; where an earlier request was taken, nobody knows
        whether the message was, in part.
        """
        if self._error is None and not self._answers:
            return PermanentError(Reason.PROVIDER_REJECTED, "refused before anything was sent")
        error = self._error if self._error is not None else self._meaning(self._answers[-1][1])
        earlier = self._answers if self._error is not None else self._answers[:-1]
        if any(method != "GET" and _is_good(answer) for method, answer in earlier):
            return InDoubtError(Reason.IN_DOUBT, f"after a request that was taken: {error.detail}")
        return error

    def _meaning(self, answer: HttpAnswer) -> DeliveryError:
        refusal = judge(answer.status, _with_wait(answer), longest_wait_s=self._longest_wait_s)
        if refusal is not None:
            return refusal
        said, detail = _said(answer), f"HTTP {answer.status}"
        if said.ok is not False:
            return InDoubtError(Reason.IN_DOUBT, f"{detail}, and not taken for a yes")
        word = error_word(str(said.error))
        if word in _PASSING:
            return TransientError(Reason.PROVIDER_TRANSIENT, f"{detail}, {word}")
        return PermanentError(Reason.PROVIDER_REJECTED, f"{detail}, {word or 'not ok'}")


def _is_good(answer: HttpAnswer) -> bool:
    return HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES


def _said(answer: HttpAnswer) -> _Said:
    try:
        return msgspec.json.decode(answer.body, type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Said()


def _with_wait(answer: HttpAnswer) -> Mapping[str, str]:
    """Its headers, with what stands for Retry-After where there is none."""
    if answer.headers.get("retry-after"):
        return answer.headers
    wait = next(filter(None, (answer_field(answer.body, path) for path in _WAITS)), "")
    return {"retry-after": wait}
