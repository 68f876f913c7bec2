"""Who calls the HTTP service: API keys, their limits, Idempotency-Keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from app.domain.api_key import ApiKey
from app.domain.rate import Rate


class ApiKeys(Protocol):
    """API keys; what is stored of one does not tell the key itself."""

    def add(self, key: ApiKey) -> None:
        """Store a fresh key. Returning means committed."""

    def list(self) -> list[ApiKey]:
        """All of them, the revoked ones too, oldest first."""

    def revoke(self, key_id: str, at_ms: int) -> bool:
        """Mark a key as revoked, for good; the first time stays. False if there is none."""

    def note_uses(self, uses: Mapping[str, int]) -> None:
        """Note when keys were last used: id -> time. An earlier time than the one that is there changes nothing."""


class Allowance(Struct, frozen=True, kw_only=True):
    """Whether a request may go, and what is left. `wait_s`: until the next may go, or, where any may, until all may."""

    is_granted: bool
    remaining: int
    wait_s: float


class RequestLimits(Protocol):
    """Limits on the requests of API keys."""

    def ask(self, key_id: str, rate: Rate) -> Allowance:
        """Take one request of the key's limit, if there is one left."""


class Stored(Struct, frozen=True, kw_only=True):
    """What an Idempotency-Key stands for. `answer` is empty while the first request runs."""

    fingerprint: str
    answer: str = ""


class IdempotencyStore(Protocol):
    """Idempotency-Keys, kept for 24 h; losing them is harmless, the ids are derived from the keys."""

    def begin(self, wanted: Sequence[tuple[str, str]]) -> list[Stored | None]:
        """Mark (key, fingerprint) pairs as running, for 30 s; per pair None, or what was there already."""

    def finish(self, answers: Sequence[tuple[str, Stored]]) -> None:
        """Keep the answers for 24 h."""

    def abandon(self, keys: Sequence[str]) -> None:
        """Remove the running marks: these requests were not accepted. Answers stay."""
