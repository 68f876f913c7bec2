"""What the service needs of the outside, named by role. Adapters live in `infrastructure`.

Every method may raise `StoreUnavailableError` unless it says otherwise; then what was asked may or may not have
happened. Times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

from app.domain.api_key import ApiKey
from app.domain.batch import Finished
from app.domain.catalogue import EventRule
from app.domain.channel import ChannelSpec
from app.domain.delivery import Delivery, Parked
from app.domain.outcome import Outcome, Status
from app.domain.parked_choice import ParkedChoice, ParkedRow
from app.domain.rate import Rate
from app.domain.statistics import CountQuery, CountRow
from app.domain.users import Preferences, Recipient, User

# users, preferences, inbox


class Users(Protocol):
    """Users and their contacts."""

    def get(self, user_id: str) -> User | None:
        """The user, or None."""

    def put(self, user: User) -> bool:
        """Store the user whole; True if it is new."""

    def delete(self, user_id: str) -> bool:
        """Remove the user, their preferences and inbox; False if there was none."""

    def list(self, *, after: str = "", limit: int = 100) -> list[User]:
        """Users in order of id, from behind `after`."""

    def recipients(self, user_ids: Sequence[str]) -> Mapping[str, Recipient]:
        """Those of the users that are known, by id, in one query."""


class PreferenceStore(Protocol):
    """Users' preferences."""

    def get(self, user_id: str) -> Preferences:
        """The user's preferences; the defaults where none are stored."""

    def put(self, user_id: str, preferences: Preferences) -> None:
        """Replace them whole. Once this returns, no step decides by the old ones."""

    def get_many(self, user_ids: Sequence[str]) -> Mapping[str, Preferences]:
        """The stored ones by user id, in one query; users without any are left out."""


class InboxEntry(Struct, frozen=True, kw_only=True):
    """An entry of a user's in-app inbox. `id` is the delivery id."""

    id: str
    notification_id: str
    user_id: str
    event_type: str
    category: str
    subject: str
    body: str
    created_at_ms: int
    read_at_ms: int | None = None


class Page(Struct, frozen=True, kw_only=True):
    """A page of a listing, newest first; `cursor` is None on the last."""

    items: list[Any]
    cursor: str | None = None


class Inbox(Protocol):
    """The in-app inbox."""

    def add(self, entries: Sequence[InboxEntry]) -> None:
        """Insert those that are not there yet, in one statement; repeating is harmless."""

    def list(self, user_id: str, *, unread_only: bool = False, cursor: str | None = None, limit: int = 50) -> Page:
        """A page of `InboxEntry`. Raises ValueError for a cursor that is none of ours."""

    def unread_count(self, user_id: str) -> int:
        """How many entries the user has not read."""

    def mark_read(self, user_id: str, entry_ids: Sequence[str] | None, at_ms: int) -> int:
        """Mark these entries read (None: all); how many were unread before."""


# parked deliveries


class ParkedStore(Protocol):
    """Deliveries that wait for a time. Key: delivery id and pass."""

    def park(self, rows: Sequence[Parked]) -> None:
        """Insert the rows that are not there yet, in one transaction. Returning means committed.

        Rows of a forgotten user are due at once, so that what is in them does not stay.
        """

    def lease_due(self, *, now_ms: int, lease_until_ms: int, owner: str, limit: int) -> list[Parked]:
        """Take up to `limit` due rows that nobody holds, high first, then by due time."""

    def lease_of(self, delivery_ids: Sequence[str], *, now_ms: int, lease_until_ms: int, owner: str) -> list[Parked]:
        """Take these deliveries' rows that nobody holds, whenever they are due."""

    def remove(self, keys: Sequence[tuple[str, int]], owner: str) -> None:
        """Delete rows (delivery id, pass) this owner still holds."""

    def counts(self, choice: ParkedChoice = ParkedChoice()) -> Mapping[str, Mapping[str, int]]:  # noqa: B008 - frozen
        """How many of the choice are parked: queue -> reason -> rows."""

    def choose(self, choice: ParkedChoice, *, now_ms: int, limit: int) -> list[ParkedRow]:
        """Up to `limit` rows of the choice, high first, then by due time."""

    def make_due(self, choice: ParkedChoice, *, now_ms: int, limit: int) -> int:
        """Make up to `limit` rows of the choice due that are not yet and that nobody holds; how many."""

    def lease_chosen(
        self, choice: ParkedChoice, *, now_ms: int, lease_until_ms: int, owner: str, limit: int
    ) -> list[Parked]:
        """Take up to `limit` rows of the choice that nobody holds, due or not, high first, then by due time."""

    def hasten(self, keys: Sequence[tuple[str, int]], owner: str, due_at_ms: int) -> None:
        """Make rows (delivery id, pass) this owner holds due at that time; the lease stays."""

    def passes(self, delivery_ids: Sequence[str]) -> Mapping[str, int]:
        """The highest pass in which each of them is parked; those that are not are left out."""

    def lease_of_user(self, user_id: str, *, now_ms: int, lease_until_ms: int, owner: str, limit: int) -> list[Parked]:
        """Take up to `limit` rows of this user that nobody holds, due or not."""


