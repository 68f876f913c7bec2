"""`suppressions`: addresses that nothing is sent to, and why."""

from __future__ import annotations

import click

from app.commands.output import json_option, not_found, print_rows, shown_time
from app.domain.clock import now_ms
from app.domain.errors import PermanentError
from app.domain.masking import masked
from app.domain.suppression import CHANNELS, Destination, SuppressionReason
from app.settings import settings
from infrastructure import wiring
from infrastructure.channels.normal_address import normal_address

COLUMNS = ("address", "channel", "reason", "since")


@click.group()
def suppressions() -> None:
    """Addresses that nothing is sent to: list, add, remove."""


def _destination(_context: click.Context, _parameter: click.Parameter, value: str) -> Destination:
    """`me@example.com`, or a phone number."""
    channel = "email" if "@" in value else "sms"
    try:
        return Destination(channel, normal_address(channel, value, settings()))
    except PermanentError as error:
        raise click.BadParameter(f"it is neither an email address nor a phone number: {error.detail}") from error


_address = click.argument("destination", metavar="ADDRESS", callback=_destination)


@suppressions.command("list")
@click.option("--reason", default="", type=click.Choice(["", *map(str, SuppressionReason)]), help="Only of this one.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1))
@json_option
def list_suppressions(reason: str, limit: int, as_json: bool) -> None:
    """List them, the latest first; of an address as much as tells it from another, for more is not kept."""
    found = wiring.suppressions(settings()).list(reason=reason, limit=limit)
    rows = [(one.shown, one.channel, one.reason, shown_time(one.since_ms)) for one in found]
    print_rows("Suppressions", COLUMNS, rows, as_json)


@suppressions.command()
@_address
def show(destination: Destination) -> None:
    """Tell whether ADDRESS is suppressed, and why first; exit code 1 if it is not."""
    reason = wiring.suppressions(settings()).find([destination]).get(destination)
    if reason is None:
        raise not_found(f"suppression of {masked(destination.address)} ({', '.join(CHANNELS)})")
    click.echo(reason)


@suppressions.command()
@_address
def add(destination: Destination) -> None:
    """Send nothing to ADDRESS any more, an email address or a phone number."""
    store = wiring.suppressions(settings())
    shown = masked(destination.address)
    is_new = store.suppress(destination, SuppressionReason.OPERATOR, since_ms=now_ms(), shown=shown)
    click.echo(f"{shown} is suppressed" if is_new else f"{shown} was suppressed")


@suppressions.command()
@_address
def remove(destination: Destination) -> None:
    """Send to ADDRESS again, whatever it was suppressed for; who said STOP may still be held back by the provider."""
    if not wiring.suppressions(settings()).lift(destination, now_ms()):
        raise not_found(f"suppression of {masked(destination.address)}")
    click.echo(f"{masked(destination.address)} is not suppressed any more")
