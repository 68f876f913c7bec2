"""What the email providers that are an HTTP API share: addresses, credentials, what may be told of a refusal."""

from __future__ import annotations

import re
import ssl

from app.domain.errors import ConfigError
from app.domain.provider_file import Entry
from app.settings import Settings
from infrastructure.channels.api_provider import ApiProvider
from infrastructure.channels.email_address import checked_email, sender_address

#: How long to leave a provider alone whose quota of a day or month is used up, seconds: quotas are counted over moving
#: windows or raised by hand, so asking again is the only way to know. AWS advises up to 10 minutes.
QUOTA_WAIT_S = 600.0
#: The same where it takes so many a second.
RATE_WAIT_S = 1.0
#: What a request says it comes from: Resend refuses those that do not say it.
USER_AGENT = "Notify/1"

_WORD = re.compile(r"[A-Za-z][A-Za-z_]{0,63}")
_PRINTABLE = re.compile(r"[!-~]+")


class EmailApiProvider(ApiProvider):
    """Half of port Provider for an email API. `sender` is NOTIFY_EMAIL_FROM."""

    def __init__(self, entry: Entry, settings: Settings, tls: ssl.SSLContext | None = None) -> None:
        """Raises ConfigError for a wrong NOTIFY_EMAIL_FROM."""
        super().__init__(entry, settings, tls)
        self.sender = settings.email_from
        self.sender_domain = sender_address(settings.email_from).rpartition("@")[2]

    def check_address(self, address: str) -> str:
        """As for SMTP. Raises PermanentError (invalid_address). Asks no DNS."""
        return checked_email(address)


def credential(value: str, what: str, name: str) -> str:
    """The value, which can be a header's. Raises ConfigError, which does not quote it."""
    if not _PRINTABLE.fullmatch(value):
        raise ConfigError(f"provider {name}: {what} is empty, or has other than printable ASCII in it")
    return value


def error_word(value: str) -> str:
    """An API's name for an error, to be told; empty for what is no plain word, and might quote anything."""
    return value if _WORD.fullmatch(value) else ""
