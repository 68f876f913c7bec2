"""`stats`: how many deliveries stand where. `--json` prints the document that HTTP answers with."""

from __future__ import annotations

import click

from app.commands.output import json_option, print_json, print_rows
from app.domain.clock import now_ms
from app.domain.statistics import DIMENSIONS, MAX_ROWS, CountQuery
from app.domain.statistics_query import GROUP_BY_DEFAULT, QueryError, read_query
from app.http.statistics_view import shown_value, statistics_view
from app.http.wire import rfc3339
from app.settings import settings
from infrastructure import wiring


@click.command()
@click.option("--from", "from", help="A day, or a time on a full hour (UTC); without it 7 days before --to.")
@click.option("--to", help="The end, itself not counted; without it the end of the hour that is running.")
@click.option("--group-by", default=GROUP_BY_DEFAULT, show_default=True, help=f"Any of {','.join(DIMENSIONS)}.")
@click.option("--channel", help="Only these, with commas.")
@click.option("--event-type", help="Only these, with commas.")
@click.option("--status", help="Only these, with commas.")
@click.option("--reason", help="Only these, with commas.")
@json_option
def stats(as_json: bool, **given: str | None) -> None:
    """Count deliveries by where they stand now, in the hour in which their events were accepted."""
    query = _query({name: value for name, value in given.items() if value is not None})
    rows = wiring.statistics(settings()).counts(query)
    if len(rows) > MAX_ROWS:
        raise click.BadParameter(f"gives more than {MAX_ROWS} rows; ask for less", param_hint="--group-by")
    if as_json:
        print_json(statistics_view(query, rows))
        return
    shown = [[*(shown_value(name, value) for name, value in row.values.items()), row.count] for row in rows]
    click.echo(f"accepted from {rfc3339(query.from_ms)} to {rfc3339(query.to_ms)}")
    print_rows("Deliveries", (*query.group_by, "count"), shown, as_json)


def _query(given: dict[str, str]) -> CountQuery:
    try:
        return read_query(given, now_ms())
    except QueryError as error:
        raise click.BadParameter(error.detail, param_hint=f"--{error.parameter.replace('_', '-')}") from error
