"""Whom to call for a delivery: by weight and health, past open breakers and full rates, within the copy's time."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from app.domain.delivery_rules import in_charge
from app.domain.lane import Priority
from app.domain.provider_choice import ranked

if TYPE_CHECKING:
    from app.domain.batch import Item
    from app.domain.ports import Provider
    from tasks.context import StepContext


class Found(Struct, frozen=True, kw_only=True):
    """Whom to call; or why nobody now.

    Until a trial has ended (`is_wait`), or a rate has room in time for a call (`room_at_ms`); not in this copy where a
    rate has none (`is_full`), a breaker is open (`open_until_ms`) or all are off (`is_off`); else there is no time.
    """

    provider: Provider | None = None
    is_wait: bool = False
    room_at_ms: int = 0
    is_full: bool = False
    open_until_ms: int = 0
    is_off: bool = False


FULL: Final = Found(is_full=True)


def longest_s(item: Item, provider: Provider) -> float:
    """How long a call for this delivery may take."""
    is_high = item.delivery.priority is Priority.HIGH
    return (is_high and provider.terms.timeout_high_s) or provider.timeout_s


class ProviderChoice:
    """For the deliveries of one copy. `busy` are names of providers that are being called now."""

    def __init__(
        self,
        providers: Sequence[Provider],
        context: StepContext,
        not_after_ms: int,
        simulator: Provider | None = None,
    ) -> None:
        self._providers = providers
        self._simulator = simulator
        self._context = context
        self._not_after_ms = not_after_ms

    def has_time(self, item: Item, provider: Provider, after_ms: int = 0) -> bool:
        """Whether a call started now, or after so long, would end before the copy's not_after."""
        return self._context.now_ms() + after_ms + longest_s(item, provider) * 1000 <= self._not_after_ms

    def find(self, item: Item, but: Collection[str], busy: Collection[str], waiting: int) -> Found:
        """Whom to call now, of those not named in `but`; a call of one with a rate is taken of it.

        `waiting`: for how many deliveries, this one included, it is asked.
        """
        looks = []
        for provider in self._in_order(item):
            if provider.name not in but:
                look = self._taken(item, self._look(item, provider, busy), waiting)
                if look.provider is not None:
                    return look
                looks.append(look)
        return Found(
            is_wait=any(look.is_wait for look in looks),
            room_at_ms=min((look.room_at_ms for look in looks if look.room_at_ms), default=0),
            is_full=any(look.is_full for look in looks),
            open_until_ms=min((look.open_until_ms for look in looks if look.open_until_ms), default=0),
            is_off=any(look.is_off for look in looks),
        )

    def has_other(self, item: Item, but: Collection[str]) -> bool:
        """Whether somebody may be called who was not yet, if not now, then when a rate has room."""
        left = (provider for provider in self._in_order(item) if provider.name not in but)
        return any(self._look(item, provider, but).provider is not None for provider in left)

    def _taken(self, item: Item, look: Found, waiting: int) -> Found:
        """What was found; where the provider's rate has no room for a call now, when it has."""
        provider = look.provider
        if provider is None or provider.terms.rate is None:
            return look
        wait_s = self._context.rates.take(provider.name, provider.terms.rate, item.delivery.lane, waiting)
        if not wait_s:
            return look
        wait_ms = math.ceil(wait_s * 1000)
        return Found(room_at_ms=self._context.now_ms() + wait_ms) if self.has_time(item, provider, wait_ms) else FULL

    def _look(self, item: Item, provider: Provider, busy: Collection[str]) -> Found:
        """This one, or why not, whatever its rate has left."""
        if not self.has_time(item, provider):
            return Found()
        state = self._context.breakers.state(provider.breaker_key(item.address))
        if self._context.breakers.off(provider.name):
            return Found(is_off=True)
        if state.open_until_ms > self._context.now_ms():
            return Found(open_until_ms=state.open_until_ms)
        if state.level and provider.name in busy:
            return Found(is_wait=True)
        return Found(provider=provider)

    def _in_order(self, item: Item) -> Sequence[Provider]:
        providers = in_charge(item.delivery.channel, item.address, self._providers, self._simulator)
        if len(providers) == 1:
            return providers
        by_name = {provider.name: provider for provider in providers}
        shares = self._context.health.shares(list(by_name))
        weights = {name: provider.terms.weight * shares[name] for name, provider in by_name.items()}
        return [by_name[name] for name in ranked(item.delivery.id, weights)]
