"""Results as tables of docs/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any, Final

from bench.rows import ROWS
from tests.support.any_stack import Profile
from tests.support.page import write_between
from tests.support.stack_client import ROOT

PAGE: Final = ROOT / "docs" / "performance.md"


def write(profile: Profile, stored: Mapping[str, Any]) -> None:
    """What there is of a profile, between its marks."""
    rows = [(row, stored["rows"][row.name]) for row in ROWS.values() if row.name in stored["rows"]]
    dates = sorted(result["at"][:10] for _, result in rows)
    span = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    lines = [f"Version {stored['version']}, {span}, {stored['machine']}; `python -m bench --profile {profile}`."]
    for row, result in rows:
        lines += ["", f"**{row.name}**: {result['question']} ({result['unit']})", ""]
        lines += ["| | min | median | max |", "| --- | ---: | ---: | ---: |"]
        lines += [f"| {name} | {_three(found)} |" for name, found in result["figures"].items()]
        lines += [f"| **{bar['of']}** | | **{bar['value']:,.3g}** | {_must(bar)} |" for bar in result["bars"]]
    write_between(PAGE, f"bench-{profile}", "\n".join(lines))


def _three(figures: list[float]) -> str:
    return " | ".join(f"{one:,.4g}" for one in (min(figures), statistics.median(figures), max(figures)))


def _must(bar: Mapping[str, Any]) -> str:
    return f"{bar['must']}: {'yes' if bar['is_met'] else '**no**'}" if bar["must"] else ""
