"""`manage.py ready`: whether a part on this machine does its work, for health checks of containers and the like."""

from __future__ import annotations

import sys
from typing import Final

import click

from app.domain.bind import Bind, parse_bind
from app.settings import PREFIX, Settings
from infrastructure.embedded.checks import accepts, answers_200
from infrastructure.embedded.ready import was_ready_within

#: Longest wait for an answer, seconds: more than a loaded machine needs.
ANSWER_S: Final = 5.0


@click.command()
@click.argument("part")
@click.option(
    "--within",
    "within_s",
    default=60.0,
    show_default=True,
    type=click.FloatRange(min=0, min_open=True),
    help="Longest silence of a bridge or a pool, seconds.",
)
def ready(part: str, within_s: float) -> None:
    """Tell by the exit code whether PART does its work: api, flower, mailbox, or a bridge or pool by its name.

    Servers are asked at the addresses of their settings. Bridges and pools touch a file in NOTIFY_STATE_DIR as long as
    they go round; outside the embedded set that folder has to be there, one for each process.
    """
    if not _is_ready(Settings.load(), part, within_s):
        click.echo(f"{part} is not ready", err=True)
        sys.exit(1)


def _is_ready(settings: Settings, part: str, within_s: float) -> bool:
    match part:
        case "api":
            return _answers(_bind(settings, "http_bind"), "/readyz")
        case "flower":
            return _answers(_bind(settings, "flower_bind"), "/healthcheck")
        case "mailbox":
            smtp = _bind(settings, "smtp_bind")
            return accepts(smtp.local_host, smtp.port) and _answers(_bind(settings, "mailbox_bind"), "/")
        case _:
            return was_ready_within(settings, part, within_s)


def _answers(bind: Bind, path: str) -> bool:
    return answers_200(bind.local_host, bind.port, path, within_s=ANSWER_S)


def _bind(settings: Settings, field: str) -> Bind:
    return parse_bind(getattr(settings, field), f"{PREFIX}{field.upper()}")
