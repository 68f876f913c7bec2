"""Forgetting a user over real stores: nothing personal is left anywhere, and nothing comes back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from msgspec import structs

from app.commands import users as command
from app.domain.clock import now_ms
from app.domain.codec import decode, encode
from app.domain.delivery import Delivery, Parked
from app.domain.event import Options, To
from app.domain.lane import OUTCOMES_TOPIC
from app.domain.outcome import Outcome, Reason, Status
from app.domain.ports import InboxEntry
from app.domain.users import Contacts, Preferences, User
from app.http.app import create_app
from app.http.wsgi import make_services
from app.settings import Settings
from bridges.scheduler import Scheduler
from bridges.tracker import Tracker
from infrastructure import wiring
from infrastructure.kafka.groups import TRACKER_GROUP
from infrastructure.kafka.outcome_publisher import KafkaOutcomePublisher
from infrastructure.sql.engine import make_engine, shared_engine
from infrastructure.sql.vacuum import vacuum
from tests.support.deliveries import delivery
from tests.support.kafka_broker import KafkaBroker, eventually

LATER_MS = 3_600_000


def told(user_id: str) -> list[str]:
    """All that is said of a user, and nowhere else; none of it is in their id."""
    mark = {"anna": "kestrel", "ben": "plover"}[user_id]
    return [f"{mark}-{place}" for place in ("mail", "hook", "content", "meta", "inline", "reply", "subject", "muted")]


def delivery_of(user_id: str, name: str, **given: Any) -> Delivery:
    mail, _, content, meta, inline, *_ = told(user_id)
    return delivery(
        f"{user_id}-{name}",
        channel="email",
        user_id=user_id,
        content={"text": content, "mail": mail},
        metadata={"device": meta},
        options=Options(to=To(email=f"{inline}@example.com")),
        **given,
    )


def outcome_of(user_id: str, name: str, status: Status = Status.SENT, **given: Any) -> Outcome:
    """As a provider's answer is recorded: it may quote the address."""
    outcome = delivery_of(user_id, name).outcome(status=status, reason="", at_ms=now_ms())
    reply = told(user_id)[5]
    texts = {"detail": f"250 {reply}@example.com accepted", "provider_id": f"<{reply}>"}
    return structs.replace(outcome, **(texts | given))


def fill(settings: Settings, user_id: str) -> None:
    """Something in every place there is."""
    mail, hook, content, *_, subject, muted = told(user_id)
    contacts = Contacts(email=f"{mail}@example.com", webhook=f"https://example.com/{hook}")
    wiring.users(settings).put(User(id=user_id, contacts=contacts))
    wiring.preferences(settings).put(user_id, Preferences(channels={muted: {"*": False}}))
    entry = {"user_id": user_id, "event_type": "t", "category": "c", "subject": subject, "body": content}
    wiring.inbox(settings).add(
        [
            InboxEntry(id=f"{user_id}-{n}", notification_id=f"n-{user_id}-{n}", created_at_ms=n, **entry)
            for n in range(3)
        ]
    )
    parked = outcome_of(user_id, "parked", Status.PARKED)
    wiring.history(settings).append([outcome_of(user_id, "sent"), outcome_of(user_id, "two"), parked])
    rows = [
        Parked(delivery=delivery_of(user_id, name), due_at_ms=now_ms() + LATER_MS, reason=Reason.QUIET_HOURS)
        for name in ("parked", "waits")
    ]
    wiring.parked(settings).park(rows)


@pytest.fixture
def filled(service: Settings) -> Settings:
    for user_id in ("anna", "ben"):
        fill(service, user_id)
    return service


@pytest.fixture
def http(filled: Settings) -> FlaskClient:
    return create_app(make_services(filled)).test_client()


@pytest.fixture
def scheduler(filled: Settings) -> Iterator[Scheduler]:
    made = Scheduler(filled)
    yield made
    made.close()


@pytest.fixture
def tracker(filled: Settings) -> Iterator[Tracker]:
    made = Tracker(filled)
    yield made
    made.close()


