"""Posting batches of events until each has its answer; whatever passes by itself is waited for."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from app.commands.sending.lines import Line
from app.domain.errors import ConfigError, StoreUnavailableError

PATH = "/api/v1/notifications/batch"
_TIMEOUT_S = 60.0
_PAUSE_S = 0.25
_PAUSE_CAP_S = 10.0
#: Asked for again: a request with the same key is running, too many requests, no room or no store for the moment.
_PASSING = (408, 409, 425, 429, 500, 502, 503, 504)
_RUNNING = 409
_MULTI = 207
_ACCEPTED = 202


class Problem(Struct, frozen=True):
    """As much of `application/problem+json` as is told of a line."""

    type: str = "about:blank"
    status: int = 0
    detail: str = ""
    title: str = ""
    errors: list[dict[str, Any]] = []
    retry_after_s: float = 0.0


class _Item(Struct, frozen=True):
    status: str
    problem: Problem | None = None


class _Answers(Struct, frozen=True):
    items: list[_Item]


class Posted(Struct, kw_only=True):
    """What became of a batch: how many were accepted now, or before, and who was refused."""

    accepted: int = 0
    there: int = 0
    refused: list[tuple[Line, Problem]] = []


class Poster:
    """One connection, one request at a time. `say` is told when it begins to wait, and why."""

    def __init__(self, url: str, key: str, *, give_up_s: float, say: Callable[[str], None]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"--url: {url!r} is no http or https URL")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_S)
        self._path = parts.path.rstrip("/") + PATH
        self._headers = {"Content-Type": "application/x-ndjson"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._give_up_s = give_up_s
        self._say = say
        self._said = ""

    def post(self, lines: Sequence[Line]) -> Posted:
        """Until every line was accepted or refused.

        Raises StoreUnavailableError where nothing moved for `give_up_s`, ConfigError where the service refuses the
        request as a whole. What was accepted by then is recognised when it is posted again.
        """
        posted = Posted()
        left = list(lines)
        moved_at_s, pause_s = time.monotonic(), _PAUSE_S
        while left:
            count = len(left)
            left, why, wait_s = self._try(left, posted)
            if len(left) < count:
                moved_at_s, pause_s = time.monotonic(), _PAUSE_S
            if left:
                self._wait(why, max(wait_s, pause_s), moved_at_s)
                pause_s = min(pause_s * 2, _PAUSE_CAP_S)
        self._said = ""
        return posted

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def _wait(self, why: str, wait_s: float, moved_at_s: float) -> None:
        if time.monotonic() + wait_s > moved_at_s + self._give_up_s:
            raise StoreUnavailableError(f"given up after {self._give_up_s:g} s: {why}; start again to go on")
        if why != self._said:
            self._said = why
            self._say(f"waiting: {why}")
        time.sleep(wait_s)

    def _try(self, lines: list[Line], posted: Posted) -> tuple[list[Line], str, float]:
        """One request; the lines to be posted again, why, and how long to wait at least (seconds)."""
        body = b"\n".join(line.body for line in lines)
        try:
            self._connection.request("POST", self._path, body, self._headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return lines, f"no answer ({type(error).__name__})", 0.0
        wait_s = _seconds(response.headers.get("Retry-After"))
        if response.status in (_ACCEPTED, _MULTI):
            return self._sort(lines, text, int(response.headers.get("Idempotency-Replayed") or 0), posted, wait_s)
        if response.status in _PASSING:
            return lines, f"HTTP {response.status}", wait_s
        raise ConfigError(f"the service refuses the request: HTTP {response.status} {_title(text)}")

    def _sort(
        self, lines: list[Line], text: bytes, there: int, posted: Posted, wait_s: float
    ) -> tuple[list[Line], str, float]:
        try:
            items = msgspec.json.decode(text, type=_Answers).items
        except msgspec.DecodeError as error:
            raise ConfigError("--url: the answer is not that of this service") from error
        if len(items) != len(lines):
            raise ConfigError("--url: the answer is not that of this service")
        again, why = [], ""
        for line, item in zip(lines, items, strict=True):
            if item.problem is None:
                posted.accepted += 1
            elif item.problem.status in _PASSING:
                again.append(line)
                # the one that waits longest for itself: a request of ours that was cut off is still being served
                why = f"HTTP {item.problem.status} for {len(again)} lines"
            else:
                posted.refused.append((line, item.problem))
        posted.accepted -= there
        posted.there += there
        return again, why, wait_s


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdecimal() else 0.0


def _title(text: bytes) -> str:
    try:
        problem = msgspec.json.decode(text, type=Problem)
    except msgspec.DecodeError:
        return ""
    return " ".join(filter(None, (problem.title, problem.detail)))
