"""Callbacks to senders: who receives them, those that wait, and the call itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from app.domain.callback import Callback, CallbackReceiver
from app.domain.errors import DeliveryError


class CallbackReceivers(Protocol):
    """Where the callbacks of API keys go: one receiver a key at most."""

    def put(self, receiver: CallbackReceiver) -> None:
        """Store it whole, in place of the key's other one. Returning means committed."""

    def list(self) -> list[CallbackReceiver]:
        """All of them, the disabled ones too, by key id."""

    def find(self, key_ids: Collection[str]) -> Mapping[str, CallbackReceiver]:
        """Those of these keys, by key id."""

    def remove(self, key_id: str) -> bool:
        """Remove it; False if there was none. What waits for it is `drop`ped by the bridge."""

    def disable(self, receiver: CallbackReceiver, at_ms: int, why: str) -> bool:
        """Disable it, unless it was changed since it was read, took one, or is disabled already; whether it was."""


class CallbackResult(Struct, frozen=True, kw_only=True):
    """What came of a call. `again_at_ms`: when one that was not taken is tried again; 0: never. `error`: why not."""

    callback: Callback
    is_taken: bool = False
    again_at_ms: int = 0
    error: str = ""


class PendingCallbacks(Protocol):
    """Callbacks that are not taken yet. Whoever takes some over has them until a time; then they are due again."""

    def add(self, callbacks: Sequence[Callback]) -> None:
        """Insert those that are not there yet, in one transaction. Returning means committed."""

    def due(self) -> list[tuple[CallbackReceiver, int]]:
        """The receivers that are not disabled and have callbacks, each with the time when its first one is due."""

    def take(self, shares: Mapping[str, int], *, now_ms: int, again_at_ms: int) -> list[Callback]:
        """Take over up to so many due callbacks of these keys, longest due first. They are due again at `again_at_ms`.

        Whoever settles them in time is the only one to have them.
        """

    def settle(self, results: Sequence[CallbackResult], at_ms: int) -> None:
        """In one transaction: remove what is taken or given up, note when the rest is due, and which receivers fail.

        A receiver fails from its first failure on (`failing_since_ms`, `last_error`), until it takes one.
        """

    def counts(self) -> Mapping[str, int]:
        """How many there are, by key id."""

    def drop(self, key_id: str, limit: int) -> int:
        """Remove up to `limit` callbacks of a key; how many."""


class CallbackCaller(Protocol):
    """Calls receivers. Threads may share it."""

    def check_url(self, url: str) -> str:
        """The URL in normal form. Raises PermanentError for one that no callback may go to. Resolves no name."""

    def call(self, receiver: CallbackReceiver, callback: Callback) -> DeliveryError | None:
        """One signed POST; None where it was taken. Raises nothing.

        DeadAddressError says that the receiver wants no more, ThrottledError how long it asks to be left alone.
        """

    def close(self) -> None:
        """Give the connections back."""
