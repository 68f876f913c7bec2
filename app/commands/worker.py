"""`manage.py worker`: a pool of Celery workers."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from app.domain.lane import Priority, expand_queues
from app.settings import Settings


def worker_argv(name: str, queues: Sequence[str], children: int) -> list[str]:
    """The command line of a pool. `queues` are priorities or lanes, served in this order; run it in the checkout."""
    return [
        *(sys.executable, "-m", "celery", "-A", "tasks", "--quiet", "worker"),
        *("--hostname", f"{name}@%h", "-Q", ",".join(queues), "--concurrency", str(children)),
        # Flower lives on events (-E); workers need to know nothing of each other.
        *("-E", "--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
    ]


def _queues(_context: click.Context, _parameter: click.Parameter, value: str) -> list[str]:
    names = [name.strip() for name in value.split(",")]
    try:
        expand_queues(names)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return names


@click.command()
@click.option(
    "--queues",
    default=",".join(Priority),
    show_default=True,
    callback=_queues,
    help="Priorities (high) or lanes (high.email), in order of service.",
)
@click.option("--children", type=click.IntRange(min=1), default=3, show_default=True, help="Processes of the pool.")
@click.option("--name", default="worker", show_default=True, help="Name of the pool; one on each machine.")
def worker(queues: list[str], children: int, name: str) -> None:
    """Run a pool of Celery workers in place of this process."""
    Settings.load()  # what is wrong with them is told in one line here
    argv = worker_argv(name, queues, children)
    os.execv(argv[0], argv)  # noqa: S606 - the command line is ours, and no shell is wanted
