"""Channel log: a line in the service's log, for development and as the cheapest way through the pipeline."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from app.domain.ports import Message, ProviderTerms, Receipt
from app.domain.trace import trace_of

log = structlog.get_logger(__name__)

#: Lines of one call; a campaign of a million is counted, not listed.
LINES = 10


class LogProvider:
    """Port Provider that cannot fail. A line, with ids only, for each of the first messages of a call."""

    name = "log"
    terms = ProviderTerms()

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s

    def send(self, messages: Sequence[Message], timeout_s: float) -> list[Receipt | Exception]:
        """As the port says."""
        for message in messages[:LINES]:
            ids = {"delivery_id": message.delivery_id, "notification_id": message.notification_id}
            log.info("notification_logged", **ids, **trace_of(message.traceparent))
        if len(messages) > LINES:
            log.info("notifications_logged", more=len(messages) - LINES)
        return [_RECEIPT] * len(messages)

    def check_address(self, address: str) -> str:
        """The user id, as it is."""
        return address

    def breaker_key(self, address: str) -> str:
        """The provider's name."""
        return self.name

    def close(self) -> None:
        """Nothing to give back."""


_RECEIPT = Receipt()
