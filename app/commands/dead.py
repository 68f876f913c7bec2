"""`manage.py dead`: what could not be delivered or decoded, listed, shown, put back."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from app.commands.moment import MOMENT
from app.commands.output import json_option, not_found, print_record, print_rows, shown_time
from app.domain.lane import DEAD_TOPIC, LANE_BY_QUEUE
from app.settings import settings
from bridges.dead_replay import DeadReplay, Fate
from infrastructure.kafka.dead_letters import DeadLetter, dead_letter_of
from infrastructure.kafka.range_reader import RangeReader

Command = TypeVar("Command", bound=Callable[..., Any])

_COLUMNS = ("place", "at", "from", "reason", "notification_id", "delivery_id", "bytes", "detail")
_SOURCES = ("raw", "raw.low", *LANE_BY_QUEUE)
_CHUNK = 100


def choice_options(command: Command) -> Command:
    """What tells which dead letters are meant."""
    options = (
        click.option("--lane", type=click.Choice(_SOURCES), metavar="LANE", help="Such as low.email, raw, raw.low."),
        click.option("--reason", help="Such as poison."),
        click.option("--from", "from_ms", type=MOMENT, help="-2h, or a time."),
        click.option("--to", "to_ms", type=MOMENT, help="-1h, or a time."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def dead() -> None:
    """What could not be delivered or decoded: list, show, replay."""


@dead.command("list")
@choice_options
@click.option("--limit", default=100, show_default=True, type=click.IntRange(min=1), help="The newest of them.")
@json_option
def list_dead(limit: int, as_json: bool, **given: Any) -> None:
    """List dead letters, the newest last."""
    newest: deque[tuple[Any, ...]] = deque(maxlen=limit)
    for letter in _letters(**given):
        newest.append(_cells(letter))
    rows = sorted(newest, key=lambda cells: cells[1])
    if not rows and not as_json:
        click.echo("no dead letter fits")
        return
    print_rows("Dead letters", _COLUMNS, rows, as_json)


@dead.command()
@click.argument("place")
@json_option
def show(place: str, as_json: bool) -> None:
    """Show the dead letter at PLACE (of `dead list`) with its body as it is: content and addresses are not masked."""
    letter = next((one for one in _letters() if one.place == place), None)
    if letter is None:
        raise not_found(f"dead letter {place}")
    head = dict(zip(_COLUMNS, _cells(letter), strict=True)) | {"cut": letter.is_cut, "key": letter.origin.key}
    head["headers"] = {name: value.decode(errors="replace") for name, value in letter.origin.headers.items()}
    body = letter.origin.value.decode(errors="backslashreplace")
    print_record("Dead letter", head | {"body": body}, as_json)
    click.echo("the body is shown as it is: content and addresses are not masked", err=True)


@dead.command()
@click.argument("places", nargs=-1, metavar="[PLACE]...")
@choice_options
@click.option("--limit", default=2**31, type=click.IntRange(min=1), help="At most so many.  [default: all]")
@click.option("--dry-run", is_flag=True, help="Only count.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def replay(places: tuple[str, ...], limit: int, dry_run: bool, yes: bool, **given: Any) -> None:
    """Put them back: events on raw as they were, deliveries on their lane as their next pass.

    Only what still lacks its replay is put back, so that this may be repeated. Give places, or what they have in
    common.
    """
    if not places and not any(given.values()):
        raise click.UsageError("give PLACEs, or at least one of --lane, --reason, --from, --to")
    with contextlib.closing(DeadReplay(settings())) as replaying:
        fates: Counter[Fate] = Counter()
        for letter in _first(_letters(**given), places, limit):
            fates[replaying.fate(letter)] += 1
        _print(fates, Fate.REPLAYED.replace("replayed", "to be replayed"))
        if dry_run or not fates[Fate.REPLAYED]:
            return
        if not yes:
            click.confirm(f"Replay {fates[Fate.REPLAYED]}?", abort=True)
        done: Counter[Fate] = Counter()
        for chunk in _chunks(_first(_letters(**given), places, limit)):
            done.update(replaying.replay(chunk))
        click.echo(f"replayed {done[Fate.REPLAYED]}")


def _letters(
    lane: str | None = None, reason: str | None = None, from_ms: int | None = None, to_ms: int | None = None
) -> Iterator[DeadLetter]:
    """Those on the topic that fit, one after the other."""
    reader = RangeReader(settings())
    try:
        for records in reader.read(reader.whole(DEAD_TOPIC)):
            for one in map(dead_letter_of, records):
                fits = lane in (None, one.source) and reason in (None, one.reason)
                if fits and (from_ms or 0) <= one.at_ms < (to_ms or one.at_ms + 1):
                    yield one
    finally:
        reader.close()


def _first(letters: Iterator[DeadLetter], places: tuple[str, ...], limit: int) -> Iterator[DeadLetter]:
    """Those of the places (none: all), each once: what was replayed and died again is there twice."""
    seen: set[tuple[str, str, str]] = set()
    for letter in letters:
        key = (letter.origin.topic, letter.notification_id, letter.delivery_id)
        if key in seen or (places and letter.place not in places):
            continue
        if len(seen) == limit:
            return
        seen.add(key)
        yield letter


def _chunks(letters: Iterator[DeadLetter]) -> Iterator[list[DeadLetter]]:
    chunk: list[DeadLetter] = []
    for letter in letters:
        chunk.append(letter)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _cells(letter: DeadLetter) -> tuple[Any, ...]:
    size = len(letter.origin.value)
    whence = letter.source or letter.origin.topic
    head = (letter.place, shown_time(letter.at_ms), whence, letter.reason, letter.notification_id, letter.delivery_id)
    return (*head, size, letter.detail)


def _print(fates: Counter[Fate], going: str) -> None:
    for fate, count in sorted(fates.items()):
        click.echo(f"{going if fate is Fate.REPLAYED else fate.replace('_', ' ')} {count}")
    if not fates:
        click.echo("no dead letter fits")
