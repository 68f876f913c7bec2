"""GET /api/v1/stats and the command `stats`, over real databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from app.commands.statistics import stats
from app.domain.outcome import Outcome, Reason, Status
from app.domain.statistics import MAX_ROWS
from app.http.services import Services
from app.settings import settings
from infrastructure import wiring

PATH = "/api/v1/stats"
NOON_MS = 1_795_348_800_000  # 2026-11-22T12:00:00Z
HOUR_MS = 3_600_000
DAY = {"from": "2026-11-22", "to": "2026-11-23"}


def outcome(number: int, status: Status, *, hour: int = 0, **given: Any) -> Outcome:
    values = {
        "notification_id": f"n-{number}",
        "delivery_id": f"d-{number}",
        "user_id": "anna",
        "event_type": "order_shipped",
        "channel": "email",
        "status": status,
        "at_ms": NOON_MS + 9,
        "accepted_at_ms": NOON_MS + hour * HOUR_MS + number,
    }
    return Outcome(**(values | given))


OUTCOMES = [
    outcome(1, Status.PARKED, reason=Reason.QUIET_HOURS),
    outcome(1, Status.SENT, pass_no=1),
    outcome(2, Status.SENT),
    outcome(3, Status.FAILED, hour=1, reason=Reason.NO_ADDRESS, channel="sms"),
    outcome(4, Status.SENT, hour=12),
]


def test_the_answer_has_the_question_and_sorted_rows(http: FlaskClient, http_services: Services) -> None:
    for _ in range(2):
        http_services.history.append(OUTCOMES)
    answer = http.get(PATH, query_string=DAY | {"group_by": "status,hour,channel,reason"})
    assert (answer.status_code, answer.json) == (
        200,
        {
            "from": "2026-11-22T00:00:00.000Z",
            "to": "2026-11-23T00:00:00.000Z",
            "group_by": ["hour", "channel", "status", "reason"],
            "rows": [
                {"hour": "2026-11-22T12:00:00.000Z", "channel": "email", "status": "sent", "reason": "", "count": 2},
                {
                    "hour": "2026-11-22T13:00:00.000Z",
                    "channel": "sms",
                    "status": "failed",
                    "reason": "no_address",
                    "count": 1,
                },
            ],
        },
    )
    by_day = http.get(PATH, query_string={"from": "2026-11-22", "to": "2026-11-24", "group_by": "day"})
    assert by_day.json["rows"] == [{"day": "2026-11-22", "count": 3}, {"day": "2026-11-23", "count": 1}]
    assert http.get(PATH, query_string=DAY | {"group_by": "", "channel": "sms"}).json["rows"] == [{"count": 1}]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [({"from": "now"}, "from"), ({"group_by": "user_id"}, "group_by"), ({"chanel": "sms"}, "chanel")],
)
def test_what_is_wrong_is_named(http: FlaskClient, query: dict[str, str], parameter: str) -> None:
    answer = http.get(PATH, query_string=query)
    assert answer.status_code == 422
    assert [fault["parameter"] for fault in json.loads(answer.data)["errors"]] == [parameter]


def test_an_answer_that_would_be_too_long_is_refused(http: FlaskClient, http_services: Services) -> None:
    http_services.history.append([outcome(n, Status.SENT, event_type=f"t{n}") for n in range(MAX_ROWS + 1)])
    answer = http.get(PATH, query_string={"from": "2026-11-01", "to": "2026-12-01", "group_by": "event_type"})
    assert (answer.status_code, json.loads(answer.data)["errors"][0]["parameter"]) == (422, "group_by")


@pytest.fixture
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NOTIFY_STATE_DIR", str(tmp_path))
    settings.cache_clear()
    wiring.migrate_stores(settings())
    wiring.history(settings()).append(OUTCOMES)
    yield
    settings.cache_clear()


@pytest.mark.usefixtures("_state")
def test_the_command_prints_a_table_or_what_http_answers() -> None:
    words = ["--from", "2026-11-22", "--to", "2026-11-23", "--group-by", "day,status"]
    table = CliRunner().invoke(stats, words)
    assert table.exit_code == 0, table.output
    assert [line.split() for line in table.output.splitlines() if "2026-11-22 " in line] == [
        ["2026-11-22", "failed", "1"],
        ["2026-11-22", "sent", "2"],
    ]
    told = json.loads(CliRunner().invoke(stats, [*words, "--json"]).stdout)
    assert told["rows"] == [
        {"day": "2026-11-22", "status": "failed", "count": 1},
        {"day": "2026-11-22", "status": "sent", "count": 2},
    ]


@pytest.mark.usefixtures("_state")
@pytest.mark.parametrize(("option", "value"), [("--from", "now"), ("--group-by", "user"), ("--event-type", "A")])
def test_the_command_names_the_option_that_is_wrong(option: str, value: str) -> None:
    result = CliRunner().invoke(stats, [option, value])
    assert result.exit_code == 2
    assert option in result.stderr
