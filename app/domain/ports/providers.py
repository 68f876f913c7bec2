"""Those who take messages, and how messages are made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from app.domain.catalogue import EventRule
from app.domain.channel import ChannelSpec
from app.domain.delivery import Delivery
from app.domain.lane import Lane
from app.domain.rate import Rate
from app.domain.users import Recipient


class Message(Struct, frozen=True, kw_only=True):
    """A rendered delivery. `delivery_id` is the key that providers recognise a repetition by.

    `unsubscribe_url` (empty: none) turns the category off for the user with one POST.
    `key_id` is the API key of who sent the event, empty where nobody is to be told what becomes of it.
    `expires_at_ms`: when nobody wants it any more (Unix milliseconds; 0: not told). `is_high`: it is of that priority.
    """

    delivery_id: str
    notification_id: str
    user_id: str
    event_type: str
    category: str
    address: str
    subject: str
    text: str
    html: str
    metadata: Mapping[str, Any]
    created_at_ms: int
    expires_at_ms: int = 0
    is_high: bool = False
    traceparent: str = ""
    unsubscribe_url: str = ""
    key_id: str = ""


class Receipt(Struct, frozen=True, kw_only=True):
    """A provider's yes, with its id for the message."""

    provider_id: str = ""


class ProviderTerms(Struct, frozen=True, kw_only=True):
    """How a provider is used beside the others of its channel.

    `weight` is its part of the deliveries, in proportion to the others'; a call that takes longer than `slow_s` speaks
    against its health. `timeout_high_s` (0: as all) is the longest call for a delivery of high. `rate` is how many
    calls all processes together may make of it; None: as many as there are deliveries. `platforms`: whose devices it
    reaches, where the channel has devices. `breaker_per_target`: its breakers belong to the hosts of addresses,
    although the others' of its channel are the providers'; its `breaker_key("")` is never reported to.
    `is_simulated`: it calls nobody, so that nothing is learned by its answers.
    """

    weight: float = 1.0
    slow_s: float = math.inf
    timeout_high_s: float = 0.0
    rate: Rate | None = None
    platforms: tuple[str, ...] = ()
    breaker_per_target: bool = False
    is_simulated: bool = False


class Provider(Protocol):
    """One way to hand messages over."""

    name: str
    timeout_s: float
    terms: ProviderTerms

    def send(self, messages: Sequence[Message], timeout_s: float) -> list[Receipt | Exception]:
        """Hand the messages over within `timeout_s`; per message a receipt or a `DeliveryError`. Raises nothing.

        A bulk channel gets many at once, any other one at a time, from several threads where its concurrency is
        above 1. A call may end late by the time the system needs to notice, never by another timeout.
        """

    def check_address(self, address: str) -> str:
        """The address in normal form. Raises `PermanentError` (invalid_address, forbidden_address). No I/O."""

    def breaker_key(self, address: str) -> str:
        """What fails together: the provider's name, or the target host for webhooks."""

    def close(self) -> None:
        """Give connections back."""


class Channels(Protocol):
    """The providers at hand."""

    def providers(self, channel: str) -> Sequence[Provider]:
        """The channel's providers; none where none is configured. Made in the process that asks first.

        All of them have the same idea of an address; where the channel has devices, all of a platform.
        """

    def simulator(self, channel: str) -> Provider | None:
        """What answers the channel's test addresses (`app.domain.simulator`); None: they are like any others here."""

    def spec(self, channel: str) -> ChannelSpec:
        """What the pipeline knows of the channel."""

    def close(self) -> None:
        """Close what was made."""


class Renderer(Protocol):
    """The catalogue's templates, filled in."""

    def render(self, rule: EventRule, delivery: Delivery, recipient: Recipient | None) -> tuple[str, str, str]:
        """(subject, text, html). Raises `PermanentError` for whatever goes wrong; no I/O."""


class BreakerState(Struct, frozen=True, kw_only=True):
    """A provider's breaker as all processes see it: open until a time, then half open until a call succeeds."""

    open_until_ms: int = 0
    level: int = 0


class SwitchedOff(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An operator has disabled a provider: since when, until when (0: until it is enabled), who and why."""

    at_ms: int
    until_ms: int = 0
    by: str = ""
    reason: str = ""

    def holds(self, now_ms: int) -> bool:
        """Whether it is off at this time."""
        return not self.until_ms or now_ms < self.until_ms


class ProviderSwitches(Protocol):
    """Which providers operators have disabled. Workers see a change with their next look at a breaker."""

    def all(self) -> Mapping[str, SwitchedOff]:
        """Those that are off, by name."""

    def disable(self, provider: str, off: SwitchedOff) -> None:
        """Switch it off, whatever was said of it before."""

    def enable(self, provider: str) -> bool:
        """Switch it on; whether it was off."""


class Breakers(Protocol):
    """Circuit breakers, shared. With the store away each process goes by what it saw itself; raises nothing."""

    def state(self, key: str) -> BreakerState:
        """The breaker's state, at most 250 ms old."""

    def report(self, key: str, *, is_success: bool, weight: int = 1) -> None:
        """Count a call's end; opens the breaker where too much failed."""

    def off(self, provider: str) -> SwitchedOff | None:
        """Whether an operator has disabled this provider, as the latest look at any breaker has told. Asks nobody."""


class ProviderHealth(Protocol):
    """How well providers do, by all processes' calls; with the store away, by this one's. Raises nothing."""

    def shares(self, names: Sequence[str]) -> Mapping[str, float]:
        """How much of its weight each is to be given now, above 0 and up to 1; at most 250 ms old."""

    def report(self, name: str, *, is_bad: bool) -> None:
        """Count a call's end. Bad: it failed for now, was slow, or never answered."""


class ProviderRates(Protocol):
    """How many calls providers with a rate may be given, all processes together; with the store away, a share of it.

    Raises nothing.
    """

    def take(self, provider: str, rate: Rate, lane: Lane, waiting: int) -> float:
        """Take one call for a delivery of this lane, to be made at once: 0 where it may, else after how many seconds.

        `waiting` is how many may be called for soon, this one included: so many may be taken at a time.
        """
