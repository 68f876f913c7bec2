"""The unit of work behind the HTTP edge: deliveries of one lane that travel through the chain together."""

from __future__ import annotations

from msgspec import Raw, Struct

from app.domain.delivery import Delivery
from app.domain.outcome import OpenReason, Status
from app.domain.target import Target
from app.domain.users import Recipient


class Verdict(Struct, kw_only=True, omit_defaults=True):
    """What a step decided for a delivery; later steps leave it alone.

    Exactly one of three: `open` (not done, send again), PARKED with `until_at_ms`, or a final status.
    `is_recorded` says that an earlier copy has already put the outcome on Kafka: nothing is left to do. `is_in_doubt`:
    nobody knows whether a call of this pass got through.
    """

    status: Status = Status.ACCEPTED
    reason: str = ""
    detail: str = ""
    provider: str = ""
    provider_id: str = ""
    at_ms: int = 0
    until_at_ms: int = 0
    spends_retry: bool = False
    slot_at_ms: int = 0
    open: OpenReason | None = None
    is_recorded: bool = False
    is_in_doubt: bool = False


class Item(Struct, kw_only=True, omit_defaults=True):
    """A delivery on its way through the chain.

    `twin` is the index of the same delivery elsewhere in the batch (-1: none), whose fate it shares. `attempt` is the
    number of provider calls so far. `is_unclaimed`: Redis was away and the lane's priority allows going on without;
    `is_charged`: counted against the user's limits; `is_in_doubt`: a worker died during a call in this pass;
    `targets`: of a delivery to devices, each with what is known of it;
    `is_forgotten`: its user was forgotten, so that nothing personal of it is recorded.
    """

    offset: int
    delivery: Delivery
    recipient: Recipient | None = None
    address: str = ""
    attempt: int = 0
    twin: int = -1
    is_unclaimed: bool = False
    is_charged: bool = False
    is_in_doubt: bool = False
    is_forgotten: bool = False
    targets: list[Target] = []
    verdict: Verdict | None = None

    @property
    def may_have_been_sent(self) -> bool:
        """Whether a call of this pass or an earlier one may have got through."""
        return self.is_in_doubt or self.delivery.is_in_doubt


class CopyName(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What tells one copy of a batch from another. Offsets are inclusive; times are Unix milliseconds."""

    v: int = 1
    queue: str
    topic: str
    partition: int
    first: int
    last: int
    sent_at_ms: int
    not_after_ms: int


class BatchHead(CopyName, frozen=True, kw_only=True, omit_defaults=True):
    """What the steps know of the copy that they have.

    `others_open` are offsets of the batch that are open and not in this copy (later parts). `alone` says that the
    copy carries one delivery only, so that a death can be blamed on it.
    """

    alone: bool = False
    others_open: list[int] = []


class RawItem(Struct, frozen=True):
    """A delivery as the dispatcher passes it on: the record's bytes, not decoded."""

    offset: int
    delivery: Raw


class RawBatch(Struct, frozen=True):
    """What the dispatcher puts on the queue."""

    head: BatchHead
    items: list[RawItem]


class Batch(Struct, kw_only=True):
    """What the steps pass on. `owner` names the child's claim; the first step makes it afresh.

    `calls` is how many provider calls were made, `deliver_ms` how long rendering and calling took.
    """

    head: BatchHead
    items: list[Item]
    owner: str = ""
    calls: int = 0
    deliver_ms: float = 0.0

    def __repr__(self) -> str:
        """Short, for it is shown in Flower and in logs, and without personal data."""
        return f"<{self.head.queue} {len(self.items)}>"

    @property
    def undecided(self) -> list[Item]:
        """The items that still need work."""
        return [item for item in self.items if item.verdict is None]


class Finished(CopyName, frozen=True, kw_only=True):
    """The record on `notifications.finished` (key: topic and partition): one per copy, about the whole batch.

    `open` lists every offset that is not final or parked, with why; all others from first to last are finished.
    `calls` and `took_ms` are how many provider calls were made and how long rendering and calling took: what a batch of
    any size costs beside that is left out, or small batches would seem slow and be made smaller still.
    """

    open: list[tuple[int, str]] = []
    calls: int = 0
    took_ms: float = 0.0

    @property
    def key(self) -> str:
        """The record's key on the topic."""
        return f"{self.topic}:{self.partition}"

    @property
    def first_open(self) -> int:
        """Where the partition's next owner starts."""
        return min((offset for offset, _ in self.open), default=self.last + 1)
