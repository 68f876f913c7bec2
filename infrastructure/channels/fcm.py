"""Push by Firebase Cloud Messaging, HTTP v1.

Protocol: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send
"""

from __future__ import annotations

import re
import ssl

from msgspec import structs

from app.domain.codec import encode
from app.domain.errors import ConfigError, PermanentError
from app.domain.outcome import Reason
from app.domain.ports import Message, Receipt
from app.domain.provider_file import FcmEntry
from app.settings import Settings
from infrastructure.channels.api_provider import ApiProvider, answer_field, api_target
from infrastructure.channels.fcm_answer import is_stale_access, refusal_of
from infrastructure.channels.fcm_message import fcm_message
from infrastructure.channels.google_token import AccessTokens, read_account
from infrastructure.channels.http_client import HttpAnswer
from infrastructure.channels.timed_socket import Deadline

_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_TOKEN = re.compile(r"[!-~]{1,4096}")


class FcmProvider(ApiProvider):
    """Port Provider. An address is a registration token; the receipt's id is the message's name at FCM."""

    def __init__(
        self, entry: FcmEntry, service_account: str, settings: Settings, tls: ssl.SSLContext | None = None
    ) -> None:
        """Raises ConfigError for a URL that is none, and for a service account that cannot sign or has no project."""
        super().__init__(entry, settings, tls)
        self.terms = structs.replace(self.terms, platforms=("fcm",))
        account = read_account(service_account, entry.name)
        project = entry.project_id or account.project_id
        if not project:
            raise ConfigError(f"provider {entry.name}: project_id is neither set nor in the service account")
        self._target = structs.replace(api_target(entry.url, entry.name), path=f"/v1/projects/{project}/messages:send")
        token_target = api_target(account.token_uri, entry.name)
        try:
            self._access = AccessTokens(account, _SCOPE, token_target, self.client)
        except ConfigError as error:
            raise ConfigError(f"provider {entry.name}: {error}") from error

    def hand_over(self, message: Message, deadline: Deadline) -> Receipt:
        """One POST; a second one where the access token had come to its end. Raises DeliveryError."""
        message = structs.replace(message, address=self.check_address(message.address))
        body = encode(fcm_message(message))
        access = self._access.value(deadline)
        answer = self._post(body, access, deadline)
        if is_stale_access(answer):
            self._access.refuse(access)
            answer = self._post(body, self._access.value(deadline), deadline)
        refusal = refusal_of(answer, longest_wait_s=self.longest_wait_s)
        if refusal is not None:
            raise refusal
        return Receipt(provider_id=answer_field(answer.body, "name"))

    def check_address(self, address: str) -> str:
        """The token as it is. Raises PermanentError (invalid_address). Asks nobody."""
        if not _TOKEN.fullmatch(address):
            raise PermanentError(Reason.INVALID_ADDRESS, "no FCM registration token")
        return address

    def _post(self, body: bytes, access: str, deadline: Deadline) -> HttpAnswer:
        headers = {"Authorization": f"Bearer {access}", "Content-Type": "application/json; charset=UTF-8"}
        return self.client.post(self._target, body, headers, deadline)
