"""The tree of errors. The type decides what happens: adapters wrap what their library raises, with the cause kept."""

from __future__ import annotations


class NotifyError(Exception):
    """Root of all errors of this service."""


class ConfigError(NotifyError):
    """A setting or a file that is wrong; names the setting, or file and line."""


class StoreUnavailableError(NotifyError):
    """A store (Kafka, Redis, SQL, history) did not answer, or not in time. What was asked may still have happened."""


class HalfStoredError(StoreUnavailableError):
    """A change is stored, but copies of what was before may be left: it is to be repeated, which is harmless."""


class TopicFullError(StoreUnavailableError):
    """The broker could drop unread records if more were written now. Nothing was written."""

    def __init__(self, topic: str, retry_after_s: float = 1.0) -> None:
        super().__init__(f"{topic} is full")
        self.topic = topic
        self.retry_after_s = retry_after_s


class UndecodableError(NotifyError):
    """A record that is not what its topic carries."""


class DeliveryError(NotifyError):
    """A provider call that did not succeed. `reason` is a code of the reason catalogue, `detail` safe to store.

    `is_about_address`: only this address fares so; the provider does well, and its breaker and health are told so.
    """

    def __init__(self, reason: str, detail: str = "", *, is_about_address: bool = False) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.is_about_address = is_about_address


class TransientError(DeliveryError):
    """May succeed later: parked with backoff. Nothing was handed over."""


class ProviderTimeoutError(TransientError):
    """Transient, and slow: weighs more with the breaker. Nothing was handed over."""


class ThrottledError(DeliveryError):
    """The provider asked to wait `retry_after_s` seconds."""

    def __init__(self, reason: str, detail: str = "", *, retry_after_s: float, is_about_address: bool = False) -> None:
        super().__init__(reason, detail, is_about_address=is_about_address)
        self.retry_after_s = retry_after_s


class PermanentError(DeliveryError):
    """Will never succeed: failed at once. It is about the message or the address, never about the provider."""


class DeadAddressError(PermanentError):
    """Nothing will ever reach this address again: it is to be removed from where it is stored."""


class InDoubtError(DeliveryError):
    """Handed over, but the answer never came: the event type decides between sending again and `unknown`."""
