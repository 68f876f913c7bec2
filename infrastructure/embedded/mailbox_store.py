"""The mailbox's mails: one .eml file each, the newest of them kept."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Sequence
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from pathlib import Path

from msgspec import Struct

_ENVELOPE_FROM = "X-Envelope-From"
_ENVELOPE_TO = "X-Envelope-To"
_HEAD_BYTES = 16 * 1024
_CACHED_SUMMARIES = 10_000


class MailSummary(Struct, frozen=True, kw_only=True):
    """A mail as lists show it. `to` are the envelope's recipients."""

    id: str
    to: list[str]
    sender: str
    subject: str
    message_id: str
    received_at_ms: int
    size: int


class MailStore:
    """Mails by id, which sorts by time of arrival. Threads may share it."""

    def __init__(self, folder: Path, limit: int) -> None:
        """Finds what an earlier run left in the folder; keeps the newest `limit`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._recipients = {path.stem: _recipients(path) for path in sorted(folder.glob("*.eml"))}
        self._last = int(max(self._recipients, default="0"), 16)
        self._summary = functools.lru_cache(_CACHED_SUMMARIES)(self._summary_of)

    def __len__(self) -> int:
        return len(self._recipients)

    def add(self, content: bytes, sender: str, recipients: Sequence[str]) -> str:
        """Store a mail; its id."""
        head = f"{_ENVELOPE_FROM}: {sender}\r\n{_ENVELOPE_TO}: {', '.join(recipients)}\r\n"
        with self._lock:
            self._last = max(time.time_ns(), self._last + 1)
            mail_id = f"{self._last:016x}"
        part = self._folder / f"{mail_id}.part"
        part.write_bytes(head.encode() + content)
        part.rename(self._path(mail_id))
        with self._lock:
            self._recipients[mail_id] = tuple(recipients)
            surplus = [next(iter(self._recipients))] if len(self._recipients) > self._limit else []
            for oldest in surplus:
                del self._recipients[oldest]
        for oldest in surplus:
            self._path(oldest).unlink(missing_ok=True)
        return mail_id

    def list(self, *, to: str = "", before: str = "", limit: int) -> list[MailSummary]:
        """The newest first, those older than `before`, those to an address that contains `to`."""
        with self._lock:
            items = list(self._recipients.items())
        wanted = (
            mail_id
            for mail_id, recipients in reversed(items)
            if (not before or mail_id < before) and (not to or any(to.lower() in one.lower() for one in recipients))
        )
        found: list[MailSummary] = []
        for mail_id in wanted:
            if len(found) == limit:
                break
            try:
                found.append(self._summary(mail_id))
            except FileNotFoundError:  # pruned meanwhile
                continue
        return found

    def get(self, mail_id: str) -> tuple[MailSummary, bytes] | None:
        """A mail whole, envelope lines first, or None."""
        if mail_id not in self._recipients:
            return None
        try:
            return self._summary(mail_id), self._path(mail_id).read_bytes()
        except FileNotFoundError:
            return None

    def clear(self) -> int:
        """Remove all; how many there were."""
        with self._lock:
            ids = list(self._recipients)
            self._recipients.clear()
        for mail_id in ids:
            self._path(mail_id).unlink(missing_ok=True)
        return len(ids)

    def _path(self, mail_id: str) -> Path:
        return self._folder / f"{mail_id}.eml"

    def _summary_of(self, mail_id: str) -> MailSummary:
        path = self._path(mail_id)
        with path.open("rb") as file:
            head = BytesHeaderParser().parsebytes(file.read(_HEAD_BYTES))
        return MailSummary(
            id=mail_id,
            to=list(self._recipients.get(mail_id, ())),
            sender=_readable(head["From"]),
            subject=_readable(head["Subject"]),
            message_id=_readable(head["Message-ID"]),
            received_at_ms=int(mail_id, 16) // 1_000_000,
            size=path.stat().st_size,
        )


def _recipients(path: Path) -> tuple[str, ...]:
    with path.open("rb") as file:
        lines = [file.readline().decode(errors="replace") for _ in range(2)]
    return tuple(lines[1].partition(": ")[2].strip().split(", "))


def _readable(value: object) -> str:
    """A header's value without its encoding; as it came where that is broken."""
    try:
        return str(make_header(decode_header(str(value or "")))).strip()
    except (ValueError, LookupError):
        return str(value)
