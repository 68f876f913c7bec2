"""The state of every delivery under way, and cancelling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

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
        Where this raises, none may; a store that only does it when nobody waits any more marks none.
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
