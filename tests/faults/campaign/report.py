"""What the campaign found, as lines, and as the table of docs/reliability.md."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tests.faults.campaign.rows import ROWS, Row
from tests.faults.campaign.run import PROMISED_RATE, Result
from tests.support.page import machine, version, write_between
from tests.support.stack_client import ROOT

PAGE: Final = ROOT / "docs" / "reliability.md"
RESULTS: Final = Path(__file__).parent / "results.json"


def line(name: str, result: Result, took_s: float) -> str:
    """One round."""
    counts = result.counts
    statuses = " ".join(f"{status}={count}" for status, count in sorted(counts.statuses.items()))
    return (
        f"{name:<24} accepted {counts.accepted:>6}  final {counts.final:>6}  lost {len(counts.lost):>3}"
        f"  sent twice {counts.twice:>3} (unexplained {len(counts.unexplained)})  high after {counts.probe_s:6.2f} s"
        f"  posted {result.posted_a_s:4.0f}/s  accepted {result.accepted_a_s:4.0f}/s"
        f"  all final {counts.took_s:5.1f} s  {'ok' if result.is_good else 'SHORT'}"
        f"  {statuses}  [{took_s:.0f} s]"
    )


def merge(row: Row, result: Result) -> None:
    """Add a round to what this version has; another version's results are dropped. Rewrites the page's table."""
    now = version()
    stored: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if stored.get("version") != now:
        stored = {"version": now, "rows": {}}
    counts = result.counts
    rounds = stored["rows"].get(row.name, {}).get("rounds", [])
    rounds.append(
        {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "accepted": counts.accepted,
            "final": counts.final,
            "lost": len(counts.lost),
            "twice": counts.twice,
            "unexplained": len(counts.unexplained),
            "high_after_s": round(counts.probe_s, 2),
            "all_final_s": round(counts.took_s, 1),
            "posted_a_s": round(result.posted_a_s),
            "accepted_a_s": round(result.accepted_a_s),
            "statuses": dict(sorted(counts.statuses.items())),
            "faults": list(result.faults),
        }
    )
    stored["rows"][row.name] = {"rounds": rounds}
    stored["machine"] = machine()
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
    write_page(stored)


def write_page(stored: dict[str, Any]) -> None:
    """The table between its marks."""
    write_between(PAGE, "campaign", _table(stored))


def _table(stored: dict[str, Any]) -> str:
    rows = stored["rows"]
    dates = sorted(one["at"][:10] for row in rows.values() for one in row["rounds"])
    head = [
        f"Version {stored['version']}, {dates[0]}" + (f" to {dates[-1]}" if dates[-1] != dates[0] else "") + ", "
        f"{stored['machine']}. In each round at least {PROMISED_RATE:g} deliveries/s are to be posted, "
        "and accepted where the fault leaves intake as it is.",
        "",
        "| fault | rounds | accepted | final | lost | sent twice (not allowed) | posted/s | accepted/s | high after |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines = [_line(row, rows[name]["rounds"]) for name, row in ROWS.items() if name in rows]
    missing = [name for name in ROWS if name not in rows]
    tail = [f"\nNot run on this version: {', '.join(missing)}."] if missing else []
    return "\n".join(head + lines + tail)


def _line(row: Row, rounds: list[dict[str, Any]]) -> str:
    def total(name: str) -> int:
        return int(sum(one[name] for one in rounds))

    high = ", ".join(f"{one['high_after_s']:g}" for one in rounds)
    posted, taken = (", ".join(str(one[name]) for one in rounds) for name in ("posted_a_s", "accepted_a_s"))
    text = row.text + "".join(f"; fell short: {fault}" for one in rounds for fault in one["faults"])
    return (
        f"| {text} | {len(rounds)} | {total('accepted')} | {total('final')} | {total('lost')} "
        f"| {total('twice')} ({total('unexplained')}) | {posted} | {taken} | {high} |"
    )
