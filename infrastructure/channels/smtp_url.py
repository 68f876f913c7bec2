"""The setting that says where mail goes: `smtp://user:pass@host:port`, `smtps://` for TLS from the first byte."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from msgspec import Struct

from app.domain.errors import ConfigError

_DEFAULT_PORTS = {"smtp": 25, "smtps": 465}


class SmtpUrl(Struct, frozen=True, kw_only=True):
    """Where the SMTP server is, and who we are to it (`user` empty: nobody)."""

    host: str
    port: int
    is_tls: bool = False
    user: str = ""
    password: str = ""

    @classmethod
    def parse(cls, url: str, setting: str = "NOTIFY_SMTP_URL") -> SmtpUrl:
        """Raises ConfigError, which names the setting and does not quote the URL: it may hold a password."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"{setting} is not a URL") from error
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise ConfigError(f"{setting} must be smtp://host:port or smtps://host:port")
        return cls(
            host=parts.hostname,
            port=port or _DEFAULT_PORTS[parts.scheme],
            is_tls=parts.scheme == "smtps",
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )
