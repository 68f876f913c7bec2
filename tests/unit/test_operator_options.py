"""What operators' commands take: times, and what goes together."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest
from click.testing import CliRunner

import manage
from app.commands.moment import MOMENT
from app.domain.clock import now_ms

AT = datetime(2026, 11, 23, 10, tzinfo=UTC)
AT_MS = round(AT.timestamp() * 1000)


@pytest.mark.parametrize(
    "text", ["2026-11-23T10:00:00Z", "2026-11-23T10:00:00", "2026-11-23T11:00+01:00", "2026-11-23 10:00"]
)
def test_a_time_is_iso_8601_and_utc_where_it_says_nothing(text: str) -> None:
    assert MOMENT.convert(text, None, None) == AT_MS


@pytest.mark.parametrize(
    ("text", "distance_ms"), [("now", 0), ("-2h", -7_200_000), ("+30m", 1_800_000), ("-1d", -86_400_000)]
)
def test_a_time_may_be_told_from_now(text: str, distance_ms: int) -> None:
    assert abs(MOMENT.convert(text, None, None) - now_ms() - distance_ms) < 1000


@pytest.mark.parametrize("text", ["", "2h", "soon", "-2w", "2026-13-01"])
def test_what_is_no_time_is_told_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no time such as now, -2h"):
        MOMENT.convert(text, None, None)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["replay"], "--from"),
        (["replay", "--from", "-1h", "--to", "-2h"], "--from must be before --to"),
        (["replay", "--from", "-1h", "--name", "spring"], "--name goes with --as-new"),
        (["replay", "--from", "-1h", "--rate", "fast"], "is not a rate such as 100/s"),
        (["dead", "replay"], "give PLACEs, or at least one of"),
        (["dead", "list", "--lane", "low.fax"], "low.fax"),
        (["parked", "drop", "--lane", "low.fax"], "low.fax"),
        (["parked", "release", "--limit", "0"], "--limit"),
        (["send", "-"], "--name is needed"),
        (["send", "no-such-file"], "no-such-file"),
    ],
)
def test_wrong_usage_is_told_and_touches_nothing(words: list[str], told: str) -> None:
    result = CliRunner().invoke(manage.manage, words)
    assert result.exit_code == 2
    assert told in result.output
