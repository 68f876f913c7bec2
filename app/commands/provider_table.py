"""What is known of all providers: what the settings say of them, and how they do now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from app.commands.output import shown_time
from app.domain.channel import CHANNELS
from app.domain.clock import now_ms
from app.domain.ports import BreakerState, Channels, Provider, SwitchedOff
from app.settings import Settings
from infrastructure import wiring
from infrastructure.channels.configured import entries_of

COLUMNS: Final = (
    *("channel", "name", "kind", "weight", "rate", "timeout_s", "health_percent", "breaker"),
    *("disabled_at", "disabled_until", "by", "reason"),
)


class Named(Struct, frozen=True):
    """A provider with its channel."""

    channel: str
    provider: Provider


def all_providers(channels: Channels) -> list[Named]:
    """Those of every channel, in the order of channels. Raises ConfigError."""
    return [Named(spec.name, provider) for spec in CHANNELS for provider in channels.providers(spec.name)]


def table(config: Settings, found: list[Named], off: Mapping[str, SwitchedOff] | None) -> list[tuple[Any, ...]]:
    """A row of each. `off` None: Redis does not answer, and nothing is known of how they do."""
    kinds = {entry.name: str(type(entry).__struct_config__.tag) for entry in entries_of(config)}
    names = [one.provider.name for one in found]
    shares = wiring.provider_health(config).shares(names) if off is not None else {}
    states = wiring.breakers(config).states(names) if off is not None else {}
    return [
        (
            one.channel,
            name,
            kinds.get(name, name),
            one.provider.terms.weight,
            str(one.provider.terms.rate) if one.provider.terms.rate else None,
            one.provider.timeout_s,
            round(100 * shares[name]) if off is not None else None,
            _breaker(one, states),
            *_switch((off or {}).get(name)),
        )
        for one, name in zip(found, names, strict=True)
    ]


def _breaker(one: Named, states: Mapping[str, BreakerState]) -> str | None:
    if one.channel in _PER_TARGET or one.provider.terms.breaker_per_target:
        return "one a host"
    state = states.get(one.provider.name)
    if state is None:
        return None
    if state.open_until_ms > now_ms():
        return f"open until {shown_time(state.open_until_ms)}"
    return "half open" if state.level else "closed"


def _switch(off: SwitchedOff | None) -> tuple[str | None, ...]:
    if off is None:
        return (None, None, None, None)
    return (shown_time(off.at_ms), shown_time(off.until_ms) if off.until_ms else None, off.by, off.reason)


_PER_TARGET: Final = {spec.name for spec in CHANNELS if spec.breaker_per_target}
