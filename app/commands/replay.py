"""`manage.py replay`: a time of `notifications.raw` and `.raw.low` once more."""

from __future__ import annotations

import contextlib

import click

from app.commands.moment import MOMENT
from app.commands.output import json_option, print_rows, shown_time
from app.commands.send import rate_option
from app.domain.rate import Rate
from app.settings import settings
from bridges.replaying.replay import Replay, Sums
from bridges.replaying.source import RawEvents

_COLUMNS = ("event_type", "priority", "runs", "why", "events", "deliveries")


@click.command()
@click.option("--from", "from_ms", type=MOMENT, required=True, help="-2h, or a time.")
@click.option("--to", "to_ms", type=MOMENT, default="now", show_default=True, help="-1h, or a time.")
@click.option("--only-unfinished", "mode", flag_value="unfinished", default="unfinished", help="The default.")
@click.option("--as-new", "mode", flag_value="new", help="All of them, with new ids.")
@click.option("--name", default="", help="With --as-new: the same name gives the same new ids, so it can be repeated.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@rate_option
@json_option
def replay(from_ms: int, to_ms: int, mode: str, name: str, dry_run: bool, rate: Rate | None, as_json: bool) -> None:
    """Run events again that were accepted (by their record's time) in [from, to).

    --only-unfinished: deliveries that have no final outcome, no parked row and no record that waits on raw or on their
    lane, as their next pass. It may be repeated: what was put back is on its way, or has ended, then.
    """
    if name and mode != "new":
        raise click.UsageError("--name goes with --as-new")
    if from_ms >= to_ms:
        raise click.UsageError("--from must be before --to")
    config = settings()
    replaying = Replay(config, rate=rate, is_dry=dry_run, tell=_tell)
    with contextlib.closing(replaying), contextlib.closing(RawEvents(config, from_ms, to_ms)) as source:
        if mode == "new":
            replaying.as_new(source, name)
        else:
            replaying.unfinished(source)
    _print(replaying.sums, dry_run, as_json)
    if source.missing_until_ms:
        click.echo(f"Kafka keeps nothing older than {shown_time(source.missing_until_ms)} of a part of it", err=True)


def _tell(sums: Sums) -> None:
    click.echo(f"looked at {sum(sums.events.values())}, put back {sum(sums.done.values())}", err=True)


def _print(sums: Sums, dry_run: bool, as_json: bool) -> None:
    rows = [
        (row.event_type, row.priority, "yes" if row.why.runs else "no", str(row.why), count, sums.deliveries[row])
        for row, count in sorted(sums.events.items())
    ]
    print_rows("Events of that time", _COLUMNS, rows, as_json)
    if not as_json:
        what, count = next(iter(sums.done.items()), ("deliveries", 0))
        click.echo("nothing was put back: a dry run" if dry_run else f"put back: {count} {what}")
