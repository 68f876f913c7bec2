"""Ports for what a test starts."""

from __future__ import annotations

import random
import socket

# Below what Linux (32768) and others give to outgoing connections: a test's server starts seconds after its port was
# chosen, and again after a fault, and any client of another test would otherwise be given that port in between.
# Above what infrastructure/services listens on.
FIRST, BEYOND = 20_000, 32_768

_given: set[int] = set()
_random = random.SystemRandom()


def free_port() -> int:
    """A port of the loopback address that nobody listens on, and that no connection is given; never the same twice."""
    while True:
        port = _random.randrange(FIRST, BEYOND)
        if port in _given:
            continue
        _given.add(port)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
