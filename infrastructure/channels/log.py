"""Channel log: a line in the service's log, for development and as the cheapest way through the pipeline."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from app.domain.ports import Message, Receipt

log = structlog.get_logger(__name__)


class LogProvider:
    """Port Provider that cannot fail. One line for all messages of a call, with ids only."""

    name = "log"

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s

    def send(self, messages: Sequence[Message], timeout_s: float) -> list[Receipt | Exception]:
        """As the port says."""
        log.info(
            "notifications.logged", count=len(messages), delivery_ids=[message.delivery_id for message in messages]
        )
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
