"""How commands print: tables for people, `--json` for scripts, one message and exit code 1 for what is not there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.domain.codec import encode

Command = TypeVar("Command", bound=Callable[..., Any])

NOTHING = "-"
PIPE_WIDTH = 2**16  # columns; only has to be more than any table needs


def json_option(command: Command) -> Command:
    """The option `--json`, passed to the command as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(command)


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], as_json: bool) -> None:
    """Print rows as a table, or as a JSON list of objects that have the columns as keys."""
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_shown(cell)) for cell in row))
    _print(table)


def print_record(title: str, record: Mapping[str, Any], as_json: bool) -> None:
    """Print one thing field by field, or as a JSON object."""
    if as_json:
        print_json(record)
        return
    table = Table(title=title, title_justify="left", box=box.SIMPLE, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in record.items():
        table.add_row(name.replace("_", " "), Text(_shown(value)))
    _print(table)


def print_json(value: Any) -> None:
    """Print one JSON document; structs are written as they go over the wire."""
    click.echo(encode(value))


def not_found(what: str) -> click.ClickException:
    """To be raised: prints `Error: no <what>` and ends with exit code 1."""
    return click.ClickException(f"no {what}")


def shown_time(at_ms: int) -> str:
    """Unix milliseconds as ISO 8601 in UTC, or `-` for 0."""
    if not at_ms:
        return NOTHING
    moment = dt.datetime.fromtimestamp(at_ms / 1000, tz=dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _print(table: Table) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        # a pipe has no width: nothing is to be folded there
        console.width = console.measure(table, options=console.options.update(max_width=PIPE_WIDTH)).maximum
    console.print(table)


def _shown(value: Any) -> str:
    """A cell's text."""
    if value is None or value == "":
        return NOTHING
    return printable(
        value if isinstance(value, str) else str(value) if isinstance(value, int | float) else encode(value).decode()
    )


def printable(text: str) -> str:
    """One line of printable text: what others wrote must not steer the terminal."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
