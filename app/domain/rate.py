"""Rates as settings write them: `100/s`, `20/h`, `600/10m`, with an optional burst: `100/s:200`."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_FORM = re.compile(r"^(\d+)/(\d*)([smhd])(?::(\d+))?$")


class Rate(Struct, frozen=True, order=True):
    """`count` per `period_s` seconds, of which up to `burst` may come at once."""

    count: int
    period_s: int
    burst: int

    @property
    def interval_us(self) -> int:
        """GCRA's emission interval in microseconds."""
        return max(1, self.period_s * 1_000_000 // self.count)

    def __str__(self) -> str:
        """As it is written in a setting."""
        return f"{self.count}/{self.period_s}s:{self.burst}"


def parse_rate(text: str) -> Rate:
    """`count/period[:burst]`; the burst is the count where not given. Raises ValueError."""
    match = _FORM.match(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a rate such as 100/s, 20/h or 600/10m:50")
    count, times, unit, burst = int(match[1]), int(match[2] or 1), match[3], match[4]
    rate = Rate(count, times * _UNITS_S[unit], int(burst) if burst else count)
    if min(rate.count, rate.period_s, rate.burst) < 1:
        raise ValueError(f"{text!r}: count, period and burst must be above 0")
    return rate


def parse_rates(text: str) -> dict[str, Rate]:
    """`name=rate,name=rate`. Raises ValueError."""
    rates: dict[str, Rate] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, separator, rate = part.partition("=")
        if not separator:
            raise ValueError(f"{part!r} is not name=rate")
        rates[name.strip()] = parse_rate(rate)
    return rates
