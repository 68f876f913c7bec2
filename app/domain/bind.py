"""Addresses to listen on, as settings write them: `host:port`, IPv6 in brackets."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from app.domain.errors import ConfigError

#: All addresses of a machine -> one of them.
_OWN: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing listens here


class Bind(Struct, frozen=True):
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def local_host(self) -> str:
        """A host at which this machine itself reaches it, also where it stands for all addresses."""
        return _OWN.get(self.host, self.host)


def parse_bind(text: str, setting: str, *, any_port: bool = False) -> Bind:
    """The address that a setting holds; `any_port` allows port 0. Raises ConfigError naming the setting."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or (not port and not any_port) or parts.netloc != text:
        raise ConfigError(f"{setting}: {text!r} is not host:port")
    return Bind(host, port)
