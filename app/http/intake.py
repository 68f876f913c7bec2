"""Events become notifications: each gets its id, and is accepted once Kafka has acknowledged it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import structlog
from msgspec import Struct

from app.domain.clock import now_ms
from app.domain.errors import StoreUnavailableError
from app.domain.event_rules import CheckedEvent
from app.domain.ids import derived_id, new_id
from app.domain.lane import Priority
from app.domain.ports import RawRecord
from app.http.idempotency import Accepted, Keys
from app.http.problems import KEY_REUSED, Problem, of_publishing
from app.http.services import Services

log = structlog.get_logger()


class Draft(Struct, frozen=True, kw_only=True):
    """An event under way to be accepted. `fingerprint` is empty where no key was given."""

    record: RawRecord
    fingerprint: str = ""


class Intake:
    """One way in for single events and batches. Safe between threads."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._keys = Keys(services.idempotency)

    def accept(self, caller: str, events: Sequence[CheckedEvent]) -> list[Accepted | Problem]:
        """Per event the answer. All that have to be written are written in one call, which waits for their acks.

        Where a key comes twice among the events, the first stands for all.
        """
        drafts = [self._draft(caller, event) for event in events]
        firsts: dict[str, Draft] = {}
        for draft in drafts:
            firsts.setdefault(draft.record.id, draft)
        prints = {key: draft.fingerprint for key, draft in firsts.items() if draft.fingerprint}
        answers = self._keys.begin(prints) if prints else {}
        published = self._publish([draft.record for key, draft in firsts.items() if key not in answers])
        if prints:
            self._keys.end(prints, {key: answer for key, answer in published.items() if key in prints})
        answers |= published
        return [_answer_of(draft, firsts[draft.record.id], answers) for draft in drafts]

    def _draft(self, caller: str, checked: CheckedEvent) -> Draft:
        services, event, key = self._services, checked.event, checked.idempotency_key
        record = RawRecord(
            id=new_id(services.secret) if key is None else derived_id(services.secret, caller, key),
            user_id=event.user_id,
            event_type=event.event_type,
            accepted_at_ms=now_ms(),
            body=checked.body,
            is_low=services.catalogue.priority(event) is Priority.LOW,
        )
        return Draft(record=record, fingerprint="" if key is None else hashlib.sha256(checked.body).hexdigest())

    def _publish(self, records: list[RawRecord]) -> dict[str, Accepted | Problem]:
        if not records:
            return {}
        try:
            errors = self._services.log.publish(records, self._services.settings.intake_timeout_s)
        except StoreUnavailableError as error:
            errors = [error] * len(records)
        failed = [error for error in errors if error is not None]
        if failed:
            log.warning("intake_not_acknowledged", events=len(records), failed=len(failed), error=str(failed[0]))
        return {
            record.id: Accepted(record.id) if error is None else of_publishing(error)
            for record, error in zip(records, errors, strict=True)
        }


def _answer_of(draft: Draft, first: Draft, answers: dict[str, Accepted | Problem]) -> Accepted | Problem:
    if draft.fingerprint != first.fingerprint:
        return KEY_REUSED.problem("Another event of this batch has the same key.")
    return answers[draft.record.id]
