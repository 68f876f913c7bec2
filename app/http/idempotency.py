"""Idempotency-Key (IETF draft-07): the same request with the same key is accepted once and answered alike.

The id of such a notification is derived from caller and key, and it is also what the store knows the key by. So even
without the store a repetition has the same id; the store adds the refusal of other bodies and of requests at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import structlog
from msgspec import Struct

from app.domain import codec
from app.domain.errors import StoreUnavailableError
from app.domain.ports import IdempotencyStore, Stored
from app.http.problems import INVALID_KEY, KEY_REUSED, KEY_RUNNING, Fault, Problem, ProblemError

HEADER = "Idempotency-Key"
#: How many events of a batch had been accepted before.
REPLAYED_HEADER = "Idempotency-Replayed"
#: When to ask again for a request that is still running.
RETRY_AFTER_S = 1

# A string of structured fields (RFC 9651), or its inside without the quotes.
QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"')
BARE = re.compile(r"[\x21\x23-\x7e]([\x20\x21\x23-\x7e]{0,253}[\x21\x23-\x7e])?")

log = structlog.get_logger()


class Accepted(Struct, frozen=True):
    """What the client is told of an event that will be delivered."""

    id: str
    status: Literal["accepted"] = "accepted"


class Repeated(Accepted, frozen=True):
    """The same, of an event that an earlier request has brought: on the wire it is answered alike."""


def read_key(header: str | None) -> str | None:
    """The key in the header, None without one. Raises ProblemError (400)."""
    if header is None:
        return None
    text = header.strip()
    quoted = QUOTED.fullmatch(text)
    if quoted:
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if BARE.fullmatch(text):
        return text
    fault = Fault(header=HEADER, detail="must be a quoted string of 1 to 255 printable ASCII characters")
    raise ProblemError(INVALID_KEY.problem("", fault))


class Keys:
    """The store, and doing without it: with Redis away everything is accepted, under the same ids."""

    def __init__(self, store: IdempotencyStore) -> None:
        self._store = store
        self._is_away = False

    def begin(self, prints: Mapping[str, str]) -> dict[str, Accepted | Problem]:
        """What is settled already, by id; the others are marked as running. `prints`: id -> fingerprint."""
        try:
            found = self._store.begin(list(prints.items()))
        except StoreUnavailableError as error:
            self._note(error)
            return {}
        self._note(None)
        pairs = zip(prints.items(), found, strict=True)
        return {key: _settled(there, fingerprint) for (key, fingerprint), there in pairs if there is not None}

    def end(self, prints: Mapping[str, str], answers: Mapping[str, Accepted | Problem]) -> None:
        """Keep the answers of what was accepted, and free the keys of what was not."""
        kept = [
            (key, Stored(fingerprint=prints[key], answer=codec.encode(answer).decode()))
            for key, answer in answers.items()
            if isinstance(answer, Accepted)
        ]
        freed: Sequence[str] = [key for key, answer in answers.items() if isinstance(answer, Problem)]
        try:
            self._store.finish(kept)
            self._store.abandon(freed)
        except StoreUnavailableError as error:
            self._note(error)

    def _note(self, error: StoreUnavailableError | None) -> None:
        """Log that the store went or came back, not every request in between."""
        is_away = error is not None
        if is_away == self._is_away:
            return
        self._is_away = is_away
        log.warning("idempotency_store_away" if is_away else "idempotency_store_back", error=str(error or ""))


def _settled(there: Stored, fingerprint: str) -> Accepted | Problem:
    if there.fingerprint != fingerprint:
        return KEY_REUSED.problem("Send this request with a key of its own.")
    if not there.answer:
        return KEY_RUNNING.problem("Repeat it later to get its answer.", retry_after_s=RETRY_AFTER_S)
    return codec.decode(there.answer, Repeated)
