"""Ports Claims and Cancels in one process, as claims.lua has them, by a clock that is given: for models and contracts.

The contract suite runs both through the same operations and compares what they keep, so that neither can drift.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from app.domain.batch import Verdict
from app.domain.codec import decode
from app.domain.outcome import Status
from app.domain.ports import Claimable, Permit, Taken, TakeState

#: What claims.lua writes for a delivery that a cancel stopped, and for one that it found in doubt.
CANCELLED = '{"status":"cancelled","reason":"cancelled_by_client"}'
IN_DOUBT = '{"status":"unknown","reason":"in_doubt","detail":"cancelled when a call was in doubt"}'


@dataclasses.dataclass(slots=True, kw_only=True)
class Claim:
    """What is kept of a delivery. `state`: h(eld), c(alling), a(nswered), d(one), f(ree)."""

    pass_no: int
    state: str
    owner: str
    until_ms: int = 0
    crashes: int = 0
    alone: bool = False
    payload: str = ""
    expires_at_ms: int = 0

    @property
    def is_final(self) -> bool:
        """Whether the delivery is done for good, whatever its pass."""
        return self.state == "d" and Status(self.payload).is_final

    @property
    def is_under_way(self) -> bool:
        """Whether a provider was, or may have been, handed the delivery without this being recorded."""
        return self.state == "c" or (self.state == "a" and self.verdict.status.is_final)

    @property
    def verdict(self) -> Verdict:
        """What is answered."""
        return decode(self.payload, Verdict)

    def __str__(self) -> str:
        """As claims.lua writes it; nobody charges here."""
        fields = (self.pass_no, self.state, self.owner, self.until_ms, "", self.crashes, int(self.alone), self.payload)
        return "|".join(map(str, fields))


class ModelClaims:
    """The port. `now_ms` is the clock that both leases and lives go by."""

    def __init__(self, now_ms: Callable[[], int], *, ttl_s: float) -> None:
        self._now_ms = now_ms
        self._ttl_ms = int(ttl_s * 1000)
        self._claims: dict[str, Claim] = {}
        self._cancels: dict[str, int] = {}

    def flush(self) -> None:
        """Lose everything."""
        self._claims.clear()
        self._cancels.clear()

    def read(self, delivery_id: str) -> Claim | None:
        """The claim, or None where there is none or it has outlived its time."""
        claim = self._claims.get(delivery_id)
        if claim is not None and claim.expires_at_ms <= self._now_ms():
            del self._claims[delivery_id]
            return None
        return claim

    def take(self, wanted: Sequence[Claimable], *, owner: str, until_ms: int, alone: bool) -> list[Taken]:
        """See `app.domain.ports.Claims`."""
        found = []
        for delivery_id, pass_no, notification_id in wanted:
            fresh = Claim(pass_no=pass_no, state="h", owner=owner, until_ms=until_ms, alone=alone)
            state = self._take(self.read(delivery_id), fresh)
            if state not in ("finished", "busy"):
                if self.is_cancelled(notification_id) and not (state == "answered" and fresh.is_under_way):
                    is_in_doubt = state == "in_doubt" or (state == "answered" and fresh.verdict.is_in_doubt)
                    fresh.state, fresh.payload = "a", IN_DOUBT if is_in_doubt else CANCELLED
                    state = "answered"
                self._write(delivery_id, fresh)
            found.append(Taken(state=state, crashes=fresh.crashes, answer=fresh.payload))
        return found

    def advance(
        self,
        *,
        owner: str,
        until_ms: int,
        answered: Sequence[tuple[str, int, str]],
        calling: Sequence[Claimable],
    ) -> list[Permit]:
        """See `app.domain.ports.Claims`."""
        for delivery_id, pass_no, verdict in answered:
            claim = self.read(delivery_id) or Claim(pass_no=pass_no, state="h", owner=owner)
            if claim.pass_no == pass_no and claim.state != "d":
                claim.state, claim.owner, claim.until_ms, claim.payload = "a", owner, until_ms, verdict
                self._write(delivery_id, claim)
        return [self._call(one, owner, until_ms) for one in calling]

    def done(self, finals: Sequence[tuple[str, int, str]], *, owner: str = "") -> None:
        """See `app.domain.ports.Claims`."""
        for delivery_id, pass_no, status in finals:
            claim = self.read(delivery_id)
            is_further = claim is not None and claim.owner != owner and (claim.is_final or claim.is_under_way)
            if claim is None or (claim.pass_no <= pass_no and (Status(status).is_final or not is_further)):
                self._write(delivery_id, Claim(pass_no=pass_no, state="d", owner="", payload=status))

    def release(self, delivery_ids: Sequence[str], *, owner: str, as_crash: bool = False) -> None:
        """See `app.domain.ports.Claims`."""
        for delivery_id in delivery_ids:
            claim = self.read(delivery_id)
            if claim is None or claim.owner != owner or claim.state not in ("h", "c"):
                continue
            if claim.state == "h":
                claim.state, claim.owner = "f", ""
            else:
                claim.until_ms, claim.alone = 0, False
            claim.crashes += as_crash
            self._write(delivery_id, claim)

    def cancel(self, notification_id: str, delivery_ids: Sequence[str], *, life_s: float) -> list[bool]:
        """See `app.domain.ports.Cancels`."""
        self._cancels[notification_id] = self._now_ms() + int(life_s * 1000)
        return [not self._is_at_work(self.read(delivery_id)) for delivery_id in delivery_ids]

    def is_cancelled(self, notification_id: str) -> bool:
        """Whether its cancel is there and has not outlived its time."""
        return self._cancels.get(notification_id, 0) > self._now_ms()

    def _is_at_work(self, claim: Claim | None) -> bool:
        if claim is None:
            return False
        return claim.state in ("a", "c") or claim.is_final or (claim.state == "h" and self._now_ms() < claim.until_ms)

    def _take(self, claim: Claim | None, fresh: Claim) -> TakeState:
        """What was found; `fresh` is what is to be kept where it is ours now."""
        if claim is None or (claim.pass_no < fresh.pass_no and not claim.is_final and not claim.is_under_way):
            return "taken"
        if claim.pass_no > fresh.pass_no or claim.state == "d":
            return "finished"
        fresh.crashes = claim.crashes
        if claim.state == "a":
            fresh.state, fresh.payload = "a", claim.payload
            return "answered"
        if claim.state == "f" or claim.owner == fresh.owner:
            return "taken"
        if self._now_ms() < claim.until_ms:
            return "busy"
        fresh.crashes += claim.alone
        fresh.state = claim.state
        return "in_doubt" if claim.state == "c" else "taken"

    def _call(self, wanted: Claimable, owner: str, until_ms: int) -> Permit:
        delivery_id, pass_no, notification_id = wanted
        claim = self.read(delivery_id) or Claim(pass_no=pass_no, state="h", owner=owner)
        if claim.pass_no != pass_no or claim.owner != owner or claim.state not in ("h", "c"):
            return Permit(may_call=False)
        verdict = ""
        if self.is_cancelled(notification_id):
            verdict = IN_DOUBT if claim.state == "c" else CANCELLED
        claim.state, claim.until_ms, claim.payload = "a" if verdict else "c", until_ms, verdict
        self._write(delivery_id, claim)
        return Permit(may_call=not verdict, verdict=verdict)

    def _write(self, delivery_id: str, claim: Claim) -> None:
        claim.expires_at_ms = self._now_ms() + self._ttl_ms
        self._claims[delivery_id] = claim
