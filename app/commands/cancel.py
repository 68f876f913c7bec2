"""`cancel`: take a notification back, as DELETE does over HTTP."""

from __future__ import annotations

import click

from app.commands.output import json_option, not_found, print_json, print_rows
from app.http.cancelling import Cancellation, Canceller
from app.settings import settings
from infrastructure import wiring

_COLUMNS = ("channel", "result", "status", "reason", "id")


@click.command()
@click.argument("notification_id", metavar="ID")
@json_option
def cancel(notification_id: str, as_json: bool) -> None:
    """Stop what is not sent yet of a notification, and tell of each delivery whether it could be stopped."""
    found = _canceller().cancel(notification_id)
    if found is None:
        raise not_found(f"notification {notification_id}")
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found.result == "too_late":
        raise click.ClickException("it is too late: all deliveries have ended")


def _canceller() -> Canceller:
    current = settings()
    return Canceller(
        secret=wiring.secret(current),
        catalogue=wiring.catalogue(current),
        cancels=wiring.cancels(current),
        parked=wiring.parked(current),
        outcomes=wiring.outcome_publisher(current),
        history=wiring.history(current),
        wait_s=current.cancel_wait_s,
    )


def _print(found: Cancellation) -> None:
    rows = [(one.channel, one.result, one.status, one.reason, one.id) for one in found.deliveries]
    print_rows("Deliveries", _COLUMNS, rows, as_json=False)
    if found.result == "pending":
        click.echo("Nothing more will be sent but what is under way; ask again for what is pending.")
