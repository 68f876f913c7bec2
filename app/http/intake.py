"""Events become notifications: each gets its id, and is accepted once Kafka has acknowledged it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import structlog
from msgspec import Struct

from app.domain.api_key import read_key_id
from app.domain.chat_sealing import sealed_event
from app.domain.clock import now_ms
from app.domain.codec import encode
from app.domain.errors import StoreUnavailableError
from app.domain.event_rules import CheckedEvent
from app.domain.ids import derived_id, new_id
from app.domain.lane import Priority
from app.domain.ports import RawRecord
from app.domain.violation import InvalidInputError, Violation
from app.http.idempotency import Accepted, Keys
from app.http.problems import KEY_REUSED, Problem, of_input, of_publishing
from app.http.services import Services
from infrastructure.sealing import Sealing

log = structlog.get_logger()


class Draft(Struct, frozen=True, kw_only=True):
    """An event under way to be accepted. `name`: what its key, or without one its id, is known by in the store.

    `fingerprint` is empty where no key was given.
    """

    record: RawRecord
    name: str
    fingerprint: str = ""
    overdue: Violation | None = None


class Intake:
    """One way in for single events and batches. Safe between threads."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._keys = Keys(services.idempotency)
        self._sealing = Sealing(services.secret)

    def accept(self, caller: str, events: Sequence[CheckedEvent]) -> list[Accepted | Problem]:
        """Per event the answer. All that have to be written are written in one call, which waits for their acks.

        Where a key comes twice among the events, the first stands for all.
        """
        drafts = [self._draft(caller, event) for event in events]
        firsts: dict[str, Draft] = {}
        for draft in drafts:
            firsts.setdefault(draft.name, draft)
        prints = {name: draft.fingerprint for name, draft in firsts.items() if draft.fingerprint}
        answers = self._keys.begin(prints) if prints else {}
        fresh = [draft for name, draft in firsts.items() if name not in answers]
        settled: dict[str, Accepted | Problem] = {
            draft.name: of_input(InvalidInputError([draft.overdue])) for draft in fresh if draft.overdue
        }
        settled |= self._publish([draft for draft in fresh if not draft.overdue])
        if prints:
            self._keys.end(prints, {name: answer for name, answer in settled.items() if name in prints})
        answers |= settled
        return [_answer_of(draft, firsts[draft.name], answers) for draft in drafts]

    def _draft(self, caller: str, checked: CheckedEvent) -> Draft:
        services, event, key = self._services, checked.event, checked.idempotency_key
        fingerprint = "" if key is None else hashlib.sha256(checked.body).hexdigest()
        record = RawRecord(
            id=new_id(services.secret) if key is None else derived_id(services.secret, caller, key, fingerprint),
            user_id=event.user_id,
            event_type=event.event_type,
            accepted_at_ms=now_ms(),
            body=self._body(checked),
            is_low=services.catalogue.priority(event) is Priority.LOW,
            key_id=read_key_id(caller),
        )
        name = record.id if key is None else derived_id(services.secret, caller, key)
        return Draft(record=record, name=name, fingerprint=fingerprint, overdue=checked.overdue)

    def _body(self, checked: CheckedEvent) -> bytes:
        """What goes on its way: sealed, after id and fingerprint were made of what came, for no two seals are alike."""
        event = sealed_event(checked.event, self._sealing.seal)
        return checked.body if event is checked.event else encode(event)

    def _publish(self, drafts: list[Draft]) -> dict[str, Accepted | Problem]:
        """By name the answers."""
        if not drafts:
            return {}
        records = [draft.record for draft in drafts]
        try:
            errors = self._services.log.publish(records, self._services.settings.intake_timeout_s)
        except StoreUnavailableError as error:
            errors = [error] * len(records)
        failed = [error for error in errors if error is not None]
        if failed:
            log.warning("intake_not_acknowledged", events=len(records), failed=len(failed), error=str(failed[0]))
        return {
            draft.name: Accepted(draft.record.id) if error is None else of_publishing(error)
            for draft, error in zip(drafts, errors, strict=True)
        }


def _answer_of(draft: Draft, first: Draft, answers: dict[str, Accepted | Problem]) -> Accepted | Problem:
    if draft.fingerprint != first.fingerprint:
        return KEY_REUSED.problem("Another event of this batch has the same key.")
    return answers[draft.name]
