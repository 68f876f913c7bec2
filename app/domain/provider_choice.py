"""Which of a channel's providers a delivery goes to, and to which one next if that fails."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

_BITS = 53  # as many as a float tells apart


def ranked(delivery_id: str, weights: Mapping[str, float]) -> list[str]:
    """Names, first choice first: each is first for a part of all deliveries that is as large as its part of the weight.

    Weighted rendezvous hashing (Schindelhauer and Schomaker, 2005). Everybody who knows the weights comes to the same
    order without being told, and where a weight changes, only deliveries move that have to. Without weight: left out.
    """
    scores = {name: _score(delivery_id, name, weight) for name, weight in weights.items() if weight > 0}
    return sorted(scores, key=lambda name: (scores[name], name))


def _score(delivery_id: str, name: str, weight: float) -> float:
    digest = hashlib.blake2b(f"{delivery_id}\0{name}".encode(), digest_size=8).digest()
    uniform = ((int.from_bytes(digest) >> (64 - _BITS)) + 0.5) / 2**_BITS
    return -math.log(uniform) / weight
