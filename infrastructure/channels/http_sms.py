"""SMS by any gateway that takes a POST, as the file of providers describes it."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any
from urllib.parse import urlencode

from app.domain.codec import encode
from app.domain.errors import ConfigError
from app.domain.ports import Message, Receipt
from app.domain.provider_file import HttpSmsEntry
from app.settings import Settings
from infrastructure.channels.api_provider import SmsApiProvider, answer_field, api_target
from infrastructure.channels.header_value import header_value
from infrastructure.channels.http_answer import judge_api
from infrastructure.channels.sms_text import sms_text
from infrastructure.channels.timed_socket import Deadline

_TYPES = {"json": "application/json", "form": "application/x-www-form-urlencoded"}
_NOTHING = {"to": "", "text": "", "delivery_id": ""}


class HttpSmsProvider(SmsApiProvider):
    """Port Provider. 2xx is a yes; other statuses are judged as a webhook's are."""

    def __init__(
        self,
        entry: HttpSmsEntry,
        url: str,
        secrets: Mapping[str, str],
        settings: Settings,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`secrets` are the headers that the file leaves to the environment or to other files.

        Raises ConfigError for a URL that is none, and for fields or headers that cannot be filled.
        """
        super().__init__(entry, settings, tls)
        self._target = api_target(url, entry.name)
        self._secrets = {**secrets, "Content-Type": _TYPES[entry.format]}
        self._headers = {name: value for name, value in entry.headers.items() if isinstance(value, str)}
        self._entry = entry
        try:
            _check_places([*entry.fields.values(), *self._headers.values()])
            self._body(_NOTHING)
        except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
            raise ConfigError(
                f"provider {entry.name}: fields and headers may have {{to}}, {{text}}, {{delivery_id}}; each field once"
            ) from error

    def hand_over(self, message: Message, deadline: Deadline) -> Receipt:
        """One POST. Raises DeliveryError."""
        number, text = self.check_address(message.address), sms_text(message)
        given = {"to": number, "text": text, "delivery_id": message.delivery_id}
        headers = {name: header_value(value.format_map(given), name) for name, value in self._headers.items()}
        answer = self.client.post(self._target, self._body(given), headers | self._secrets, deadline)
        refusal = judge_api(answer.status, answer.headers, longest_wait_s=self.longest_wait_s)
        if refusal is not None:
            raise refusal
        return Receipt(provider_id=answer_field(answer.body, self._entry.id_field) if self._entry.id_field else "")

    def _body(self, given: Mapping[str, str]) -> bytes:
        fields = {name: text.format_map(given) for name, text in self._entry.fields.items()}
        return encode(_nested(fields)) if self._entry.format == "json" else urlencode(fields).encode()


def _check_places(texts: Iterable[str]) -> None:
    """Raises KeyError: a place is a name, and no way into what it stands for."""
    for text in texts:
        for _, name, _, _ in Formatter().parse(text):
            if name is not None and name not in _NOTHING:
                raise KeyError(name)


def _nested(fields: Mapping[str, str]) -> dict[str, Any]:
    """`{"a.b": "x"}` as `{"a": {"b": "x"}}`. Raises TypeError where a name is a text and an object at once."""
    made: dict[str, Any] = {}
    for name, value in fields.items():
        *folders, last = name.split(".")
        place = made
        for folder in folders:
            place = place.setdefault(folder, {})
        if not isinstance(place, dict) or last in place:
            raise TypeError(name)
        place[last] = value
    return made
