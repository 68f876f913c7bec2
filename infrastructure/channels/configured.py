"""The providers of the settings' file, made: secrets looked up, one branch a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from app.domain.errors import ConfigError
from app.domain.ports import Provider, ReceiptReader
from app.domain.provider_file import (
    AnyEntry,
    ApnsEntry,
    FcmEntry,
    HttpSmsEntry,
    ResendEntry,
    Secret,
    SesEntry,
    SmtpEntry,
    TwilioEntry,
    WebPushEntry,
    load_providers,
)
from app.settings import Settings, secret_from_environment
from infrastructure.channels.api_provider import terms_of, timeout_of
from infrastructure.channels.email import EmailProvider
from infrastructure.channels.http_sms import HttpSmsProvider
from infrastructure.channels.resend import ResendProvider
from infrastructure.channels.ses import SesProvider
from infrastructure.channels.twilio import TwilioProvider


def entries_of(settings: Settings) -> Sequence[AnyEntry]:
    """What the file has; nothing where none is set. Raises ConfigError."""
    if settings.providers is None:
        return []
    try:
        text = settings.providers.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"NOTIFY_PROVIDERS: {settings.providers} cannot be read") from error
    entries = load_providers(text, settings.providers.name)
    for entry in entries:
        longest_s = max(entry.timeout_s or 0.0, entry.timeout_high_s or 0.0)
        if longest_s * 2 > min(settings.not_after_high_s, settings.not_after_s):
            raise ConfigError(
                f"provider {entry.name}: a time-out must be at most half of NOTIFY_NOT_AFTER_HIGH_S and _NOT_AFTER_S"
            )
    return entries


def configured(channel: str, settings: Settings) -> Iterator[Provider]:
    """The channel's providers in the file. Raises ConfigError."""
    for entry in entries_of(settings):
        if entry.channel == channel:
            yield made(entry, settings)


def made(entry: AnyEntry, settings: Settings) -> Provider:
    """One provider; connects to nothing yet. Raises ConfigError."""
    if isinstance(entry, SmtpEntry):
        relay = EmailProvider(settings, _secret(entry.url, entry), name=entry.name, terms=terms_of(entry, settings))
        relay.timeout_s = timeout_of(entry, settings)
        return relay
    if isinstance(entry, SesEntry):
        given = (entry.access_key_id, entry.secret_access_key, entry.session_token)
        key_id, key, token = (_secret(value, entry) for value in given)
        return SesProvider(entry, key_id, key, token, settings)
    if isinstance(entry, ResendEntry):
        return ResendProvider(entry, _secret(entry.api_key, entry), settings)
    if isinstance(entry, TwilioEntry):
        return TwilioProvider(entry, _secret(entry.auth_token, entry), settings)
    if isinstance(entry, HttpSmsEntry):
        secrets = {name: _secret(value, entry) for name, value in entry.headers.items() if not isinstance(value, str)}
        return HttpSmsProvider(entry, _secret(entry.url, entry), secrets, settings)
    if isinstance(entry, (FcmEntry, ApnsEntry, WebPushEntry)):
        return _made_for_push(entry, settings)
    raise TypeError(f"no provider is made of a {type(entry).__name__}")


def _made_for_push(entry: FcmEntry | ApnsEntry | WebPushEntry, settings: Settings) -> Provider:
    """Each is imported only here: Google's library, HTTP/2 and cryptography take memory that others can do without."""
    if isinstance(entry, FcmEntry):
        from infrastructure.channels.fcm import FcmProvider

        return FcmProvider(entry, _secret(entry.service_account, entry), settings)
    if isinstance(entry, ApnsEntry):
        from infrastructure.channels.apns import ApnsProvider

        return ApnsProvider(entry, _secret(entry.key, entry), settings)
    from infrastructure.channels.web_push import WebPushProvider

    return WebPushProvider(entry, _secret(entry.private_key, entry), settings)


def reader_of(entry: AnyEntry, settings: Settings, fetch: Callable[[str], bytes]) -> ReceiptReader | None:
    """What reads its reports; None where it sends none, or the file does not say how they are signed.

    `fetch` reads what SNS points to. Raises ConfigError.
    """
    if isinstance(entry, TwilioEntry):
        from infrastructure.channels.twilio_receipts import TwilioReceipts

        return TwilioReceipts(entry, _secret(entry.auth_token, entry), settings)
    if isinstance(entry, ResendEntry) and entry.signing_secret:
        from infrastructure.channels.resend_receipts import ResendReceipts

        return ResendReceipts(entry, _secret(entry.signing_secret, entry), settings)
    if isinstance(entry, SesEntry) and entry.topic_arn:
        from infrastructure.channels.ses_receipts import SesReceipts

        return SesReceipts(entry, settings, fetch)
    return None


def _secret(value: Secret, entry: AnyEntry) -> str:
    """The text itself, or what the variable or the file holds. Raises ConfigError naming the provider."""
    if isinstance(value, str):
        return value
    if bool(value.env) == bool(value.file):
        raise ConfigError(f"provider {entry.name}: a secret has either env or file")
    try:
        return secret_from_environment(value.env) if value.env else Path(value.file).read_text().strip()
    except ConfigError as error:
        raise ConfigError(f"provider {entry.name}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"provider {entry.name}: {value.file} cannot be read") from error
