"""`manage.py parked`: deliveries that wait for a time, listed, brought back now, or dropped for good."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from msgspec import structs

from app.commands.moment import MOMENT
from app.commands.output import json_option, print_rows, shown_time
from app.domain.clock import now_ms
from app.domain.lane import LANE_BY_QUEUE
from app.domain.parked_choice import ParkedChoice
from app.settings import settings
from bridges.dropping import Dropped, Dropping
from infrastructure import wiring

Command = TypeVar("Command", bound=Callable[..., Any])

_COLUMNS = ("lane", "reason", "due", "parked", "pass", "notification_id", "delivery_id", "event_type", "held")
_CHUNK = 500
_ALL = 2**31


def choice_options(command: Command) -> Command:
    """What tells which rows are meant."""
    options = (
        click.option("--lane", type=click.Choice(list(LANE_BY_QUEUE), case_sensitive=False), help="Such as low.email."),
        click.option("--reason", default="", help="Such as quiet_hours."),
        click.option("--due-before", type=MOMENT, help="now, +2h, or a time."),
        click.option("--parked-since", type=MOMENT, help="-2h, or a time: those parked from then on."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def change_options(command: Command) -> Command:
    """How a change is limited, tried and confirmed."""
    options = (
        click.option("--limit", default=_ALL, type=click.IntRange(min=1), help="At most so many.  [default: all]"),
        click.option("--dry-run", is_flag=True, help="Only count."),
        click.option("--yes", is_flag=True, help="Do not ask."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def parked() -> None:
    """Deliveries that wait for a time: list, release, drop."""


@parked.command("list")
@choice_options
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1))
@json_option
def list_parked(limit: int, as_json: bool, **given: Any) -> None:
    """List them, high first, then by due time."""
    store, choice = wiring.parked(settings()), _choice(given)
    rows = store.choose(choice, now_ms=now_ms(), limit=limit)
    cells = [
        (
            row.delivery.lane.queue,
            row.reason,
            shown_time(row.due_at_ms),
            shown_time(row.parked_at_ms),
            row.delivery.pass_no,
            row.delivery.notification_id,
            row.delivery.id,
            row.delivery.event.event_type,
            "yes" if row.is_leased else "",
        )
        for row in rows
    ]
    if not cells and not as_json:
        click.echo("nothing is parked that fits")
        return
    print_rows("Parked", _COLUMNS, cells, as_json)
    if len(rows) == limit and not as_json:
        click.echo(f"the first {limit} of {_total(store.counts(choice))}: --limit")


@parked.command()
@choice_options
@change_options
def release(limit: int, dry_run: bool, yes: bool, **given: Any) -> None:
    """Make them due now: the scheduler brings them back. What still holds, such as quiet hours, parks them again."""
    choice = _now_parked(given)
    if not _is_meant("release", choice, limit, dry_run, yes):
        return
    store, released = wiring.parked(settings()), 0
    while released < limit:
        taken = store.make_due(choice, now_ms=now_ms(), limit=min(_CHUNK, limit - released))
        if not taken:
            break
        released += taken
    click.echo(f"released {released}")


@parked.command()
@choice_options
@change_options
def drop(limit: int, dry_run: bool, yes: bool, **given: Any) -> None:
    """End them as cancelled (dropped_by_operator). There is no way back."""
    choice = _now_parked(given)
    if not _is_meant("drop", choice, limit, dry_run, yes):
        return
    with contextlib.closing(Dropping(settings())) as dropping:
        sums = dropping.drop(choice, limit, lambda sums: click.echo(f"{sums[Dropped.DROPPED]} dropped", err=True))
    for fate in Dropped:
        if sums[fate] or fate is Dropped.DROPPED:
            click.echo(f"{fate.replace('_', ' ')} {sums[fate]}")


def _choice(given: Mapping[str, Any]) -> ParkedChoice:
    return ParkedChoice(
        queue=given["lane"] or "",
        reason=given["reason"],
        due_before_ms=given["due_before"],
        parked_from_ms=given["parked_since"],
    )


def _now_parked(given: Mapping[str, Any]) -> ParkedChoice:
    """The choice, without what is parked (again) while the command runs."""
    return structs.replace(_choice(given), parked_until_ms=now_ms() + 1)


def _is_meant(what: str, choice: ParkedChoice, limit: int, dry_run: bool, yes: bool) -> bool:
    """Show the counts; whether it is to be done."""
    counts = wiring.parked(settings()).counts(choice)
    rows = [(queue, reason, number) for queue, reasons in sorted(counts.items()) for reason, number in reasons.items()]
    total = min(limit, _total(counts))
    if not rows:
        click.echo("nothing is parked that fits")
        return False
    print_rows("Parked", ("lane", "reason", "rows"), rows, as_json=False)
    if dry_run:
        click.echo(f"would {what} up to {total}")
        return False
    if not yes:
        click.confirm(f"{what.capitalize()} up to {total}?", abort=True)
    return True


def _total(counts: Mapping[str, Mapping[str, int]]) -> int:
    return sum(sum(reasons.values()) for reasons in counts.values())
