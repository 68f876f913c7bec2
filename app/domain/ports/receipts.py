"""Those who know what a provider posts about messages that it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from app.domain.report import ReceiptRequest, Report


class ReceiptReader(Protocol):
    """Reads what one provider posts. Threads may share it."""

    def read(self, request: ReceiptRequest) -> Sequence[Report]:
        """What is said, once its signature was found right; nothing for what is of no concern here.

        Raises InvalidSignatureError; InvalidInputError for what is signed and not to be read; StoreUnavailableError
        where the signature cannot be checked now.
        """


class ReceiptReaders(Protocol):
    """The readers of all providers that report."""

    def of(self, provider: str) -> ReceiptReader | None:
        """That of the provider of this name; None where there is none that reports. Raises ConfigError."""