# forgetting


class ForgottenUsers(Protocol):
    """Who was forgotten, and when. Known by a keyed hash of the id."""

    def forgotten_at(self, user_ids: Collection[str]) -> Mapping[str, int]:
        """When those of the users that were forgotten were, last; one query, none while nobody ever was."""


class PersonalData(Protocol):
    """All that SQL and history hold of a user. Both methods may be repeated."""

    def remember(self, user_id: str, at_ms: int) -> bool:
        """Note that the user was forgotten. Whether all processes go by it; if not, they do `EMPTY_KNOWN_S` later."""

    def remove(self, user_id: str, at_ms: int) -> Mapping[str, int]:
        """Remove contacts, preferences and inbox, and the content of events accepted until then; counts by kind.

        The history keeps ids, statuses, reasons and times, without the user's id.
        """


# history


class NotificationRecord(Struct, frozen=True, kw_only=True):
    """All the history has of one notification. `event` is None where only event-level outcomes without it came."""

    id: str
    user_id: str
    event_type: str
    accepted_at_ms: int
    event: Any
    outcomes: list[Outcome]


class Standing(Struct, frozen=True, kw_only=True):
    """The head of an outcome. `delivery_id` is empty for one of the event as a whole."""

    notification_id: str
    delivery_id: str
    pass_no: int
    status: Status
    at_ms: int


class History(Protocol):
    """Every outcome, appended; the current status is computed on read (`app.domain.timeline`)."""

    def append(self, outcomes: Sequence[Outcome]) -> None:
        """Store and count them; repeating is harmless (key: notification, delivery, pass, attempt, status)."""

    def notification(self, notification_id: str) -> NotificationRecord | None:
        """One notification with all its outcomes, oldest first, or None."""

    def standings(self, notification_ids: Sequence[str]) -> list[Standing]:
        """Every outcome of these notifications, as short as it can be told, in no order."""

    def by_user(self, user_id: str, *, cursor: str | None = None, limit: int = 50) -> Page:
        """A page of `NotificationRecord`, newest first. Raises ValueError for a cursor that is none of ours."""


class Statistics(Protocol):
    """Counts of deliveries by where they stand now. `History.append` keeps them, in whatever order news comes."""

    def counts(self, query: CountQuery) -> list[CountRow]:
        """The groups that hold a delivery, in order of their values; at most one more than `MAX_ROWS`."""


# Kafka


class EventLog(Protocol):
    """Where accepted events go."""

    def publish(self, records: Sequence[RawRecord], timeout_s: float) -> list[Exception | None]:
        """Write the events and wait for their acks; per record None or what went wrong.

        An error is `TopicFullError` (nothing was written) or `StoreUnavailableError` (it may still have landed).
        """

    def is_ready(self, timeout_s: float) -> bool:
        """Whether the broker answers."""


class RawRecord(Struct, frozen=True, kw_only=True):
    """An accepted event on its way to `notifications.raw`, or `.raw.low` where `is_low`. `body` is the event's JSON.

    `traceparent` is the trace it belongs to (empty: none).
    """

    id: str
    user_id: str
    event_type: str
    accepted_at_ms: int
    body: bytes
    is_low: bool = False
    traceparent: str = ""


# idempotency keys


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


# providers


