"""Channel email: SMTP over one kept connection."""

from __future__ import annotations

import time

from app.domain.ports import Message, ProviderTerms, Receipt
from app.settings import Settings
from infrastructure.channels.email_address import checked_email, sender_address
from infrastructure.channels.email_message import build_email
from infrastructure.channels.one_by_one import OneByOneProvider
from infrastructure.channels.resolver import Resolver
from infrastructure.channels.smtp_session import SessionLostError, SmtpSession
from infrastructure.channels.smtp_url import SmtpUrl
from infrastructure.channels.timed_socket import Deadline

_CHECK_SHARE = 4  # a check may use a quarter of the call's time: the rest is for a new connection


class EmailProvider(OneByOneProvider):
    """Port Provider. For one thread at a time (the channel's concurrency is 1)."""

    name = "smtp"

    def __init__(
        self, settings: Settings, url: str = "", *, name: str = "", terms: ProviderTerms | None = None
    ) -> None:
        """A relay of the file of providers, else that of the settings. Connects to nothing yet.

        Raises ConfigError for a wrong URL or NOTIFY_EMAIL_FROM.
        """
        self.name = name or self.name
        self.terms = terms or self.terms
        self.timeout_s = settings.provider_timeout_s
        self._settings = settings
        self._url = SmtpUrl.parse(url or settings.smtp_url, f"provider {name}: url" if name else "NOTIFY_SMTP_URL")
        self._from = settings.email_from
        self._sender = sender_address(settings.email_from)
        self._domain = self._sender.rpartition("@")[2]
        self._resolver = Resolver(settings.resolver_threads)
        self._session: SmtpSession | None = None

    def hand_over(self, message: Message, deadline: Deadline) -> Receipt:
        """Four round trips over the kept connection."""
        content = build_email(message, self._from, self._domain)
        recipient = self.check_address(message.address)
        kept = self._kept_session(deadline)
        session = kept or self._open(deadline)
        try:
            session.begin(self._sender, deadline)
        except SessionLostError:
            if kept is None:
                raise
            # The server had hung up; it has not seen anything of this message.
            session = self._open(deadline)
            session.begin(self._sender, deadline)
        return Receipt(provider_id=session.finish(recipient, content))

    def check_address(self, address: str) -> str:
        """The address with its domain in ASCII. Raises PermanentError (invalid_address). Asks no DNS."""
        return checked_email(address)

    def breaker_key(self, address: str) -> str:
        """The provider's name: one server for all addresses."""
        return self.name

    def close(self) -> None:
        """Hang up."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _kept_session(self, deadline: Deadline) -> SmtpSession | None:
        session, now_s = self._session, time.monotonic()
        if session is None or not session.is_open:
            return None
        if now_s - session.opened_at_s > self._settings.smtp_age_s:
            session.close()
            return None
        is_idle = now_s - session.used_at_s > self._settings.smtp_idle_s
        if is_idle and not session.answers(deadline.within(deadline.remaining_s() / _CHECK_SHARE)):
            return None
        return session

    def _open(self, deadline: Deadline) -> SmtpSession:
        self._session = SmtpSession(self._url, self._resolver.resolve(self._url.host, deadline), deadline)
        return self._session
