"""Where the history's Cassandra is: `cassandra://[user:pass@]host1,host2[:port]/keyspace[?dc=...&rf=...]`."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from app.domain.errors import ConfigError

SCHEME = "cassandra"
DEFAULT_PORT = 9042
DEFAULT_REPLICAS = 3

_KEYSPACE = re.compile(r"[a-z][a-z0-9_]{0,47}")
_DC = re.compile(r"[A-Za-z0-9_. -]{1,64}")


class Address(Struct, frozen=True, kw_only=True):
    """The URL taken apart. `dc` empty: that of the first host that answers. `replicas` go for a keyspace being made."""

    hosts: tuple[str, ...]
    port: int
    keyspace: str
    user: str = ""
    password: str = ""
    dc: str = ""
    replicas: int = DEFAULT_REPLICAS


def parse_address(url: str) -> Address:
    """The URL taken apart. Raises ConfigError naming the setting and the part that is wrong, never the password."""
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    keyspace = parts.path.removeprefix("/")
    hosts = tuple((parts.hostname or "").split(","))
    replicas = options.get("rf", str(DEFAULT_REPLICAS))
    _check(parts.scheme == SCHEME, f"the scheme is not {SCHEME}://")
    _check(all(hosts), "a host is missing")
    _check(_KEYSPACE.fullmatch(keyspace) is not None, "the keyspace is not a name of a-z, 0-9 and _")
    _check(options.keys() <= {"dc", "rf"}, "only dc and rf may follow the keyspace")
    _check(replicas.isdecimal() and int(replicas) > 0, "rf is not a whole number above 0")
    _check(_DC.fullmatch(options.get("dc", "any")) is not None, "dc is not the name of a data centre")
    return Address(
        hosts=hosts,
        port=_port(url),
        keyspace=keyspace,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        dc=options.get("dc", ""),
        replicas=int(replicas),
    )


def _port(url: str) -> int:
    try:
        return urlsplit(url).port or DEFAULT_PORT
    except ValueError as error:
        raise ConfigError("NOTIFY_HISTORY_URL: the port, given once behind the last host, is not one") from error


def _check(is_right: bool, fault: str) -> None:
    if not is_right:
        raise ConfigError(f"NOTIFY_HISTORY_URL: {fault}")
