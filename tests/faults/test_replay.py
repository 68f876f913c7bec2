"""`manage.py replay` over a real set: exactly what was never finished runs again, as its next pass."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.domain.clock import now_ms
from tests.faults.conftest import Size
from tests.support.sending import event, times_logged, write_lines
from tests.support.stack import Stack
from tests.support.stack_client import wait_until

EVENTS, EVENTS_FULL = 1000, 10_000
BUSY_S = 20.0


def delete(path: Path, statement: str, values: list[str]) -> int:
    """Run it on a database of the set; how many rows are gone."""
    with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection, connection:
        return sum(connection.execute(statement, (value,)).rowcount for value in values)


def passes(state: Path, users_like: str) -> dict[str, int]:
    """User -> highest pass of the outcomes."""
    with closing(sqlite3.connect(f"file:{state / 'history.db'}?mode=ro", uri=True, timeout=BUSY_S)) as connection:
        query = """
            SELECT n.user_id, MAX(o.pass_no) FROM outcomes o JOIN notifications n ON n.id = o.notification_id
            WHERE n.user_id LIKE ? GROUP BY n.user_id
        """
        return dict(connection.execute(query, (users_like,)).fetchall())


def ids_of(state: Path, users: list[str]) -> list[str]:
    """Their notifications."""
    with closing(sqlite3.connect(f"file:{state / 'history.db'}?mode=ro", uri=True, timeout=BUSY_S)) as connection:
        marks = ", ".join("?" * len(users))
        query = f"SELECT id FROM notifications WHERE user_id IN ({marks})"  # noqa: S608 - marks only
        return [row[0] for row in connection.execute(query, users)]


def parked(stack: Stack) -> int:
    return len(json.loads(stack.manage("parked", "list", "--json", "--limit", "100000").stdout))


def hold(stack: Stack, users: list[str], *, is_on: bool) -> None:
    """Quiet hours, now or none."""
    now = datetime.now(UTC)
    quiet = {"start": f"{now - timedelta(hours=1):%H:%M}", "end": f"{now + timedelta(minutes=40):%H:%M}"}
    for user in users:
        stack.put(f"/api/v1/users/{user}", {"timezone": "UTC"})
        changed = stack.put(f"/api/v1/users/{user}/preferences", {"quiet_hours": quiet if is_on else None})
        assert changed.status == 200


@pytest.fixture
def lost(stack: Stack, size: Size, tmp_path: Path) -> tuple[str, int, list[str]]:
    """A time with many events, of which one in a hundred has neither outcome nor row: since when, how many, whose."""
    count = EVENTS_FULL if size.is_full else EVENTS
    forgotten = [f"again-{number}" for number in range(0, count, 200)]
    dropped = [f"again-{number}" for number in range(100, count, 200)]
    hold(stack, dropped, is_on=True)
    since = datetime.now(UTC).isoformat()
    path = write_lines(tmp_path / "f", [event(number, user_id=f"again-{number}") for number in range(count)])
    assert stack.manage("send", str(path)).returncode == 0
    wanted = count - len(dropped)
    wait_until(lambda: len(stack.history.times_sent("again-%")) == wanted, "all are sent", size.final_s * 2, look_s=0.5)
    wait_until(lambda: parked(stack) == len(dropped), "some are parked")
    wait_until(lambda: "nothing waits" in stack.manage("queues").stdout or parked(stack), "nothing waits")

    ids = ids_of(stack.state, forgotten)
    assert delete(stack.state / "history.db", "DELETE FROM outcomes WHERE notification_id = ?", ids) == len(forgotten)
    assert delete(stack.state / "history.db", "DELETE FROM notifications WHERE id = ?", ids) == len(forgotten)
    with closing(sqlite3.connect(stack.state / "notify.db", timeout=BUSY_S)) as connection, connection:
        assert connection.execute("DELETE FROM parked").rowcount == len(dropped)
    hold(stack, dropped, is_on=False)
    return since, count, forgotten + dropped


def test_replay(stack: Stack, size: Size, lost: tuple[str, int, list[str]]) -> None:
    """First what was never finished; then nothing, for nothing is left; then all of them as new."""
    since, count, users = lost
    logged = times_logged(stack)
    time.sleep(0.5)  # the offsets of the last batches are committed
    tried = stack.manage("replay", "--from", since, "--dry-run", "--json")
    assert tried.returncode == 0, tried.stderr
    counted = {(row["why"], row["runs"]): row["deliveries"] for row in json.loads(tried.stdout)}
    assert counted == {("unfinished", "yes"): len(users), ("final", "no"): count - len(users)}
    assert times_logged(stack) == logged

    started_ms = now_ms()
    done = stack.manage("replay", "--from", since)
    took_s = (now_ms() - started_ms) / 1000
    assert done.stdout.splitlines()[-1] == f"put back: {len(users)} deliveries", done.stdout + done.stderr
    wait_until(lambda: len(stack.history.times_sent("again-%")) == count, "all are sent")
    again = {user for user, pass_no in passes(stack.state, "again-%").items() if pass_no > 0}
    assert again == set(users)
    assert max(passes(stack.state, "again-%").values()) == 1
    assert times_logged(stack) - logged == len(users)

    nothing = stack.manage("replay", "--from", since)
    assert nothing.stdout.splitlines()[-1] == "put back: 0 deliveries"
    new = stack.manage("replay", "--from", since, "--as-new", "--name", "once-more")
    assert new.stdout.splitlines()[-1] == f"put back: {count} events", new.stdout + new.stderr
    wait_until(
        lambda: len(stack.history.times_sent("again-%")) == 2 * count, "all are sent anew", size.final_s * 2, look_s=0.5
    )
    assert len(ids_of(stack.state, [f"again-{number}" for number in range(100)])) == 200
    assert times_logged(stack) - logged == len(users) + count
    print(f"\nreplay: {count} events, {len(users)} unfinished, in {took_s:.1f} s\n{done.stdout}{new.stdout}")  # noqa: T201
