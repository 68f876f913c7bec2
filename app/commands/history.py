"""`history` and `show`: what became of notifications. `--json` prints the documents that HTTP answers with."""

from __future__ import annotations

import click

from app.commands.output import json_option, not_found, print_json, print_record, print_rows
from app.domain.ports import NotificationRecord
from app.http.notification_view import NotificationView, notification_view
from app.settings import settings
from infrastructure import wiring


@click.command()
@click.argument("user_id")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1))
@click.option("--cursor", help="Go on behind an earlier page.")
@json_option
def history(user_id: str, limit: int, cursor: str | None, as_json: bool) -> None:
    """List a user's notifications, newest first."""
    try:
        page = wiring.history(settings()).by_user(user_id, cursor=cursor, limit=limit)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--cursor") from error
    if not page.items:
        raise not_found(f"notifications of user {user_id}")
    if as_json:
        print_json({"items": [_view(record) for record in page.items], "next_cursor": page.cursor})
        return
    columns = ("accepted", "id", "event_type", "status", "deliveries")
    print_rows("Notifications", columns, [_summary(record) for record in page.items], as_json)
    if page.cursor:
        click.echo(f"older ones: --cursor {page.cursor}")


@click.command()
@click.argument("notification_id", metavar="ID")
@json_option
def show(notification_id: str, as_json: bool) -> None:
    """Show one notification: where each delivery stands, and how it came there."""
    record = wiring.history(settings()).notification(notification_id)
    if record is None:
        raise not_found(f"notification {notification_id} in the history")
    view = _view(record)
    if as_json:
        print_json(view)
        return
    _print_head(record, view)
    _print_deliveries(view)
    _print_outcomes(view)


def _view(record: NotificationRecord) -> NotificationView:
    return notification_view(record, wiring.catalogue(settings()))


def _summary(record: NotificationRecord) -> tuple[str | None, ...]:
    view = _view(record)
    deliveries = ", ".join(f"{delivery.channel} {delivery.status}" for delivery in view.deliveries)
    return (view.accepted_at, record.id, record.event_type, view.status, deliveries)


def _print_head(record: NotificationRecord, view: NotificationView) -> None:
    head = {"id": view.id, "user": record.user_id, "event_type": record.event_type}
    state = {"status": view.status, "reason": view.reason, "accepted": view.accepted_at}
    print_record("Notification", head | state, as_json=False)


def _print_deliveries(view: NotificationView) -> None:
    columns = ("channel", "status", "reason", "until", "id")
    rows = [(state.channel, state.status, state.reason, state.until, state.id) for state in view.deliveries]
    print_rows("Deliveries", columns, rows, as_json=False)


def _print_outcomes(view: NotificationView) -> None:
    columns = ("at", "channel", "pass", "attempt", "status", "reason", "provider", "provider_id", "detail")
    found = [("", outcome) for outcome in view.outcomes]
    found += [(delivery.channel, outcome) for delivery in view.deliveries for outcome in delivery.outcomes]
    rows = [
        (
            outcome.at,
            channel,
            outcome.pass_no,
            outcome.attempt,
            outcome.status,
            outcome.reason,
            outcome.provider,
            outcome.provider_id,
            outcome.detail,
        )
        for channel, outcome in sorted(found, key=lambda item: item[1].at)
    ]
    print_rows("Outcomes", columns, rows, as_json=False)