def everything(settings: Settings) -> dict[str, list[str]]:
    """Every row of every table of both files, by table, as text."""
    found: dict[str, list[str]] = {}
    for url in (settings.database_url, settings.history_url):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for name in names:
                rows = connection.execute(f"SELECT * FROM {name}").fetchall()  # noqa: S608 - names of ours
                found[f"{Path(url).stem}.{name}"] = [_text(row) for row in rows]
    return found


def _text(row: tuple[Any, ...]) -> str:
    return " | ".join(cell.decode() if isinstance(cell, bytes) else str(cell) for cell in row)


def found_in(texts: dict[str, list[str]], user_id: str) -> set[str]:
    """Where something of the user is said."""
    return {place for place, rows in texts.items() for row in rows if any(word in row for word in told(user_id))}


def answers(http: FlaskClient, user_id: str) -> dict[str, list[str]]:
    user = f"/api/v1/users/{user_id}"
    paths = [user, f"{user}/preferences", f"{user}/inbox", f"{user}/notifications", "/api/v1/stats?group_by=reason"]
    paths += [f"/api/v1/notifications/n-{user_id}-{name}" for name in ("sent", "two", "parked", "waits", "late")]
    return {path: [http.get(path).text] for path in paths}


def raw_files(settings: Settings) -> dict[str, list[str]]:
    files = [path for path in settings.state_dir.iterdir() if ".db" in path.name]
    assert len(files) >= 2
    return {path.name: [path.read_bytes().decode("latin-1")] for path in files}


def written(broker: KafkaBroker) -> list[Outcome]:
    return [decode(record.value, Outcome) for record in broker.records(OUTCOMES_TOPIC)]


def run(monkeypatch: pytest.MonkeyPatch, settings: Settings, *words: str) -> Result:
    monkeypatch.setattr(command, "settings", lambda: settings)
    return CliRunner().invoke(command.users, words, catch_exceptions=False)


def test_nothing_of_the_user_is_left_and_nothing_of_others_is_touched(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    filled: Settings,
    http: FlaskClient,
    broker: KafkaBroker,
    tracker: Tracker,
) -> None:
    before = everything(filled)
    wanted = {"notify.users", "notify.preferences", "notify.inbox", "notify.parked"}
    assert found_in(before, "anna") == wanted | {"history.notifications", "history.outcomes"}
    assert found_in(answers(http, "anna"), "anna")

    result = run(monkeypatch, filled, "forget", "anna", "--vacuum", "--json")
    assert result.exit_code == 0, result.output
    done = json.loads(result.stdout)
    assert done["removed"] == {
        "users": 1,
        "preferences": 1,
        "inbox": 3,
        "devices": 0,
        "notifications": 3,
        "outcomes": 3,
        "parked": 2,
    }
    assert [held["where"] for held in done["still_held"]] == ["kafka", "redis"]

    # an outcome that was under way arrives behind it
    for late in (outcome_of("anna", "late"), outcome_of("anna", "sent", Status.DELIVERED)):
        accepted_before = structs.replace(late, accepted_at_ms=now_ms() - LATER_MS)
        broker.put(OUTCOMES_TOPIC, encode(accepted_before), key=late.notification_id)
    broker.flush()
    eventually(
        lambda: (
            tracker.turn()
            or sum(broker.committed(TRACKER_GROUP, OUTCOMES_TOPIC).values()) == broker.written(OUTCOMES_TOPIC)
        ),
        "all outcomes are in the history",
    )
    wiring.vacuum_stores(filled)

    after = everything(filled)
    assert found_in(after, "anna") == set()
    assert found_in(raw_files(filled), "anna") == set()
    assert found_in(answers(http, "anna"), "anna") == set()
    logged = {"logs": [caplog.text, *capfd.readouterr(), result.output]}
    assert found_in(logged, "anna") == set()
    assert found_in(answers(http, "ben"), "ben")
    for table, rows in before.items():
        assert [row for row in rows if "ben" in row] == [row for row in after[table] if "ben" in row], table


