"""Which limits concern a lane, and which a user's delivery: the settings' rates as named GCRA limits.

A key ends with its rate, so that a changed setting starts with a fresh limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from app.domain.channel import CHANNEL_BY_NAME
from app.domain.errors import ConfigError
from app.domain.gcra import Limit
from app.domain.lane import LANES, Lane, Priority
from app.domain.rate import Rate

LaneLimitTable = Mapping[str, tuple[Limit, ...]]

#: Parts of a count that a share is exact to.
_PARTS: Final = 1000


class UserRates(Struct, frozen=True, kw_only=True):
    """The limits on what one user gets: of everything, and by channel. The keys are what follows the user's id."""

    user: Limit | None
    channel: Mapping[str, Limit]

    def limits(self, user_id: str, channel: str) -> list[Limit]:
        """The limits of a delivery, none to two."""
        return [
            Limit(f"user:{user_id}:{limit.key}", limit.rate)
            for limit in (self.user, self.channel.get(channel))
            if limit is not None
        ]


def user_rates(user: Rate | None, channel: Mapping[str, Rate]) -> UserRates:
    """The user limits of the settings. Raises ConfigError for a channel that is none."""
    _check_names("limit_user_channel", channel, CHANNEL_BY_NAME)
    return UserRates(
        user=None if user is None else Limit(f"*:{user}", user),
        channel={name: Limit(f"{name}:{rate}", rate) for name, rate in channel.items()},
    )


def lane_limits(
    *,
    everything: Rate | None,
    channel: Mapping[str, Rate],
    priority: Mapping[str, Rate],
    share_high: float,
    share_low: float,
) -> LaneLimitTable:
    """The limits of every lane, by queue name.

    Of the limits that lanes of several priorities share, medium and low together get all but `share_high`, and high
    all but `share_low`, so that neither starves. Raises ConfigError for names and shares that make no sense.
    """
    _check_names("limit_channel", channel, CHANNEL_BY_NAME)
    _check_names("limit_priority", priority, list(Priority))
    for name, share in (("limit_share_high", share_high), ("limit_share_low", share_low)):
        if not 0 <= share < 1:
            raise ConfigError(f"{name}: {share} is not a share of 1")

    def limits(lane: Lane) -> Iterable[Limit]:
        share_of_others = share_low if lane.priority is Priority.HIGH else share_high
        group = "high" if lane.priority is Priority.HIGH else "others"
        for scope, rate in (("all", everything), (lane.channel, channel.get(lane.channel))):
            if rate is not None:
                yield _paced(f"lane:{scope}", rate)
                if share_of_others:
                    yield _paced(f"lane:{scope}:{group}", _scaled(rate, 1 - share_of_others))
        own = priority.get(lane.priority)
        if own is not None:
            yield _paced(f"lane:{lane.priority}", own)

    return {lane.queue: tuple(limits(lane)) for lane in LANES}


def _paced(scope: str, rate: Rate) -> Limit:
    """A lane limit: at most one second's worth at once, whatever burst the rate has from its period."""
    paced = Rate(rate.count, rate.period_s, max(1, min(rate.burst, rate.count // rate.period_s)))
    return Limit(f"{scope}:{paced}", paced)


def _scaled(rate: Rate, factor: float) -> Rate:
    return Rate(max(1, round(rate.count * factor * _PARTS)), rate.period_s * _PARTS, max(1, int(rate.burst * factor)))


def _check_names(setting: str, given: Iterable[str], known: Iterable[str]) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(f"{setting}: {name!r} is not one of {', '.join(known)}")
