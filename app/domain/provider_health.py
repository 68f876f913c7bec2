"""How much of its weight a provider is given, by the errors and the slowness of its latest calls: pure rules.

The counts fade: each call counts half after `half_life_s`, which is a sliding window that two numbers describe. Where
too many of them were bad, the share falls at once, steeper than what is good of them. It comes back only when a call
has done well, or nobody has called for long, and then slowly: one that has only just recovered is not flooded, and one
that is still slow does not get more and more again while a call of it runs.
`infrastructure/redis/provider_health.lua` does the same for all processes.
"""

from __future__ import annotations

from msgspec import Struct

#: How much faster the share falls than what is good of the calls: those from before the trouble are good still.
STEEP = 3


class HealthPolicy(Struct, frozen=True, kw_only=True):
    """`back_s`: from nothing to everything again. `least`: what is left of any share, to see how it does."""

    half_life_s: float = 2.0
    least_calls: float = 3.0
    most_bad: float = 0.3
    least: float = 0.005
    back_s: float = 60.0


class Health(Struct, frozen=True, kw_only=True):
    """A provider's health at a moment (Unix milliseconds); a new one is well. `is_down`: its latest calls were bad."""

    at_ms: int = 0
    share: float = 1.0
    calls: float = 0.0
    bad: float = 0.0
    is_down: bool = False


WELL = Health()


def after_calls(policy: HealthPolicy, health: Health, calls: int, bad: int, now_ms: int) -> Health:
    """The health after so many calls, of which so many were bad. None of them: only time has passed."""
    passed_s = max(0, now_ms - health.at_ms) / 1000
    fading = 0.5 ** (passed_s / policy.half_life_s)
    all_calls, all_bad = health.calls * fading + calls, health.bad * fading + bad
    rising_s = max(0.0, passed_s - policy.back_s) if health.is_down else passed_s
    share = min(1.0, health.share + rising_s / policy.back_s)
    is_down = health.is_down
    if calls:
        is_down = bad > calls * policy.most_bad and (all_calls >= policy.least_calls or health.share < 1)
        if is_down:
            share = max(policy.least, min(health.share, (1 - all_bad / all_calls) ** STEEP))
    return Health(at_ms=max(now_ms, health.at_ms), share=share, calls=all_calls, bad=all_bad, is_down=is_down)
