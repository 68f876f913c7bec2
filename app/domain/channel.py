"""The channels: one line each in `CHANNELS`. An adapter is the module of the same name in `infrastructure/channels`."""

from __future__ import annotations

from msgspec import Struct


class ChannelSpec(Struct, frozen=True, kw_only=True):
    """What the pipeline must know of a channel, whoever its provider is.

    `contact` names the field of a user's contacts (and of `options.to`) that holds the address; None means that
    the user id is the address. `concurrency` is how many provider calls one worker child makes at a time; a bulk
    channel takes a whole batch in one call. Only channels that call a network are bound in batches out. With
    `breaker_per_target` a breaker belongs to the address's host and parks its deliveries; else it is the provider's
    and pauses the lane. With `has_devices` a delivery goes to all of the user's devices, else to one address.
    """

    name: str
    contact: str | None
    calls_network: bool = True
    concurrency: int = 1
    is_bulk: bool = False
    breaker_per_target: bool = False
    has_devices: bool = False


def may_go_out(*, is_high: bool, high: int, others: int, bound: int, others_wait: bool = False) -> bool:
    """Whether one more batch of a channel may go out, of which so many of high and of others are, with this bound.

    Medium and low have at most half of it, and where they wait, one is theirs whatever high wants; where the bound
    is 1, low must not take it from high.
    """
    if is_high:
        return high < max(1, bound - max(others, others_wait))
    return others < max(1, bound // 2) and high + others < bound


CHANNELS: tuple[ChannelSpec, ...] = (
    ChannelSpec(name="email", contact="email"),
    ChannelSpec(name="push", contact="push", concurrency=64, has_devices=True),
    ChannelSpec(name="sms", contact="phone", concurrency=16),
    ChannelSpec(name="webhook", contact="webhook", concurrency=16, breaker_per_target=True),
    ChannelSpec(name="chat", contact="chat", concurrency=8, breaker_per_target=True),
    ChannelSpec(name="in_app", contact=None, calls_network=False, is_bulk=True),
    ChannelSpec(name="log", contact=None, calls_network=False, is_bulk=True),
)
CHANNEL_BY_NAME: dict[str, ChannelSpec] = {spec.name: spec for spec in CHANNELS}
