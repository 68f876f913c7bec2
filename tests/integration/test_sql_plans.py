"""What runs all the time looks into an index: no statement of it reads a whole table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import structs
from sqlalchemy import Engine, RowMapping, event

from app.domain.callback import Callback, CallbackReceiver
from app.domain.delivery import Delivery, Parked
from app.domain.event import Event
from app.domain.lane import Priority
from app.domain.outcome import Outcome, Status
from app.domain.ports import CallbackResult, InboxEntry
from app.domain.statistics import DIMENSIONS, HOUR_MS, CountQuery
from app.domain.suppression import Destination, SuppressionReason
from app.domain.users import Preferences, User
from infrastructure.sql.schema import HISTORY, MAIN
from tests.support.sql_stores import Stores, fresh_stores

TABLES = {table.name for table in (*MAIN.sorted_tables, *HISTORY.sorted_tables)}
SMALL = {"api_keys", "callback_receivers"}  # nobody has many
SCANS = [["SCAN", name] for name in TABLES - SMALL]

Ran = tuple[Engine, str, Any]


def note_statements(stores: Stores) -> list[Ran]:
    ran: list[Ran] = []

    def listen(engine: Engine) -> None:
        def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
            is_explained = statement.startswith(("SELECT", "UPDATE", "DELETE"))
            if is_explained:
                ran.append((engine, statement, parameters[0] if isinstance(parameters, list) else parameters))

        event.listen(engine, "before_cursor_execute", note)

    for engine in stores.engines:
        listen(engine)
    return ran


def run_everything(stores: Stores) -> None:
    event_ = Event(user_id="anna", event_type="t", content="c")
    delivery = Delivery(
        id="d",
        notification_id="n",
        channel="email",
        priority=Priority.LOW,
        event=event_,
        accepted_at_ms=1,
        routed_at_ms=1,
        expires_at_ms=9,
    )
    outcome = Outcome(notification_id="n", delivery_id="d", user_id="anna", event_type="t", status=Status.SENT, at_ms=1)
    entry = InboxEntry(
        id="d", notification_id="n", user_id="anna", event_type="t", category="c", subject="", body="", created_at_ms=1
    )
    stores.users.put(User(id="anna"))
    stores.users.put(User(id="anna", locale="de"))
    stores.users.recipients(["anna", "bert"])
    stores.users.list(after="a")
    stores.preferences.put("anna", Preferences())
    stores.preferences.put("anna", Preferences(muted_until_ms=1))
    stores.preferences.get_many(["anna", "bert"])
    stores.inbox.add([entry, structs.replace(entry, id="e")])
    cursor = stores.inbox.list("anna", limit=1).cursor
    stores.inbox.list("anna", cursor=cursor, unread_only=True)
    stores.inbox.unread_count("anna")
    stores.inbox.mark_read("anna", ["d"], 1)
    stores.inbox.mark_read("anna", None, 1)
    stores.parked.park([Parked(delivery=delivery, due_at_ms=1, reason="r")])
    stores.parked.lease_due(now_ms=1, lease_until_ms=2, owner="o", limit=10)
    stores.parked.remove([("d", 0), ("e", 0)], "o")
    stores.history.append([outcome])
    stores.history.append([structs.replace(outcome, event=event_)])
    stores.history.notification("n")
    stores.history.by_user("anna")
    groups = CountQuery(from_ms=0, to_ms=HOUR_MS, group_by=DIMENSIONS, filters={"status": ("sent",)})
    stores.statistics.counts(groups)
    stores.users.delete("anna")
    # Their list is read whole, every few seconds: each process has a copy of all of it.
    stores.api_keys.revoke("0123456789ab", 1)
    stores.api_keys.note_uses({"0123456789ab": 1})
    stores.forgotten.forgotten_at(["anna"])
    stores.personal_data.remember("anna", 1)
    stores.personal_data.remember("anna", 2)
    stores.forgotten.forgotten_at(["anna", "bert"])
    stores.parked.lease_of_user("anna", now_ms=9, lease_until_ms=10, owner="o", limit=10)
    run_suppressions(stores)
    stores.personal_data.remove("anna", 2)
    run_callbacks(stores)


def run_suppressions(stores: Stores) -> None:
    place = Destination("email", "anna@example.com")
    for at_ms in (1, 2):
        stores.suppressions.suppress(place, SuppressionReason.STOP, since_ms=at_ms, user_id="anna", shown="a")
    stores.suppressions.find([place, Destination("sms", "+491")])
    stores.suppressions.lift(place, 3)
    stores.soft_bounces.count(place, "d", at_ms=5, since_ms=4)
    stores.soft_bounces.forgive(place)


def run_callbacks(stores: Stores) -> None:
    receiver = CallbackReceiver(key_id="0123456789ab", url="https://example.com/", salt="", since_ms=1)
    callback = Callback(id="cb_1", key_id=receiver.key_id, body=b"{}", made_at_ms=1, due_at_ms=1)
    stores.callback_receivers.put(receiver)
    stores.callback_receivers.put(receiver)
    stores.callback_receivers.find([receiver.key_id, "ba9876543210"])
    stores.pending_callbacks.add([callback, structs.replace(callback, id="cb_2")])
    stores.pending_callbacks.due()
    stores.pending_callbacks.take({receiver.key_id: 4}, now_ms=1, again_at_ms=2)
    failed = CallbackResult(callback=structs.replace(callback, id="cb_2"), again_at_ms=3)
    stores.pending_callbacks.settle([CallbackResult(callback=callback, is_taken=True), failed], 1)
    stores.pending_callbacks.settle([failed], 1)
    stores.pending_callbacks.drop(receiver.key_id, 10)  # how many wait is counted once a minute, of all
    stores.callback_receivers.disable(receiver, 1, "gone")
    stores.callback_receivers.remove(receiver.key_id)


def fill(stores: Stores, count: int = 1500) -> None:
    """Rows of others: of a small table a server reads all, whatever indexes it has."""
    event_ = Event(user_id="u", event_type="t", content="c")
    deliveries = [
        Delivery(
            id=f"x-{number:05}",
            notification_id=f"n-{number:05}",
            channel="email",
            priority=Priority.LOW,
            event=structs.replace(event_, user_id=f"u-{number:05}"),
            accepted_at_ms=number * HOUR_MS,
            routed_at_ms=1,
            expires_at_ms=9,
        )
        for number in range(count)
    ]
    stores.parked.park([Parked(delivery=one, due_at_ms=10**9, reason="r") for one in deliveries])
    stores.pending_callbacks.add(
        [
            Callback(id=f"cb_{one.id}", key_id=f"{number % 150:012}", body=b"{}", made_at_ms=1, due_at_ms=number)
            for number, one in enumerate(deliveries)
        ]
    )
    for number in range(count // 10):
        stores.users.put(User(id=f"u-{number:05}"))
        stores.preferences.put(f"u-{number:05}", Preferences())
        stores.personal_data.remember(f"gone-{number:05}", 1)
        place = Destination("email", f"u-{number:05}@example.com")
        stores.suppressions.suppress(place, SuppressionReason.STOP, since_ms=1, user_id=f"u-{number:05}")
        stores.soft_bounces.count(place, "d", at_ms=5, since_ms=4)
    stores.inbox.add(
        [
            InboxEntry(
                id=one.id,
                notification_id=one.notification_id,
                user_id=one.event.user_id,
                event_type="t",
                category="c",
                subject="",
                body="",
                created_at_ms=1,
            )
            for one in deliveries
        ]
    )
    stores.history.append(
        [
            Outcome(
                notification_id=one.notification_id,
                delivery_id=one.id,
                user_id=one.event.user_id,
                event_type="t",
                status=Status.SENT,
                at_ms=1,
                accepted_at_ms=one.accepted_at_ms,
            )
            for one in deliveries
        ]
    )
    for engine, tables in zip(stores.engines, (MAIN, HISTORY), strict=True):
        with engine.begin() as connection:
            for table in tables.sorted_tables:
                connection.exec_driver_sql(f"ANALYZE TABLE {table.name}").all()


def test_no_statement_reads_a_whole_table(tmp_path: Path) -> None:
    with fresh_stores("sqlite", tmp_path) as stores:
        ran = note_statements(stores)
        run_everything(stores)
        plans = [(statement, plan(engine, statement, values)) for engine, statement, values in list(ran)]
    whole = [statement for statement, steps in plans if any(step.split()[0:2] in SCANS for step in steps)]
    assert whole == []
    assert {name for name in TABLES if any(name in statement for statement, _ in plans)} == TABLES


def test_no_statement_reads_a_whole_table_on_a_server(tmp_path: Path) -> None:
    with fresh_stores("mariadb", tmp_path) as stores:
        fill(stores)
        ran = note_statements(stores)
        run_everything(stores)
        plans = [(statement, server_plan(engine, statement, values)) for engine, statement, values in list(ran)]
    whole = [
        (statement, step)
        for statement, steps in plans
        for step in steps
        if step["type"] in ("ALL", "index") and step["table"] in TABLES - SMALL
    ]
    assert whole == []
    assert {name for name in TABLES if any(name in statement for statement, _ in plans)} == TABLES


def plan(engine: Engine, statement: str, values: Any) -> list[str]:
    with engine.connect() as connection:
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]


def server_plan(engine: Engine, statement: str, values: Any) -> list[RowMapping]:
    with engine.connect() as connection:
        return list(connection.exec_driver_sql(f"EXPLAIN {statement}", values).mappings())