def test_parked_rows_are_cancelled_durably_and_explained(
    filled: Settings, http: FlaskClient, broker: KafkaBroker, tracker: Tracker
) -> None:
    assert http.delete("/api/v1/users/anna").json["removed"]["parked"] == 2
    outcomes = written(broker)
    assert {(one.delivery_id, one.status, one.reason) for one in outcomes} == {
        ("anna-parked", Status.CANCELLED, Reason.USER_FORGOTTEN),
        ("anna-waits", Status.CANCELLED, Reason.USER_FORGOTTEN),
    }
    assert {(one.user_id, one.event) for one in outcomes} == {("", None)}
    eventually(lambda: tracker.turn() or broker.committed(TRACKER_GROUP, OUTCOMES_TOPIC), "the tracker has read")
    shown = http.get("/api/v1/notifications/n-anna-parked").json
    assert (shown["status"], shown["event"]) == ("cancelled", None)
    [one] = shown["deliveries"]
    assert [(step["status"], step["reason"], step["detail"]) for step in one["outcomes"]] == [
        ("parked", "", ""),
        ("cancelled", "user_forgotten", ""),
    ]


def test_where_kafka_does_not_take_the_outcome_the_row_stays_and_repeating_does_it(
    monkeypatch: pytest.MonkeyPatch, filled: Settings, http: FlaskClient, broker: KafkaBroker
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(KafkaOutcomePublisher, "publish", lambda *_: False)
        assert http.delete("/api/v1/users/anna").status_code == 503
    assert "notify.parked" in found_in(everything(filled), "anna")
    later = now_ms() + LATER_MS
    monkeypatch.setattr("app.domain.forget_user.now_ms", lambda: later)  # the lease of the first try has run out
    assert http.delete("/api/v1/users/anna").json["removed"]["parked"] == 2
    assert found_in(everything(filled), "anna") == set()
    assert len(written(broker)) == 2


def test_a_row_that_is_parked_behind_it_is_cancelled_by_the_scheduler(
    filled: Settings, http: FlaskClient, broker: KafkaBroker, scheduler: Scheduler
) -> None:
    under_way = delivery_of("anna", "under way", pass_no=2, attempt=3)
    http.delete("/api/v1/users/anna")
    posted_after = delivery_of("anna", "new")
    rows = [
        Parked(delivery=one, due_at_ms=now_ms() + LATER_MS, reason=Reason.MUTED) for one in (under_way, posted_after)
    ]
    wiring.parked(filled).park(rows)
    scheduler.turn()
    [told_of] = [one for one in written(broker) if one.delivery_id == under_way.id]
    assert (told_of.status, told_of.reason, told_of.pass_no, told_of.attempt, told_of.event) == (
        Status.CANCELLED,
        Reason.USER_FORGOTTEN,
        2,
        3,
        None,
    )
    assert broker.records(under_way.lane.topic) == []
    assert [row.split(" | ")[0] for row in everything(filled)["notify.parked"] if "anna" in row] == [posted_after.id]


def test_forgetting_somebody_of_whom_nothing_is_known_is_no_error(http: FlaskClient) -> None:
    answer = http.delete("/api/v1/users/nobody")
    assert answer.status_code == 200
    assert set(answer.json["removed"].values()) == {0}


def test_the_plain_id_is_not_in_the_table_of_the_forgotten(filled: Settings, http: FlaskClient) -> None:
    http.delete("/api/v1/users/anna")
    rows = everything(filled)
    for table in ("notify.forgotten_users", "history.forgotten_users"):
        [row] = rows[table]
        assert "anna" not in row


@pytest.fixture(autouse=True)
def _disposed(service: Settings) -> Iterator[None]:
    yield
    for url in (service.database_url, service.history_url):
        shared_engine(url, service.store_timeout_s).dispose()


def test_a_rewritten_file_has_no_deleted_byte(tmp_path: Path) -> None:
    path = tmp_path / "alone" / "a.db"
    engine = make_engine(f"sqlite:///{path}", 5)
    with closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        # Some builds overwrite what is deleted, most do not.
        for statement in ("PRAGMA secure_delete=OFF", "CREATE TABLE t (x)", "INSERT INTO t VALUES ('kestrel')"):
            cursor.execute(statement)
        cursor.execute("DELETE FROM t")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.close()
    assert b"kestrel" in path.read_bytes()
    vacuum(engine)
    engine.dispose()
    assert b"kestrel" not in b"".join(one.read_bytes() for one in path.parent.iterdir())
