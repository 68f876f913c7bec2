"""Which limits concern a lane, and which a user's delivery: the settings' rates as named GCRA limits.

A key ends with its rate, so that a changed setting starts with a fresh limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct

from app.domain.channel import CHANNEL_BY_NAME
from app.domain.errors import ConfigError
from app.domain.gcra import LaneLimit, Limit
from app.domain.lane import LANES, Lane, Priority
from app.domain.rate import Rate

LaneLimitTable = Mapping[str, tuple[LaneLimit, ...]]

#: Parts of a count that a share is exact to.
_PARTS: Final = 1000


def keys_of(limits: Iterable[Limit], of_lanes: Iterable[LaneLimit]) -> list[str]:
    """The keys of these limits, parts included."""
    lanes = [one.key for limit in of_lanes for one in (limit.whole, *limit.parts)]
    return [*(limit.key for limit in limits), *lanes]


def subject_of(key: str) -> str:
    """What a key's limit is about: `*` or a channel for a user's, `all`, a channel or a priority for a lane's."""
    return key.rsplit(":", 3)[1]


class Shares(Struct, frozen=True, kw_only=True):
    """What of a limit is set aside for high, and for medium and low together: shares of 1."""

    high: float
    low: float


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

    Of the limits that lanes of several priorities share, `share_high` is set aside for high and `share_low` for medium
    and low together, each with its own burst; the rest goes to whoever asks first. So neither can take what is the
    other's, for however short a time. Raises ConfigError for names and shares that make no sense.
    """
    _check_names("limit_channel", channel, CHANNEL_BY_NAME)
    _check_names("limit_priority", priority, list(Priority))
    for name, share in (("limit_share_high", share_high), ("limit_share_low", share_low)):
        if not 0 <= share < 1:
            raise ConfigError(f"{name}: {share} is not a share of 1")
    if share_high + share_low >= 1:
        raise ConfigError(f"limit_share_high, limit_share_low: {share_high} and {share_low} leave nothing to share")

    shares = Shares(high=share_high, low=share_low)

    def limits(lane: Lane) -> Iterable[LaneLimit]:
        for scope, rate in (("all", everything), (lane.channel, channel.get(lane.channel))):
            if rate is not None:
                yield divided(f"lane:{scope}", _paced(rate), lane.priority, shares)
        own = priority.get(lane.priority)
        if own is not None:
            yield LaneLimit(_limit(f"lane:{lane.priority}", _paced(own)))

    return {lane.queue: tuple(limits(lane)) for lane in LANES}


def divided(scope: str, rate: Rate, priority: Priority, shares: Shares) -> LaneLimit:
    """A limit of which a priority may use what is set aside for it, and then what is left for all."""
    group, share = ("high", shares.high) if priority is Priority.HIGH else ("others", shares.low)
    shared = 1 - shares.high - shares.low
    whole = _limit(scope, rate)
    if shared >= 1:
        return LaneLimit(whole)
    own = [_limit(f"{scope}:{group}", _scaled(rate, share))] if share else []
    return LaneLimit(whole, (*own, _limit(f"{scope}:shared", _scaled(rate, shared))))


def _limit(scope: str, rate: Rate) -> Limit:
    return Limit(f"{scope}:{rate}", rate)


def _paced(rate: Rate) -> Rate:
    """At most one second's worth at once, whatever burst the rate has from its period."""
    return Rate(rate.count, rate.period_s, max(1, min(rate.burst, rate.count // rate.period_s)))


def _scaled(rate: Rate, factor: float) -> Rate:
    """Part of a rate. Its burst is at least 1, so that bursts can add up to more than that of the whole."""
    count = max(1, round(rate.count * factor * _PARTS))
    return Rate(count, rate.period_s * _PARTS, max(1, round(rate.burst * factor)))


def _check_names(setting: str, given: Iterable[str], known: Iterable[str]) -> None:
    for name in given:
        if name not in known:
            raise ConfigError(f"{setting}: {name!r} is not one of {', '.join(known)}")
