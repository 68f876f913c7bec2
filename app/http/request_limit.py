"""The request limit of an API key: 429 beyond it, and what is left of it in the fields of every answer.

The fields are those of draft-ietf-httpapi-ratelimit-headers (-10): `q` requests in `w` seconds, `r` left. `t` is when
the next may go where none is left, otherwise when all may.
"""

from __future__ import annotations

import math

import flask
import structlog

from app.domain.api_key import ApiKey
from app.domain.errors import StoreUnavailableError
from app.domain.ports import Allowance, RequestLimits
from app.domain.rate import Rate
from app.domain.request_limits import LocalRequestLimits
from app.http.problems import RATE_LIMITED, ProblemError

POLICY_FIELD = "RateLimit-Policy"
FIELD = "RateLimit"
POLICY = "key"

log = structlog.get_logger()


class RequestLimit:
    """The store, and doing without it: with Redis away the limit is kept in this process."""

    def __init__(self, store: RequestLimits) -> None:
        self._store = store
        self._local = LocalRequestLimits()
        self._is_away = False

    def take(self, key: ApiKey) -> None:
        """Count the request at hand. Raises ProblemError (429)."""
        if key.limit is None:
            return
        left = self._ask(key.id, key.limit)
        flask.g.rate_limit = key.limit, left
        if not left.is_granted:
            text = f"It may make {key.limit.count} in {key.limit.period_s} s."
            raise ProblemError(RATE_LIMITED.problem(text, retry_after_s=left.wait_s))

    def tell(self, response: flask.Response) -> flask.Response:
        """Add the fields to an answer, if the request was counted."""
        if "rate_limit" in flask.g:
            response.headers.update(fields(*flask.g.rate_limit))
        return response

    def _ask(self, key_id: str, rate: Rate) -> Allowance:
        try:
            left = self._store.ask(key_id, rate)
        except StoreUnavailableError as error:
            self._note(is_away=True, error=str(error))
            return self._local.ask(key_id, rate)
        self._note(is_away=False)
        return left

    def _note(self, *, is_away: bool, error: str = "") -> None:
        """Log that the store went or came back, not every request in between."""
        if is_away != self._is_away:
            self._is_away = is_away
            log.warning("request_limits_away" if is_away else "request_limits_back", error=error)


def fields(rate: Rate, left: Allowance) -> dict[str, str]:
    """The fields of an answer."""
    return {
        POLICY_FIELD: f'"{POLICY}";q={rate.count};w={rate.period_s}',
        FIELD: f'"{POLICY}";r={left.remaining};t={math.ceil(left.wait_s)}',
    }
