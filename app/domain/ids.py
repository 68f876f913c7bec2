"""Ids of notifications and deliveries: UUIDs (RFC 9562) in their canonical form.

A notification's id is a UUIDv7, or a UUIDv8 derived from an Idempotency-Key. Its last 32 bits are a keyed check of the
96 before them, so that an id of ours is known without asking a store. Of those 96, a v7 has 48 of time, 6 fixed, and
42 that tell ids of one millisecond apart: a count of the process (unique within it) and 28 random bits (between
processes).
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import itertools
import os
import re

from app.domain.clock import now_ms

CANONICAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[78][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
DIGEST = "sha256"

# Apart from each other and from whatever else the secret signs.
CHECK_PURPOSE = b"notify/id/check\0"
DERIVE_PURPOSE = b"notify/id/derive\0"

VERSION_MASK = 0xF << 76
VARIANT_MASK = 0b11 << 62
FIXED_BITS = {version: version << 76 | 0b10 << 62 for version in (7, 8)}
FREE_BITS = (1 << 128) - 1 ^ VERSION_MASK ^ VARIANT_MASK


def new_id(secret: bytes) -> str:
    """A fresh UUIDv7 of ours. Ids of one process differ; they sort by their millisecond."""
    unlike = (next(_count()) & 0x3FFF) << 28 | int.from_bytes(os.urandom(4), "big") >> 4
    head = now_ms() << 48 | 0x7 << 44 | (unlike >> 30) << 32 | 0x8000_0000 | unlike & 0x3FFF_FFFF
    return _checked(head, secret)


def derived_id(secret: bytes, caller: str, key: str, fingerprint: str = "") -> str:
    """The UUIDv8 that stands for a caller's Idempotency-Key and what came with it: always the same, telling nothing.

    An event's id has its fingerprint in it: another event is another one, also where nobody knows any more that its key
    was used before.
    """
    said = f"{len(caller)}:{caller}{key}" + (f"\n{fingerprint}" if fingerprint else "")
    number = int.from_bytes(hmac.digest(secret, DERIVE_PURPOSE + said.encode(), DIGEST)[:16], "big")
    return _checked((number & FREE_BITS | FIXED_BITS[8]) >> 32, secret)


def is_ours(notification_id: str, secret: bytes) -> bool:
    """Whether this is an id that `new_id` or `derived_id` made with this secret (by chance: 1 in 2**32)."""
    if not CANONICAL.fullmatch(notification_id):
        return False
    head = int(notification_id.replace("-", ""), 16) >> 32
    return hmac.compare_digest(_checked(head, secret), notification_id)


def id_time_ms(notification_id: str) -> int | None:
    """When a UUIDv7 was made (Unix milliseconds); None for anything else."""
    if not CANONICAL.fullmatch(notification_id) or notification_id[14] != "7":
        return None
    return int(notification_id[:8] + notification_id[9:13], 16)


def delivery_id(notification_id: str, user_id: str, channel: str) -> str:
    """The delivery of a notification to a user on a channel: a UUIDv8, always the same for the three."""
    digest = hashlib.sha256(f"{notification_id}\0{channel}\0{user_id}".encode()).digest()
    return _written(int.from_bytes(digest[:16], "big") & FREE_BITS | FIXED_BITS[8])


@functools.cache
def _count() -> itertools.count[int]:
    """Made at first use, so that forked children start apart; `next` on it is safe between threads."""
    return itertools.count(int.from_bytes(os.urandom(2), "big"))


def _checked(head: int, secret: bytes) -> str:
    check = hmac.digest(secret, CHECK_PURPOSE + head.to_bytes(12, "big"), DIGEST)
    return _written(head << 32 | int.from_bytes(check[:4], "big"))


def _written(number: int) -> str:
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
