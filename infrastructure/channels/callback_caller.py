"""Callbacks to senders: a signed POST (Standard Webhooks) over https to the URL of an API key."""

from __future__ import annotations

import ssl
import time
from http import HTTPStatus

import structlog

from app.domain.callback import Callback, CallbackReceiver, signing_secret
from app.domain.errors import DeadAddressError, DeliveryError, InDoubtError, PermanentError
from app.domain.outcome import Reason
from app.settings import Settings
from infrastructure.channels.guarded_post import GuardedPost
from infrastructure.channels.http_answer import judge
from infrastructure.channels.ssrf import Target
from infrastructure.channels.timed_socket import Deadline
from infrastructure.channels.webhook_signature import WebhookSigner

log = structlog.get_logger(__name__)


class HttpCallbackCaller:
    """The port `CallbackCaller`. Receivers know a repetition by `webhook-id`, the callback's id."""

    def __init__(self, settings: Settings, secret: bytes, tls: ssl.SSLContext | None = None) -> None:
        """`secret` is the service's; `tls` replaces the system's certificate authorities. Raises ConfigError."""
        self._secret = secret
        self._timeout_s = settings.callback_timeout_s
        self._longest_wait_s = settings.retry_cap_s
        self._post = GuardedPost(settings, tls)

    def check_url(self, url: str) -> str:
        """See `app.domain.ports.CallbackCaller`."""
        return self._target(url).url

    def call(self, receiver: CallbackReceiver, callback: Callback) -> DeliveryError | None:
        """See `app.domain.ports.CallbackCaller`. 2xx alone is taken; redirects are not followed."""
        try:
            return self._call(receiver, callback)
        except DeliveryError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the port raises nothing; how far the call got is not known
            # TRY400: a traceback could quote the URL
            log.error("callback_unexpected_error", key=receiver.key_id, error=type(error).__name__)  # noqa: TRY400
            return InDoubtError(Reason.IN_DOUBT, type(error).__name__)

    def close(self) -> None:
        """Close the kept connections."""
        self._post.close()

    def _call(self, receiver: CallbackReceiver, callback: Callback) -> DeliveryError | None:
        target = self._target(receiver.url)
        signer = WebhookSigner(signing_secret(receiver, self._secret))
        headers = signer.headers(callback.id, int(time.time()), callback.body)
        headers |= {"Content-Type": "application/json", "User-Agent": "Notify-Callback/1"}
        answer = self._post.send(target, callback.body, headers, Deadline(self._timeout_s))
        if answer.status == HTTPStatus.GONE:
            return DeadAddressError(Reason.PROVIDER_REJECTED, f"HTTP {answer.status}")
        return judge(answer.status, answer.headers, longest_wait_s=self._longest_wait_s)

    def _target(self, url: str) -> Target:
        """Raises PermanentError. What goes over a network is to be encrypted: the guard's own exceptions aside."""
        target = self._post.target(url)
        if target.scheme != "https" and not self._post.guard.allows(target.host):
            raise PermanentError(Reason.FORBIDDEN_ADDRESS, "not https")
        return target
