"""Ports Channels and Provider, measured: hand everything on and time each call."""

from __future__ import annotations

import time
from collections.abc import Sequence

from app.domain.channel import ChannelSpec
from app.domain.errors import (
    InDoubtError,
    PermanentError,
    ProviderTimeoutError,
    ThrottledError,
)
from app.domain.meter import METER
from app.domain.metric_catalogue import CALL
from app.domain.ports import Channels, Message, Provider, Receipt


class MeasuredChannels:
    """The port over another of its kind."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    def providers(self, channel: str) -> Sequence[Provider]:
        """See `app.domain.ports.Channels`."""
        return [MeasuredProvider(provider, channel) for provider in self._channels.providers(channel)]

    def simulator(self, channel: str) -> Provider | None:
        """See `app.domain.ports.Channels`."""
        simulator = self._channels.simulator(channel)
        return None if simulator is None else MeasuredProvider(simulator, channel)

    def spec(self, channel: str) -> ChannelSpec:
        """See `app.domain.ports.Channels`."""
        return self._channels.spec(channel)

    def close(self) -> None:
        """See `app.domain.ports.Channels`."""
        self._channels.close()


class MeasuredProvider:
    """The port over another of its kind. Threads may share it where they may share that."""

    def __init__(self, provider: Provider, channel: str) -> None:
        self._provider = provider
        self._channel = channel
        self.name = provider.name
        self.timeout_s = provider.timeout_s
        self.terms = provider.terms
        self.check_address = provider.check_address
        self.breaker_key = provider.breaker_key
        self.close = provider.close

    def send(self, messages: Sequence[Message], timeout_s: float) -> list[Receipt | Exception]:
        """See `app.domain.ports.Provider`. A call for many messages counts once, by its first answer."""
        started_at = time.perf_counter()
        answers = self._provider.send(messages, timeout_s)
        result = result_of(answers[0]) if answers else "ok"
        METER.observe(CALL, time.perf_counter() - started_at, (self._channel, self.name, result))
        return answers


def result_of(answer: Receipt | Exception) -> str:
    """The answer in one word."""
    if isinstance(answer, Receipt):
        return "ok"
    words = ((ProviderTimeoutError, "timeout"), (ThrottledError, "throttled"), (PermanentError, "rejected"))
    if isinstance(answer, InDoubtError):
        return "in_doubt"
    return next((word for kind, word in words if isinstance(answer, kind)), "transient")
