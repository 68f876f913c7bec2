"""Channel in_app: an entry in the user's inbox."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.errors import StoreUnavailableError, TransientError
from app.domain.outcome import Reason
from app.domain.ports import Inbox, InboxEntry, Message, ProviderTerms, Receipt


class InAppProvider:
    """Port Provider on port Inbox: one call of the inbox for all messages. Repeating is harmless."""

    name = "in_app"
    terms = ProviderTerms()

    def __init__(self, inbox: Inbox, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._inbox = inbox

    def send(self, messages: Sequence[Message], timeout_s: float) -> list[Receipt | Exception]:
        """As the port says: all or none."""
        try:
            self._inbox.add([_entry(message) for message in messages])
        except StoreUnavailableError as error:
            failure = TransientError(Reason.PROVIDER_TRANSIENT, "inbox not available")
            failure.__cause__ = error
            return [failure] * len(messages)
        return [Receipt(provider_id=message.delivery_id) for message in messages]

    def check_address(self, address: str) -> str:
        """The user id, as it is."""
        return address

    def breaker_key(self, address: str) -> str:
        """The provider's name."""
        return self.name

    def close(self) -> None:
        """Nothing of its own to give back."""


def _entry(message: Message) -> InboxEntry:
    return InboxEntry(
        id=message.delivery_id,
        notification_id=message.notification_id,
        user_id=message.user_id,
        event_type=message.event_type,
        category=message.category,
        subject=message.subject,
        body=message.text,
        created_at_ms=message.created_at_ms,
    )