class Message(Struct, frozen=True, kw_only=True):
    """A rendered delivery. `delivery_id` is the key that providers recognise a repetition by."""

    delivery_id: str
    notification_id: str
    user_id: str
    event_type: str
    category: str
    address: str
    subject: str
    text: str
    html: str
    metadata: Mapping[str, Any]
    created_at_ms: int
    traceparent: str = ""


class Receipt(Struct, frozen=True, kw_only=True):
    """A provider's yes, with its id for the message."""

    provider_id: str = ""


class Provider(Protocol):
    """One way to hand messages over."""

    name: str
    timeout_s: float

    def send(self, messages: Sequence[Message], timeout_s: float) -> list[Receipt | Exception]:
        """Hand the messages over within `timeout_s`; per message a receipt or a `DeliveryError`. Raises nothing.

        A bulk channel gets many at once, any other one at a time, from several threads where its concurrency is
        above 1. A call may end late by the time the system needs to notice, never by another timeout.
        """

    def check_address(self, address: str) -> str:
        """The address in normal form. Raises `PermanentError` (invalid_address, forbidden_address). No I/O."""

    def breaker_key(self, address: str) -> str:
        """What fails together: the provider's name, or the target host for webhooks."""

    def close(self) -> None:
        """Give connections back."""


class Channels(Protocol):
    """The providers at hand."""

    def provider(self, channel: str) -> Provider | None:
        """The channel's provider, or None where none is configured. Made in the process that asks first."""

    def spec(self, channel: str) -> ChannelSpec:
        """What the pipeline knows of the channel."""

    def close(self) -> None:
        """Close what was made."""


class Renderer(Protocol):
    """The catalogue's templates, filled in."""

    def render(self, rule: EventRule, delivery: Delivery, recipient: Recipient | None) -> tuple[str, str, str]:
        """(subject, text, html). Raises `PermanentError` for whatever goes wrong; no I/O."""


# claims and limits

TakeState = Literal["taken", "finished", "answered", "in_doubt", "busy"]


class Taken(Struct, frozen=True, kw_only=True):
    """What `Claims.take` found for one delivery.

    taken: ours now. finished: done, or a higher pass is under way; nothing is to be done. answered: `answer` is the
    verdict (JSON) of a provider call that is not recorded yet; ours now. in_doubt: a call was under way in a child
    that died; ours now. busy: somebody else's, and live. `crashes` counts deaths of copies that carried it alone.
    """

    state: TakeState
    crashes: int = 0
    answer: str = ""


class Permit(Struct, frozen=True, kw_only=True):
    """Whether a call may begin. `verdict` (JSON) is what is to be recorded instead of a delivery that is cancelled."""

    may_call: bool
    verdict: str = ""


#: A delivery as it is claimed: its id, its pass, its notification's id.
Claimable = tuple[str, int, str]


class Claims(Protocol):
    """The state of every delivery under way, one key each. `until_ms` is the copy's not_after."""

    def take(self, wanted: Sequence[Claimable], *, owner: str, until_ms: int, alone: bool) -> list[Taken]:
        """Claim deliveries. Repeating with the same owner finds them taken.

        What is cancelled is found answered, unless it is finished, busy, or a final answer is there already.
        """

    def advance(
        self,
        *,
        owner: str,
        until_ms: int,
        answered: Sequence[tuple[str, int, str]],
        calling: Sequence[Claimable],
    ) -> list[Permit]:
        """Note answers (delivery id, pass, verdict as JSON), then mark deliveries as being called.

        Per delivery to be called: whether it may be. One that is no longer ours, or done, or cancelled, may not.
        """

    def done(self, finals: Sequence[tuple[str, int, str]], *, owner: str = "") -> None:
        """Mark (delivery id, pass, status) as recorded, whoever holds the claim; a higher pass stays.

        News that it is parked changes nothing where it is final, or where another than `owner` is calling.
        """

    def release(self, delivery_ids: Sequence[str], *, owner: str, as_crash: bool = False) -> None:
        """Give claims back that this owner holds; charges and crash counts stay, and so does doubt about a call."""


