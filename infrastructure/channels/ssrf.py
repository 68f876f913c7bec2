"""What webhooks may reach: the guard against server-side request forgery."""

from __future__ import annotations

import ipaddress
import re
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from app.domain.errors import ConfigError, PermanentError
from app.domain.outcome import Reason
from infrastructure.channels.timed_socket import IpAddress

_PORTS = {"http": 80, "https": 443}
_NEVER_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")
_V4_IN_LAST_BITS = (
    ipaddress.IPv6Network("64:ff9b::/96"),  # NAT64, RFC 6052
    ipaddress.IPv6Network("::/96"),  # IPv4-compatible, RFC 4291
)


class Target(Struct, frozen=True, kw_only=True):
    """A URL taken apart. `host` is a name in ASCII or an address without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """host:port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> str:
        """What a connection can be kept for."""
        return f"{self.scheme}://{self.authority}"

    @property
    def url(self) -> str:
        """The URL in normal form."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host if self.port == _PORTS[self.scheme] else self.authority}{self.path}"

    @classmethod
    def parse(cls, url: str) -> Target:
        """Raises PermanentError: invalid_address for what is no http(s) URL, forbidden_address for one with a user."""
        try:
            parts = parse_url(url)
        except (LocationParseError, UnicodeError) as error:
            raise _invalid() from error
        if _NEVER_IN_URL.search(url) or parts.scheme not in _PORTS or not parts.host or parts.port == 0:
            raise _invalid()
        if parts.auth is not None:
            raise PermanentError(Reason.FORBIDDEN_ADDRESS, "user in the URL")
        return cls(
            scheme=parts.scheme,
            host=parts.host.strip("[]"),
            port=parts.port or _PORTS[parts.scheme],
            path=parts.request_uri,
        )


class AddressGuard:
    """Lets through what is globally routable, and the networks that the operator allows on top."""

    def __init__(self, allow: str) -> None:
        """`allow`: networks, comma separated. Raises ConfigError."""
        try:
            self._allowed = [
                ipaddress.ip_network(part.strip(), strict=False) for part in allow.split(",") if part.strip()
            ]
        except ValueError as error:
            raise ConfigError(f"NOTIFY_WEBHOOK_ALLOW: {error}") from error

    def permits(self, address: IpAddress) -> bool:
        """Whether a webhook may connect to it. An address that carries IPv4 ones is judged by those."""
        if any(address in network for network in self._allowed):
            return True
        inner = _embedded(address)
        return all(self.permits(one) for one in inner) if inner else _is_public(address)

    def allows(self, host: str) -> bool:
        """Whether the host is an address that the operator allows, public or not."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in self._allowed)

    def check(self, addresses: list[IpAddress]) -> list[IpAddress]:
        """Those that are permitted. Raises PermanentError (forbidden_address) where none is."""
        permitted = [address for address in addresses if self.permits(address)]
        if not permitted:
            raise PermanentError(Reason.FORBIDDEN_ADDRESS, "not a public address")
        return permitted

    def check_literal(self, host: str) -> None:
        """Check a host that is an address; names pass. Raises PermanentError (forbidden_address)."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return
        self.check([address])


def _is_public(address: IpAddress) -> bool:
    is_special = address.is_multicast or address.is_reserved or address.is_link_local or address.is_unspecified
    is_site_local = isinstance(address, IPv6Address) and address.is_site_local
    return address.is_global and not is_special and not is_site_local


def _embedded(address: IpAddress) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to by a translator or tunnel."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if any(address in network for network in _V4_IN_LAST_BITS):
        found.append(IPv4Address(int(address) & 0xFFFF_FFFF))
    return [one for one in found if one is not None]


def _invalid() -> PermanentError:
    return PermanentError(Reason.INVALID_ADDRESS, "not an http(s) URL")
