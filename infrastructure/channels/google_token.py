"""Access tokens of a Google service account: the OAuth 2.0 JWT bearer grant (RFC 7523).

Protocol: https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from urllib.parse import urlencode

import msgspec
from google.auth import crypt, jwt
from msgspec import Struct

from app.domain.errors import ConfigError, DeliveryError, ProviderTimeoutError, TransientError
from app.domain.outcome import Reason
from infrastructure.channels.http_client import HttpAnswer, HttpClient
from infrastructure.channels.ssrf import Target
from infrastructure.channels.timed_socket import Deadline, timed_out

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_HEADERS = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
#: How long an assertion is good for: the longest that Google takes.
_ASSERTION_S = 3600
#: A token is renewed this long before its end, by one thread, while the others go on with it ...
_EARLY_S = 300.0
#: ... and used no more this long before it, since a call takes its time.
_MARGIN_S = 15.0
#: Those who waited for a renewal that failed are not to try again one after the other.
_FAILURE_S = 1.0


class ServiceAccount(Struct, frozen=True, kw_only=True):
    """The parts of a service account's key file that are used."""

    client_email: str
    private_key: str
    private_key_id: str = ""
    project_id: str = ""
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - a URL


class _Answer(Struct, frozen=True, kw_only=True):
    access_token: str
    expires_in: float


class _Held(Struct, frozen=True):
    value: str
    until_s: float


class AccessTokens:
    """The token of the moment. Threads may share it."""

    def __init__(
        self,
        account: ServiceAccount,
        scope: str,
        target: Target,
        client: HttpClient,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`target` is the account's `token_uri`. Raises ConfigError for a key that is none."""
        try:
            self._signer = crypt.RSASigner.from_string(account.private_key, account.private_key_id or None)
        except ValueError as error:
            raise ConfigError("the service account's private_key is no RSA key in PEM form") from error
        self._account = account
        self._scope = scope
        self._target = target
        self._client = client
        self._monotonic = monotonic
        self._renewing = threading.Lock()
        self._held: _Held | None = None
        self._failure: DeliveryError | None = None
        self._failed_at_s = 0.0

    def value(self, deadline: Deadline) -> str:
        """A token that is good for the next seconds. Raises TransientError, ProviderTimeoutError."""
        held = self._usable(_EARLY_S)
        if held is not None:
            return held.value
        held = self._usable(_MARGIN_S)
        if held is not None:
            return self._renewed_early(held, deadline)
        if not self._renewing.acquire(timeout=deadline.remaining_s()):
            raise timed_out("waiting for the access token")
        try:
            held = self._usable(_MARGIN_S)
            return held.value if held is not None else self._renew(deadline)
        finally:
            self._renewing.release()

    def refuse(self, value: str) -> None:
        """It was not taken: the next call gets a new one, unless there is one already."""
        held = self._held
        if held is not None and held.value == value:
            self._held = None

    def _usable(self, left_s: float) -> _Held | None:
        held = self._held
        return held if held is not None and held.until_s - left_s > self._monotonic() else None

    def _renewed_early(self, held: _Held, deadline: Deadline) -> str:
        """A new one, where nobody is at it and it can be had; else the one that is held, which is still good."""
        if not self._renewing.acquire(blocking=False):
            return held.value
        try:
            return self._renew(deadline)
        except DeliveryError:
            return held.value
        finally:
            self._renewing.release()

    def _renew(self, deadline: Deadline) -> str:
        if self._failure is not None and self._monotonic() - self._failed_at_s < _FAILURE_S:
            raise self._failure
        try:
            answer = self._asked(deadline)
        except DeliveryError as error:
            self._failure, self._failed_at_s = error, self._monotonic()
            raise
        self._failure = None
        self._held = _Held(answer.access_token, self._monotonic() + answer.expires_in)
        return answer.access_token

    def _asked(self, deadline: Deadline) -> _Answer:
        fields = {"grant_type": _GRANT, "assertion": self._assertion()}
        try:
            answer = self._client.post(self._target, urlencode(fields).encode(), dict(_HEADERS), deadline)
        except ProviderTimeoutError:
            raise
        except DeliveryError as error:  # nothing was handed over but the wish for a token
            raise TransientError(Reason.PROVIDER_TRANSIENT, f"no access token: {error.detail}") from error
        return _read(answer)

    def _assertion(self) -> str:
        now_s = int(time.time())
        claims = {
            "iss": self._account.client_email,
            "scope": self._scope,
            "aud": self._account.token_uri,
            "iat": now_s,
            "exp": now_s + _ASSERTION_S,
        }
        signed: bytes = jwt.encode(self._signer, claims)
        return signed.decode("ascii")


def read_account(text: str, name: str) -> ServiceAccount:
    """A service account's key file. Raises ConfigError naming the provider; quotes nothing of it."""
    try:
        return msgspec.json.decode(text, type=ServiceAccount)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise ConfigError(f"provider {name}: service_account is no key file (JSON) of a service account") from error


def _read(answer: HttpAnswer) -> _Answer:
    """The grant, or TransientError: whatever is wrong is about the account, and may be mended."""
    try:
        return msgspec.json.decode(answer.body, type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        detail = f"no access token: HTTP {answer.status}"
        raise TransientError(Reason.PROVIDER_TRANSIENT, detail) from error
