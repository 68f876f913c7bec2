"""Whom to call for a delivery: by weight and health, past open breakers, within the copy's time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from app.domain.lane import Priority
from app.domain.provider_choice import ranked

if TYPE_CHECKING:
    from app.domain.batch import Item
    from app.domain.ports import Provider
    from tasks.context import StepContext


class Found(Struct, frozen=True, kw_only=True):
    """Whom to call; or nobody, until a trial has ended (`is_wait`), a breaker's time (ms), or for want of time (0)."""

    provider: Provider | None = None
    is_wait: bool = False
    open_until_ms: int = 0


def longest_s(item: Item, provider: Provider) -> float:
    """How long a call for this delivery may take."""
    is_high = item.delivery.priority is Priority.HIGH
    return (is_high and provider.terms.timeout_high_s) or provider.timeout_s


class ProviderChoice:
    """For the deliveries of one copy. `busy` are names of providers that are being called now."""

    def __init__(self, providers: Sequence[Provider], context: StepContext, not_after_ms: int) -> None:
        self._providers = providers
        self._context = context
        self._not_after_ms = not_after_ms

    def has_time(self, item: Item, provider: Provider) -> bool:
        """Whether a call started now would end before the copy's not_after."""
        return self._context.now_ms() + longest_s(item, provider) * 1000 <= self._not_after_ms

    def first(self, item: Item, busy: Collection[str]) -> Found:
        """Whom to call first."""
        looks = []
        for provider in self._in_order(item):
            look = self._look(item, provider, busy)
            if look.provider is not None:
                return look
            looks.append(look)
        open_until_ms = [look.open_until_ms for look in looks if look.open_until_ms]
        return Found(is_wait=any(look.is_wait for look in looks), open_until_ms=min(open_until_ms, default=0))

    def other(self, item: Item, but: Sequence[Provider]) -> Provider | None:
        """Whom to call next, of those that were not called; a breaker's trial is for first calls."""
        names = {provider.name for provider in but}
        left = (provider for provider in self._in_order(item) if provider.name not in names)
        return next((provider for provider in left if self.may_call(item, provider, names)), None)

    def may_call(self, item: Item, provider: Provider, busy: Collection[str]) -> bool:
        """Whether this one may be called."""
        return self._look(item, provider, busy).provider is not None

    def _look(self, item: Item, provider: Provider, busy: Collection[str]) -> Found:
        """This one, or why not."""
        if not self.has_time(item, provider):
            return Found()
        state = self._context.breakers.state(provider.breaker_key(item.address))
        if state.open_until_ms > self._context.now_ms():
            return Found(open_until_ms=state.open_until_ms)
        if state.level and provider.name in busy:
            return Found(is_wait=True)
        return Found(provider=provider)

    def _in_order(self, item: Item) -> Sequence[Provider]:
        if len(self._providers) == 1:
            return self._providers
        by_name = {provider.name: provider for provider in self._providers}
        shares = self._context.health.shares(list(by_name))
        weights = {name: provider.terms.weight * shares[name] for name, provider in by_name.items()}
        return [by_name[name] for name in ranked(item.delivery.id, weights)]