class Cancels(Protocol):
    """What clients have taken back, kept beside the claims."""

    def cancel(self, notification_id: str, delivery_ids: Sequence[str], *, life_s: float) -> list[bool]:
        """From now on no provider call begins for the notification, for `life_s`; repeating is harmless.

        Per delivery: whether no worker has it. The others' outcomes come by the workers that have them.
        """


class SeenClaim(Struct, frozen=True, kw_only=True):
    """A claim as a bystander sees it. `is_live`: somebody works on it now; `is_done`: recorded, with `status`."""

    pass_no: int
    is_live: bool
    is_done: bool
    status: str = ""


class ClaimReview(Protocol):
    """What operators' commands need of the claims."""

    def seen(self, delivery_ids: Sequence[str]) -> list[SeenClaim | None]:
        """Per delivery its claim, or None."""

    def reopen(self, wanted: Sequence[tuple[str, int]]) -> None:
        """Let deliveries (id, pass) that ended in that pass or a lower one go on in their next; others stay."""


class UserCharge(Struct, frozen=True, kw_only=True):
    """One delivery to be counted against its user's limits. `expires_at_ms` bounds the slot that may be taken."""

    delivery_id: str
    user_id: str
    channel: str
    expires_at_ms: int
    may_park: bool


class Charged(Struct, frozen=True, kw_only=True):
    """Whether it may go now (`slot_at_ms` 0), at a slot it has now taken, or not at all (`is_refused`)."""

    slot_at_ms: int = 0
    is_refused: bool = False


class UserLimits(Protocol):
    """Per-user and per-user-per-channel limits."""

    def charge(self, wanted: Sequence[UserCharge], *, owner: str) -> list[Charged]:
        """Check all, then take all, in one call with the claims: a claim that was charged is not charged again."""


class LimitsSeen(Struct, frozen=True, kw_only=True):
    """Limits as they were at one moment: TATs by key (`app.domain.gcra`), 0 where unused. Microseconds."""

    now_us: int
    tats: Mapping[str, int]


class LimitBook(Protocol):
    """What is used up of limits, of users and lanes alike."""

    def peek(self, keys: Sequence[str]) -> LimitsSeen:
        """These limits (`Limit.key`), all at one moment of the store's clock. Takes nothing."""


class Pace(Struct, frozen=True, kw_only=True):
    """How many deliveries may go now, and when to ask again where none may."""

    granted: int
    retry_after_s: float = 0.0


class LaneLimits(Protocol):
    """Global, per-channel and per-priority limits."""

    def ask(self, queue: str, wanted: int) -> Pace:
        """Take up to `wanted` from every limit that concerns the lane."""


class BreakerState(Struct, frozen=True, kw_only=True):
    """A provider's breaker as all processes see it: open until a time, then half open until a call succeeds."""

    open_until_ms: int = 0
    level: int = 0


class Breakers(Protocol):
    """Circuit breakers, shared. With the store away each process goes by what it saw itself; raises nothing."""

    def state(self, key: str) -> BreakerState:
        """The breaker's state, at most 250 ms old."""

    def report(self, key: str, *, is_success: bool, weight: int = 1) -> None:
        """Count a call's end; opens the breaker where too much failed."""


class OutcomeLog(Protocol):
    """What a worker child writes to Kafka: outcomes, dead letters, finished records. Keys are (delivery id, pass)."""

    def has_room(self) -> bool:
        """Whether a batch's outcomes would be taken now."""

    def put(self, outcome: Outcome) -> None:
        """Hand an outcome over, once a key; it is durable only when `durable` says so."""

    def dead_letter(self, outcome: Outcome, body: bytes) -> None:
        """Hand over what could not be delivered, with its reason, to `notifications.dead`."""

    def durable(self, keys: Sequence[tuple[str, int]], timeout_s: float) -> set[tuple[str, int]]:
        """Those whose outcomes Kafka has acknowledged within the time; all are forgotten here. Raises nothing."""

    def finish(self, finished: Finished, timeout_s: float) -> bool:
        """Write the record about a copy; whether Kafka has acknowledged it. Raises nothing."""


# API keys


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


class OutcomePublisher(Protocol):
    """What becomes of deliveries that no worker has."""

    def publish(self, outcomes: Sequence[Outcome], timeout_s: float) -> bool:
        """Write them; whether Kafka has acknowledged all within the time. If not, they may land yet. Raises nothing."""
