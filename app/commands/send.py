"""`manage.py send`: events of a file over HTTP, each once, however often it is cut off and started again."""

from __future__ import annotations

import contextlib
import fcntl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import click

from app.commands.sending.meter import Meter
from app.commands.sending.post import Poster
from app.commands.sending.progress import FileState, Progress, ProgressFile, state_of
from app.commands.sending.run import Job, send_file
from app.commands.sending.tally import KEPT, Tally
from app.domain.bind import Bind, parse_bind
from app.domain.errors import ConfigError
from app.domain.rate import Rate, parse_rate
from app.settings import Settings, settings

Command = TypeVar("Command", bound=Callable[..., Any])

STREAM = "-"
MAX_BATCH = 1000
_ANY = ("0.0.0.0", "::")  # noqa: S104 - compared, not listened on


def rate_option(command: Command) -> Command:
    """The option `--rate`, a `Rate` or None."""
    return click.option("--rate", callback=_rate, help="At most so many, such as 200/s.")(command)


def _rate(_ctx: click.Context, _param: click.Parameter, text: str | None) -> Rate | None:
    try:
        return parse_rate(text) if text else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--url", help="Where the service is; by default where NOTIFY_HTTP_BIND says.")
@click.option("--key", help="Bearer key; by default NOTIFY_API_KEY, which no list of processes shows.")
@click.option("--name", help="What the lines' keys are derived from; by default the file's full path. Needed for `-`.")
@click.option("--batch", default=500, show_default=True, type=click.IntRange(1, MAX_BATCH), help="Lines a request.")
@rate_option
@click.option("--progress", type=click.Path(path_type=Path), help="By default FILE.progress.")
@click.option("--rejects", type=click.Path(path_type=Path), help="Write every refused line here, as NDJSON.")
@click.option("--from-start", is_flag=True, help="Post all lines again; what was accepted is recognised.")
@click.option("--wait", "give_up_s", default=600.0, show_default=True, help="Give up when nothing moves so long (s).")
def send(  # noqa: PLR0913, PLR0917 - one for each option
    file: Path,
    url: str | None,
    key: str | None,
    name: str | None,
    batch: int,
    rate: Rate | None,
    progress: Path | None,
    rejects: Path | None,
    from_start: bool,
    give_up_s: float,
) -> None:
    """Post the events of FILE (NDJSON, one a line; `-`: stdin).

    Every line has an idempotency key: its own, or one made of name, line number and content. So it may be started
    again whenever it was cut off. A file that is made anew for other events needs another --name where lines repeat.
    """
    config = settings()
    if str(file) == STREAM and not name:
        raise click.UsageError("--name is needed to tell what comes through stdin from what came before")
    with _opened(file) as (source, state), _rejects(rejects) as refused, Meter(state.size if state else 0) as meter:
        kept = ProgressFile(progress or file.with_name(f"{file.name}.progress")) if state else None
        start = Progress(name=name or str(file.resolve()), file=state or FileState(0, 0, 0))
        if kept is not None and not from_start:
            start = kept.load(start.name, start.file)
        poster = Poster(url or _url(config), key or config.api_key, give_up_s=give_up_s, say=meter.say)
        job = Job(file=source, poster=poster, meter=meter, batch=batch, rate=rate, progress_file=kept, rejects=refused)
        with contextlib.closing(poster):
            tally = send_file(job, start)
    _print(tally, rejects)
    if tally.refusals:
        sys.exit(1)


@contextmanager
def _opened(file: Path) -> Iterator[tuple[BinaryIO, FileState | None]]:
    """The file, for one sender at a time, and its state (None: a stream)."""
    if str(file) == STREAM:
        yield sys.stdin.buffer, None
        return
    with file.open("rb") as source:
        try:
            fcntl.flock(source, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"{file} is being sent by another process") from error
        if not source.seekable():
            raise ConfigError(f"{file} is no file; send it through stdin, as `-`")
        yield source, state_of(source.fileno())


@contextmanager
def _rejects(path: Path | None) -> Iterator[BinaryIO | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("r+b" if path.exists() else "w+b")
    except OSError as error:
        raise ConfigError(f"--rejects: {path} cannot be written: {error.strerror}") from error
    with file:
        yield file


def _url(config: Settings) -> str:
    bind = parse_bind(config.http_bind, "NOTIFY_HTTP_BIND")
    return f"http://{Bind('127.0.0.1', bind.port) if bind.host in _ANY else bind}"


def _print(tally: Tally, rejects: Path | None) -> None:
    click.echo(f"accepted      {tally.accepted}")
    click.echo(f"already there {tally.there}")
    click.echo(f"refused       {tally.refusals}")
    for reason, refused in sorted(tally.refused.items()):
        more = f", ... ({refused.count} in all)" if refused.count > KEPT else ""
        lines = ", ".join(map(str, refused.lines))
        # a fault's text may quote names of the client's fields: only what prints
        detail = "".join(sign for sign in refused.detail if sign.isprintable())
        click.echo(f"  {reason}: line {lines}{more}; the first: {detail}")
    if tally.refusals and rejects is not None:
        click.echo(f"  all of them are in {rejects}")
