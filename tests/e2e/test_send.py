"""`manage.py send` beside a running set: each line once, whatever happens to the process."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.sending import event, killed_thrice, start_send, times_logged, write_lines
from tests.support.stack_client import StackClient, wait_until

LINES = 2000


def test_a_file_killed_three_times_is_times_sent(stack: StackClient, tmp_path: Path) -> None:
    """As many notifications as lines, each sent once; the last run tells what was there."""
    logged = times_logged(stack)
    path = write_lines(tmp_path / "lines.ndjson", [event(number) for number in range(LINES)])
    told = killed_thrice(stack, path, "--batch", "25", "--rate", "1000/s", seed=7)
    assert told == sorted(told)
    assert 0 < told[-1] < LINES
    last = stack.manage("send", str(path))
    assert last.returncode == 0, last.stderr
    sums = dict(line.rsplit(maxsplit=1) for line in last.stdout.splitlines())
    assert int(sums["accepted"]) + int(sums["already there"]) == LINES
    assert int(sums["already there"]) >= told[-1]
    wait_until(lambda: len(stack.history.times_sent("send-%")) == LINES, "all are sent", 60)
    assert times_logged(stack) - logged == LINES

    again = stack.manage("send", str(path))
    assert again.stdout.splitlines()[:2] == ["accepted      0", f"already there {LINES}"]
    anew = stack.manage("send", str(path), "--from-start")
    assert anew.stdout.splitlines()[:2] == ["accepted      0", f"already there {LINES}"]


def test_what_is_refused_is_told_by_line_and_reason_and_may_be_mended(stack: StackClient, tmp_path: Path) -> None:
    lines = [event(1, user_id="mend-1"), "{", event(3, user_id=""), event(4, surprise=1), event(5, user_id="mend-5")]
    path, rejects = tmp_path / "mixed.ndjson", tmp_path / "rejects.ndjson"
    write_lines(path, lines)
    shown = stack.manage("send", str(path), "--rejects", str(rejects))
    assert shown.returncode == 1
    assert shown.stdout.splitlines()[:3] == ["accepted      2", "already there 0", "refused       3"]
    assert "invalid_json: line 2" in shown.stdout
    assert "invalid: line 3, 4" in shown.stdout
    rejected = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(one["line"], one["reason"]) for one in rejected] == [(2, "invalid_json"), (3, "invalid"), (4, "invalid")]
    assert "/surprise" in rejected[2]["detail"]
    assert stack.manage("send", str(path), "--rejects", str(rejects)).returncode == 1
    assert len(rejects.read_text().splitlines()) == 3

    write_lines(path, [lines[0], *(event(number, user_id=f"mend-{number}") for number in (2, 3, 4)), lines[4]])
    mended = stack.manage("send", str(path), "--rejects", str(rejects))
    assert mended.returncode == 0, mended.stdout
    assert mended.stdout.splitlines()[:3] == ["accepted      3", "already there 2", "refused       0"]
    assert rejects.read_text() == ""


def test_a_line_keeps_its_own_key(stack: StackClient, tmp_path: Path) -> None:
    mine = event(1, user_id="own-key", idempotency_key="mine-alone")
    path = write_lines(tmp_path / "own.ndjson", [mine, event(2, user_id="own-key")])
    assert stack.manage("send", str(path)).returncode == 0
    del mine["idempotency_key"]
    shown = stack.post(mine, Idempotency_Key='"mine-alone"')
    assert shown.status == 202
    wait_until(lambda: len(stack.history.times_sent("own-key")) == 2, "both are sent")


def test_stdin_needs_a_name_and_is_recognised_by_it(stack: StackClient) -> None:
    assert stack.manage("send", "-").returncode == 2
    text = json.dumps(event(1, user_id="through-stdin"))
    for wanted in ("accepted      1", "already there 1"):
        process = start_send(stack, Path("-"), "--name", "feed")
        assert wanted in process.communicate(text, timeout=60)[0]


def test_a_service_that_is_away_is_waited_for(stack: StackClient, tmp_path: Path) -> None:
    """Refused connections: the process waits and goes on; a second one at the same file ends at once."""
    path = write_lines(tmp_path / "wait.ndjson", [event(number, user_id=f"wait-{number}") for number in range(50)])
    times = stack.times_ready("api")
    process = start_send(stack, path, "--batch", "5", "--rate", "10/s")
    wait_until((tmp_path / "wait.ndjson.progress").exists, "it has begun")
    second = stack.manage("send", str(path))
    assert (second.returncode, "another process" in second.stderr) == (2, True)
    stack.kill("api")
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert "waiting: no answer" in err
    assert "refused       0" in out
    stack.wait_ready("api", times + 1)
    wait_until(lambda: len(stack.history.times_sent("wait-%")) == 50, "all are sent")


def test_a_service_that_stays_away_is_given_up(stack: StackClient, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "away.ndjson", [event(1)])
    shown = stack.manage("send", str(path), "--url", "http://127.0.0.1:9", "--wait", "1")
    assert shown.returncode == 3
    assert "given up after 1 s" in shown.stderr
