"""Addresses the embedded set listens on."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Listener:
    """An address a part will listen on, and the variable that changes it."""

    part: str
    host: str
    port: int
    variable: str


def check_free(listeners: Sequence[Listener]) -> None:
    """Raises ConfigError naming the first address that somebody else listens on, and the variable that changes it."""
    for listener in listeners:
        try:
            _bind(listener)
        except OSError as error:
            at = f"{listener.host}:{listener.port}"
            taken = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror or error})"
            raise ConfigError(f"{at}, the port of {listener.part}, {taken}; {listener.variable} changes it") from error


def _bind(listener: Listener) -> None:
    family, kind, _, _, address = socket.getaddrinfo(listener.host, listener.port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind) as probe:
        # As servers do: what the last run left in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
