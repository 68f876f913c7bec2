"""What providers report of messages that they took, and what people answer: STOP and START."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from app.domain.errors import NotifyError

#: Where reports are taken, in front of the provider's name in the file of providers.
PATH: Final = "/api/v1/receipts/"


class ReportKind(StrEnum):
    """What is reported. REFUSED: the message or its sender is to blame, and not the address."""

    DELIVERED = "delivered"
    HARD_BOUNCE = "hard_bounce"
    SOFT_BOUNCE = "soft_bounce"
    REFUSED = "refused"
    COMPLAINT = "complaint"
    STOP = "stop"
    START = "start"


class InvalidSignatureError(NotifyError):
    """What came is not signed by the provider, or not for us."""


class ReceiptRequest(Struct, frozen=True, kw_only=True):
    """What was posted. `query` as it stands in the URL; names of headers in lower case."""

    query: str
    headers: Mapping[str, str]
    body: bytes


class Report(Struct, frozen=True, kw_only=True):
    """One thing that a provider says. The ids are those that the message carried; empty: it is none of ours.

    `key_id` is empty where nobody is to be told. `address` is in the channel's normal form, empty where it is not told;
    `provider_id` is the provider's id of the message; `detail` is safe to store. `at_ms` is the provider's time (Unix
    milliseconds).
    """

    kind: ReportKind
    channel: str
    at_ms: int
    address: str = ""
    notification_id: str = ""
    delivery_id: str = ""
    key_id: str = ""
    provider_id: str = ""
    detail: str = ""
