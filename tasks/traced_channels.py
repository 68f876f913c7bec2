"""Ports Channels and Provider, traced: each call is a span of its delivery's trace, which the receiver continues."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from app.domain.channel import ChannelSpec
from app.domain.ports import Channels, Message, Provider, Receipt
from app.domain.trace import Tracer
from tasks.measured_channels import result_of


class TracedChannels:
    """The port over another of its kind. A bulk channel calls nobody outside, so that it goes untraced."""

    def __init__(self, channels: Channels, tracer: Tracer) -> None:
        self._channels = channels
        self._tracer = tracer

    def providers(self, channel: str) -> Sequence[Provider]:
        """See `app.domain.ports.Channels`."""
        providers = self._channels.providers(channel)
        if self.spec(channel).is_bulk and not self._tracer.is_on:
            return providers
        return [TracedProvider(provider, channel, self._tracer) for provider in providers]

    def simulator(self, channel: str) -> Provider | None:
        """See `app.domain.ports.Channels`."""
        simulator = self._channels.simulator(channel)
        return None if simulator is None else TracedProvider(simulator, channel, self._tracer)

    def spec(self, channel: str) -> ChannelSpec:
        """See `app.domain.ports.Channels`."""
        return self._channels.spec(channel)

    def close(self) -> None:
        """See `app.domain.ports.Channels`."""
        self._channels.close()


class TracedProvider:
    """The port over another of its kind. Threads may share it where they may share that."""

    def __init__(self, provider: Provider, channel: str, tracer: Tracer) -> None:
        self._provider = provider
        self._channel = channel
        self._tracer = tracer
        self.name = provider.name
        self.timeout_s = provider.timeout_s
        self.terms = provider.terms
        self.check_address = provider.check_address
        self.breaker_key = provider.breaker_key
        self.close = provider.close

    def send(self, messages: Sequence[Message], timeout_s: float) -> list[Receipt | Exception]:
        """See `app.domain.ports.Provider`. Messages without a trace (of an earlier version) get none here."""
        spans = [
            self._tracer.start(
                f"deliver {self._channel}",
                parent=message.traceparent,
                attributes={
                    "notification.id": message.notification_id,
                    "delivery.id": message.delivery_id,
                    "provider": self.name,
                },
            )
            for message in messages
        ]
        traced = [
            structs.replace(message, traceparent=span.traceparent) if message.traceparent else message
            for message, span in zip(messages, spans, strict=True)
        ]
        answers = self._provider.send(traced, timeout_s)
        for span, answer in zip(spans, answers, strict=True):
            result = result_of(answer)
            span.tell({"result": result})
            span.end(error="" if result == "ok" else result)
        return answers
