"""Readiness checks: each answers at once, or within `PATIENCE_S` where nothing else is said."""

from __future__ import annotations

import http.client
import socket
from typing import Final

#: Longest wait of one check, seconds; a check that had no answer is made again.
PATIENCE_S: Final = 0.5


def accepts(host: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=PATIENCE_S):
            return True
    except OSError:
        return False


def answers_200(host: str, port: int, path: str, *, within_s: float = PATIENCE_S) -> bool:
    """Whether GET of the path is answered with 200."""
    connection = http.client.HTTPConnection(host, port, timeout=within_s)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
