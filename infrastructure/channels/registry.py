"""The channels that have an adapter: one line each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from app.domain.channel import CHANNEL_BY_NAME, ChannelSpec
from app.domain.ports import Inbox, Provider
from app.domain.simulator import has_test_addresses
from app.settings import Settings
from infrastructure.channels.chat import ChatProvider
from infrastructure.channels.email import EmailProvider
from infrastructure.channels.in_app import InAppProvider
from infrastructure.channels.log import LogProvider
from infrastructure.channels.simulator import SimulatedProvider
from infrastructure.channels.webhook import WebhookProvider

Make = Callable[[Settings, Inbox, bytes], Provider | None]

ADAPTERS: Mapping[str, Make] = {
    "email": lambda settings, inbox, secret: EmailProvider(settings) if settings.smtp_url else None,
    "webhook": lambda settings, inbox, secret: WebhookProvider(settings, secret),
    "chat": lambda settings, inbox, secret: ChatProvider(settings, secret) if settings.chat_schemas else None,
    "in_app": lambda settings, inbox, secret: InAppProvider(inbox, settings.provider_timeout_s),
    "log": lambda settings, inbox, secret: LogProvider(settings.provider_timeout_s),
}


class ChannelRegistry:
    """Port Channels. `secret` is the key that everything derived is derived from. Threads may share it."""

    def __init__(self, settings: Settings, inbox: Inbox, secret: bytes) -> None:
        self._settings = settings
        self._inbox = inbox
        self._secret = secret
        self._providers: dict[str, tuple[Provider, ...]] = {}
        self._lock = threading.Lock()

    def providers(self, channel: str) -> Sequence[Provider]:
        """As the port says. Raises ConfigError where a setting of the channel is wrong."""
        with self._lock:
            if channel not in self._providers:
                self._providers[channel] = tuple(self._made(channel))
            return self._providers[channel]

    def simulator(self, channel: str) -> Provider | None:
        """As the port says."""
        if not self._settings.test_addresses or not has_test_addresses(channel):
            return None
        return SimulatedProvider(CHANNEL_BY_NAME[channel], self._settings.provider_timeout_s)

    def spec(self, channel: str) -> ChannelSpec:
        """As the port says. Raises KeyError for a name that is no channel."""
        return CHANNEL_BY_NAME[channel]

    def close(self) -> None:
        """As the port says; a provider asked for later is made again."""
        with self._lock:
            for provider in (one for of_channel in self._providers.values() for one in of_channel):
                provider.close()
            self._providers.clear()

    def _made(self, channel: str) -> Iterator[Provider]:
        """What the settings configure by themselves, then what the file of providers has."""
        make = ADAPTERS.get(channel)
        own = make(self._settings, self._inbox, self._secret) if make else None
        if own is not None:
            yield own
        if self._settings.providers is not None:
            # Only here: phone numbers' rules and the APIs take memory that most processes can do without.
            from infrastructure.channels.configured import configured

            yield from configured(channel, self._settings)
