"""What the providers that take one message at a time share: the deadline, and errors as results."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import structlog

from app.domain.errors import DeliveryError, InDoubtError
from app.domain.outcome import Reason
from app.domain.ports import Message, ProviderTerms, Receipt
from app.domain.trace import trace_of
from infrastructure.channels.timed_socket import Deadline

log = structlog.get_logger(__name__)


class OneByOneProvider(ABC):
    """Half of port Provider: `send` in terms of `hand_over`."""

    name: str
    terms = ProviderTerms()

    def send(self, messages: Sequence[Message], timeout_s: float) -> list[Receipt | Exception]:
        """As the port says; the time-out is for all the messages together."""
        deadline = Deadline(timeout_s)
        return [self._result(message, deadline) for message in messages]

    @abstractmethod
    def hand_over(self, message: Message, deadline: Deadline) -> Receipt:
        """Hand one message over. Raises DeliveryError."""

    def _result(self, message: Message, deadline: Deadline) -> Receipt | Exception:
        try:
            deadline.remaining_s()
            return self.hand_over(message, deadline)
        except DeliveryError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the port raises nothing; how far the call got is not known
            # TRY400: a traceback could quote the message
            ids = {"notification_id": message.notification_id, "delivery_id": message.delivery_id}
            ids |= trace_of(message.traceparent)
            log.error("provider.unexpected_error", provider=self.name, error=type(error).__name__, **ids)  # noqa: TRY400
            return InDoubtError(Reason.IN_DOUBT, type(error).__name__)
